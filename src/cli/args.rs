//! Arguments that several commands share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::pipeline::{
    ByteLimit, FinetuneOptions, FirmwareStyle, From, HeadScale, MacLimit, Method, Optimize, Place, PlanChoice,
    RouteOptions, SubjectOptions,
};

/// Which channels are critical for a class.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum MethodArg {
    /// Positive derivatives of the class score with respect to the feature maps
    Frat,
    /// Positive contributions of channels to the next layer (the paper's revision)
    Contribution,
    /// First-order Taylor: |gradient × activation|
    Taylor,
    /// Mean activation
    Activation,
    /// L1 norm of the filters, the same for all classes
    L1,
    /// Random scores, as a control
    Random,
}

impl std::convert::From<MethodArg> for Method {
    fn from(arg: MethodArg) -> Self {
        match arg {
            MethodArg::Frat => Self::Frat,
            MethodArg::Contribution => Self::Contribution,
            MethodArg::Taylor => Self::Taylor,
            MethodArg::Activation => Self::Activation,
            MethodArg::L1 => Self::L1,
            MethodArg::Random => Self::Random,
        }
    }
}

/// What the firmware beside a crate is like.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum FirmwareArg {
    /// One inference after the other
    Plain,
    /// An async task of embassy's executor: other tasks run after every layer
    Embassy,
}

impl std::convert::From<FirmwareArg> for FirmwareStyle {
    fn from(arg: FirmwareArg) -> Self {
        match arg {
            FirmwareArg::Plain => Self::Plain,
            FirmwareArg::Embassy => Self::Embassy,
        }
    }
}

/// How components of several sources come to one scale.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum HeadsArg {
    /// One scale and offset per source, likeliest on calibration samples of all classes
    Fit,
    /// Equal mean magnitudes (the paper's way)
    Level,
    /// As the sources have them
    Off,
    /// As `fit`; with --finetune, one last layer that reads the features of all components
    Joint,
}

/// Where the network comes from.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// Case file (model, input contract and data), or a saved assembly
    #[arg(required_unless_present = "from", conflicts_with = "from")]
    pub case: Option<PathBuf>,
    /// A component: classes of one case, for example letters.toml:A,B; give it several times to join sources, whose
    /// classes are then in the order given
    #[arg(long, value_name = "CASE.toml:A,B", conflicts_with = "classes")]
    pub from: Vec<From>,
    /// How the scores of several sources come to one scale
    #[arg(long, value_enum, default_value = "fit", conflicts_with = "case")]
    pub heads: HeadsArg,
}

impl SourceArgs {
    /// As the pipeline takes it.
    pub fn heads(&self) -> HeadScale {
        match self.heads {
            HeadsArg::Fit => HeadScale::Fit,
            HeadsArg::Level => HeadScale::Level,
            HeadsArg::Off => HeadScale::Off,
            HeadsArg::Joint => HeadScale::Joint,
        }
    }
}

/// What kernels are chosen for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum OptimizeArg {
    /// Fewest instructions that the board's memories allow
    Speed,
    /// Least flash in at most twice the instructions of `speed`
    Size,
    /// Least RAM
    Ram,
    /// Fewest instructions, or a thousandth more for less flash, with at most a seventh more flash than `size` takes and a seventh more RAM than the least there is
    Balanced,
}

impl OptimizeArg {
    /// As the planner takes it.
    pub fn options(arg: Option<Self>) -> PlanChoice {
        let optimize = match arg {
            None => Optimize::default(),
            Some(Self::Speed) => Optimize::Speed,
            Some(Self::Size) => Optimize::Size,
            Some(Self::Ram) => Optimize::Ram,
            Some(Self::Balanced) => Optimize::Balanced,
        };
        PlanChoice { optimize, ..PlanChoice::default() }
    }
}

/// How large the route is.
#[derive(Debug, Args)]
pub struct RouteArgs {
    /// Wanted classes in the order of the outputs: names or indices, comma-separated [default: the case's, else all]
    #[arg(long, value_delimiter = ',', value_name = "A,B,C")]
    pub classes: Vec<String>,
    /// Use this route library (`fratc attribute`) instead of attributing again; with --from, one for each source
    #[arg(long, value_name = "FILE.frat")]
    pub library: Vec<PathBuf>,
    #[command(flatten)]
    pub size: SizeArgs,
}

impl RouteArgs {
    /// As the pipeline takes them.
    pub fn options(&self) -> RouteOptions {
        RouteOptions { classes: self.classes.clone(), libraries: self.library.clone(), ..self.size.options() }
    }
}

/// How a network becomes small, and what is done for it after that.
#[derive(Debug, Args)]
pub struct SizeArgs {
    /// Keep this share of the channels of every group, 0 to 1; with limits or --max-drop, at most this share
    /// [default: see --max-drop; everything if all classes are wanted]
    #[arg(long, value_name = "RATIO")]
    pub keep: Option<f64>,
    /// Accuracy to give away at most, in points below the masked source: the smallest network found that is expected
    /// to lose no more, by its divergence from the source on held-out calibration samples; more on the test split is
    /// exit code 1 [default: 1, without that check, if no size or limit is given]
    #[arg(long, value_name = "POINTS")]
    pub max_drop: Option<f64>,
    /// Multiply-accumulates at most, as a number (2M, 900k) or a share of the source's (30%). Limits combine; without
    /// --max-drop, the network found that diverges least from the source within them
    #[arg(long, value_name = "N|SHARE%")]
    pub max_macs: Option<MacLimit>,
    /// Bytes of flash at most (65536, 64k, 1M): weights, tables and code
    #[arg(long, value_name = "BYTES")]
    pub max_flash: Option<ByteLimit>,
    /// Bytes of RAM at most (16384, 16k): arena and input as planned; the stack comes on top
    #[arg(long, value_name = "BYTES")]
    pub max_ram: Option<ByteLimit>,
    /// How critical channels are found [default: frat]
    #[arg(long, value_enum)]
    pub method: Option<MethodArg>,
    /// Refit the kept weights to the source's activations, without training (the default)
    #[arg(long, overrides_with = "no_refit")]
    pub refit: bool,
    /// Leave the sliced weights as they are
    #[arg(long, overrides_with = "refit")]
    pub no_refit: bool,
    /// Train the small network for N epochs after the refit; kept only if better on held-out samples
    /// [default: 0]
    #[arg(long, value_name = "N")]
    pub finetune: Option<usize>,
    /// With --finetune, train on this folder of class folders; with --distill, a folder of images without classes will do
    /// [default: the case's `train` data, else its calibration data]. Without --finetune, refit to up to 3,000 of its
    /// images as well, whose classes need not be known [default: none]
    #[arg(long, value_name = "DIR")]
    pub train: Option<PathBuf>,
    /// Train half toward the source network's scores for the wanted classes, half toward the labels; without labels
    /// toward the scores alone
    #[arg(long)]
    pub distill: bool,
    /// Seed of every random choice [default: 0]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// What runs the networks while attributing, refitting, training and scoring: cpu, candle (its tensors on the
    /// processor) or cuda:N
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    pub device: Place,
}

impl SizeArgs {
    /// As the pipeline takes them, for all classes.
    pub fn options(&self) -> RouteOptions {
        RouteOptions {
            classes: Vec::new(),
            keep: self.keep,
            max_drop: self.max_drop,
            max_macs: self.max_macs,
            max_flash: self.max_flash,
            max_ram: self.max_ram,
            method: self.method.map(Into::into),
            libraries: Vec::new(),
            refit: match (self.refit, self.no_refit) {
                (true, _) => Some(true),
                (_, true) => Some(false),
                (false, false) => None,
            },
            finetune: FinetuneOptions {
                epochs: self.finetune,
                train: self.train.clone(),
                distill: self.distill.then_some(true),
                rate: None,
            },
            seed: self.seed,
            device: self.device,
        }
    }
}

/// The program that `plan` and `bench` look at.
#[derive(Debug, Args)]
pub struct SubjectArgs {
    /// Case file, int8 program (`fratc quantize`), or folder of an emitted crate, which is taken as it is
    pub input: PathBuf,
    /// Board or emulated machine (see `fratc targets`), or the path of a target file [default: the case's or the
    /// crate's]
    #[arg(long)]
    target: Option<String>,
    /// What kernels are chosen for; a crate has its own [default: balanced]
    #[arg(long, value_enum)]
    optimize: Option<OptimizeArg>,
    #[command(flatten)]
    route: RouteArgs,
    /// Calibrate on N random inputs: for models without data
    #[arg(long, value_name = "N")]
    random_calibration: Option<usize>,
    /// Leave the program as it is: keep channels that are constant or unread (for comparison)
    #[arg(long)]
    no_simplify: bool,
}

impl SubjectArgs {
    /// As the pipeline takes it.
    pub fn subject(&self) -> SubjectOptions {
        SubjectOptions {
            route: self.route.options(),
            target: self.target.clone(),
            random_calibration: self.random_calibration,
            simplify: !self.no_simplify,
        }
    }

    /// As the planner takes it.
    pub fn plan(&self) -> PlanChoice {
        OptimizeArg::options(self.optimize)
    }
}
