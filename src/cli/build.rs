//! `fratc build`.

use std::path::PathBuf;

use crate::cli::Shell;
use crate::cli::args::RouteArgs;
use crate::diag::Result;
use crate::pipeline::{self, BuildOptions};

/// From a trained classifier to a verified crate for the wanted classes
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: fratc build signs.toml --classes left,right,stop --target nrf52840dk --out stop-sign")]
pub struct Cmd {
    /// Case file: model, input contract and data
    case: PathBuf,
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
    /// Calibrate on N random inputs: for models without data (keeps all classes, measures no accuracy)
    #[arg(long, value_name = "N")]
    random_calibration: Option<usize>,
    /// Leave the int8 program as quantized: keep channels that are constant or unread (for comparison)
    #[arg(long)]
    no_simplify: bool,
}

impl Cmd {
    pub fn run(&self, shell: &Shell) -> Result<()> {
        let options = BuildOptions {
            route: self.route.options(),
            target: self.target.clone(),
            out: self.out.clone(),
            qemu_samples: self.verify_samples,
            random_calibration: self.random_calibration,
            simplify: !self.no_simplify,
        };
        let outcome = pipeline::build(&self.case, &options, shell)?;
        super::build_report(outcome, shell)
    }
}
