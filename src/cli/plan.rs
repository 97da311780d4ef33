//! `fratc plan`.

use std::path::PathBuf;

use crate::cli::Shell;
use crate::cli::args::{OptimizeArg, RouteArgs};
use crate::diag::Result;
use crate::pipeline::{self, PlanOptions, SubjectOptions};

/// Show order, memory, kernels and estimated cost of every layer on a board, without compiling anything
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: fratc plan signs.toml --target nrf52840dk --optimize balanced\nMemory is by offset in the arena; * marks the kernel that was chosen."
)]
pub struct Cmd {
    /// Case file, int8 program (`fratc quantize`), or folder of an emitted crate
    input: PathBuf,
    /// Board or emulated machine (see `fratc targets`), or the path of a target file [default: the case's or the crate's]
    #[arg(long)]
    target: Option<String>,
    /// What kernels are chosen for [default: speed]
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

impl Cmd {
    pub fn run(&self, shell: &Shell) -> Result<()> {
        let options = PlanOptions {
            subject: SubjectOptions {
                route: self.route.options(),
                target: self.target.clone(),
                random_calibration: self.random_calibration,
                simplify: !self.no_simplify,
            },
            plan: OptimizeArg::options(self.optimize),
        };
        let report = pipeline::plan(&self.input, &options, shell)?;
        shell.print(&report, ToString::to_string)
    }
}
