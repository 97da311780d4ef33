//! `fratc verify`.

use std::path::PathBuf;

use crate::cli::Shell;
use crate::diag::Result;
use crate::pipeline::{self, VerifyOptions};

/// Build an emitted crate, run it on the host and in QEMU, and compare every output byte
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: fratc verify stop-sign --case signs.toml\nExit code 1 on any difference, naming the first differing layer."
)]
pub struct Cmd {
    /// Folder of the crate, as `fratc build` or `fratc emit` wrote it
    dir: PathBuf,
    /// Case file whose test samples are the inputs [default: random inputs]
    #[arg(long, value_name = "CASE.toml")]
    case: Option<PathBuf>,
    /// Use only the first N inputs [default: all]
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// Inputs to run in QEMU; the host runs all
    #[arg(long, default_value_t = 64, value_name = "N")]
    verify_samples: usize,
    /// Another board or machine than the crate was emitted for
    #[arg(long)]
    target: Option<String>,
}

impl Cmd {
    pub fn run(&self, shell: &Shell) -> Result<()> {
        let options = VerifyOptions {
            case: self.case.clone(),
            samples: self.samples,
            qemu_samples: self.verify_samples,
            target: self.target.clone(),
        };
        let summary = pipeline::verify(&self.dir, &options, shell)?;
        shell.print(&summary, ToString::to_string)
    }
}
