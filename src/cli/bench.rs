//! `fratc bench`.

use std::path::PathBuf;

use crate::cli::Shell;
use crate::cli::args::{OptimizeArg, RouteArgs};
use crate::diag::Result;
use crate::pipeline::{self, BenchOptions, SubjectOptions};

/// Measure instructions and estimated cycles of every layer in QEMU
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: fratc bench signs.toml --target qemu-m4 --save before.json\nThen, after a change: fratc bench signs.toml --target qemu-m4 --compare before.json\nExit code 1 if one inference takes over 1 % more instructions than the baseline."
)]
pub struct Cmd {
    /// Case file, int8 program (`fratc quantize`), or folder of an emitted crate, which is measured as it is
    input: PathBuf,
    /// Board that QEMU has (see `fratc targets`) [default: the case's or the crate's]
    #[arg(long)]
    target: Option<String>,
    /// What kernels are chosen for; a crate has its own [default: speed]
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
    /// Write the figures to FILE, as a baseline
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Compare with a baseline that --save wrote
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// C compiler that builds the counting plugin [default: cc]; without one, instructions come from `SysTick`, and
    /// there are no cycles
    #[arg(long, value_name = "PROGRAM")]
    cc: Option<String>,
}

impl Cmd {
    pub fn run(&self, shell: &Shell) -> Result<()> {
        let options = BenchOptions {
            subject: SubjectOptions {
                route: self.route.options(),
                target: self.target.clone(),
                random_calibration: self.random_calibration,
                simplify: !self.no_simplify,
            },
            plan: OptimizeArg::options(self.optimize),
            compiler: self.cc.clone(),
            save: self.save.clone(),
            compare: self.compare.clone(),
        };
        let benched = pipeline::bench(&self.input, &options, shell)?;
        match &benched.compared {
            Some(compared) => shell.print(compared, ToString::to_string)?,
            None => shell.print(&benched.bench, ToString::to_string)?,
        }
        benched.refused.map_or(Ok(()), Err)
    }
}
