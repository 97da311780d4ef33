//! `fratc build`.

use std::path::PathBuf;

use crate::cli::Shell;
use crate::cli::args::{FirmwareArg, OptimizeArg, RouteArgs, SourceArgs};
use crate::diag::Result;
use crate::pipeline::{self, BuildOptions, Point, RejectOptions, Share};

/// Share of false accepts if the user names no operating point.
const FALSE_ACCEPTS: f64 = 0.01;

/// From a trained classifier to a verified crate for the wanted classes
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: fratc build signs.toml --classes left,right,stop --target nrf52840dk --out stop-sign")]
pub struct Cmd {
    #[command(flatten)]
    source: SourceArgs,
    /// Board or emulated machine (see `fratc targets`), or the path of a target file [default: the case's]
    #[arg(long)]
    target: Option<String>,
    /// Folder of the crate; new, empty, or made by fratc [default: the case's]
    #[arg(long, short, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    route: RouteArgs,
    /// Test samples to run in QEMU [default: 64]; the host runs all
    #[arg(long, value_name = "N")]
    verify_samples: Option<usize>,
    /// Calibrate on N random inputs: for models without data (all classes are kept where none are named)
    #[arg(long, value_name = "N")]
    random_calibration: Option<usize>,
    /// Answer None where an input shows none of the classes, as known from the source's other classes; one class will do
    #[arg(long)]
    reject: bool,
    /// Take at most this share of other inputs for a wanted class [default: 1%]
    #[arg(long, value_name = "SHARE", requires = "reject", conflicts_with = "recall")]
    false_accept: Option<Share>,
    /// Take at least this share of wanted inputs for a wanted class
    #[arg(long, value_name = "SHARE", requires = "reject")]
    recall: Option<Share>,
    /// Images of none of the classes, also to be rejected: half of them choose the threshold, the others judge it
    #[arg(long, value_name = "DIR", requires = "reject")]
    background: Option<PathBuf>,
    /// Leave the int8 program as quantized: keep channels that are constant or unread (for comparison)
    #[arg(long)]
    no_simplify: bool,
    /// Also write firmware for the board beside the crate, as DIR-firmware: flash it with `cargo run --release` there or
    /// with `fratc flash DIR`
    #[arg(long, value_enum, value_name = "STYLE", num_args = 0..=1, default_missing_value = "plain")]
    firmware: Option<FirmwareArg>,
    /// What kernels are chosen for [default: balanced]
    #[arg(long, value_enum)]
    optimize: Option<OptimizeArg>,
}

impl Cmd {
    pub fn run(&self, shell: &Shell) -> Result<()> {
        let point = match (self.recall, self.false_accept) {
            (Some(Share(share)), _) => Point::Recall(share),
            (None, Some(Share(share))) => Point::FalseAccept(share),
            (None, None) => Point::FalseAccept(FALSE_ACCEPTS),
        };
        let reject = self.reject.then(|| RejectOptions { point, background: self.background.clone() });
        let options = BuildOptions {
            route: self.route.options(),
            target: self.target.clone(),
            out: self.out.clone(),
            qemu_samples: self.verify_samples,
            random_calibration: self.random_calibration,
            simplify: !self.no_simplify,
            reject,
            firmware: self.firmware.map(Into::into),
            plan: OptimizeArg::options(self.optimize),
        };
        let outcome = match &self.source.case {
            Some(case) => pipeline::build(case, &options, shell)?,
            None => pipeline::build_from(&self.source.from, self.source.heads(), &options, shell)?,
        };
        super::build_report(outcome, shell)
    }
}
