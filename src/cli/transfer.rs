//! `fratc transfer`.

use std::path::PathBuf;

use crate::cli::Shell;
use crate::cli::args::{OptimizeArg, RouteArgs};
use crate::diag::Result;
use crate::pipeline::{self, BuildOptions, From, TransferOptions};

/// Build a crate for new classes from a few images of each, on the routes of related classes
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: fratc transfer letters.toml --classes A,B,D,O,P,R --to runes --images 20 --finetune 1 --target nrf52840dk --out runes-crate"
)]
pub struct Cmd {
    /// Case file of the network whose routes are the body
    case: PathBuf,
    /// The new classes: a folder of class folders, or classes of another case file, as in letters.toml:X,Y
    #[arg(long, value_name = "DIR|CASE.toml:X,Y")]
    to: From,
    /// Images of each new class to learn from: the first of the folder or of the case's calibration data
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    images: u32,
    /// Also train the same network from random weights on the same images, N epochs at each of three rates, to see what
    /// the routes are worth
    #[arg(long, default_value_t = 0, value_name = "N")]
    scratch: usize,
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
    /// What kernels are chosen for [default: balanced]
    #[arg(long, value_enum)]
    optimize: Option<OptimizeArg>,
}

impl Cmd {
    pub fn run(&self, shell: &Shell) -> Result<()> {
        let options = TransferOptions {
            to: self.to.clone(),
            images: self.images as usize,
            scratch: self.scratch,
            build: BuildOptions {
                route: self.route.options(),
                target: self.target.clone(),
                out: self.out.clone(),
                qemu_samples: self.verify_samples,
                random_calibration: None,
                simplify: true,
                reject: None,
                firmware: None,
                plan: OptimizeArg::options(self.optimize),
            },
        };
        let (mut report, refused) = pipeline::transfer(&self.case, &options, shell)?;
        report.build.seconds = shell.seconds();
        shell.print(&report, |r| format!("{}{}", r.build, r.transfer))?;
        refused.map_or(Ok(()), Err)
    }
}
