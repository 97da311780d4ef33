//! `fratc flash`.

use std::path::PathBuf;

use crate::cli::Shell;
use crate::diag::Result;
use crate::pipeline::{self, FlashOptions};

/// Build a crate's firmware and write it to the board through probe-rs, or to a file that the board takes
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: fratc flash stop-sign --dry-run\nA locked chip is never unlocked, since that erases it."
)]
pub struct Cmd {
    /// Folder of the crate; its firmware is beside it, as `--firmware` of `build` or `emit` wrote it
    dir: PathBuf,
    /// Say what would be erased and written, and touch nothing
    #[arg(long)]
    dry_run: bool,
    /// Which probe, as `probe-rs list` names it [default: the only one]
    #[arg(long, value_name = "VID:PID[:SERIAL]")]
    probe: Option<String>,
    /// Flash the program that answers `fratc verify --on-device`
    #[arg(long)]
    validate: bool,
    /// The crate's board, where that is a target file of your own
    #[arg(long)]
    target: Option<String>,
    /// Write a UF2 or hex file, as the board takes, in place of flashing
    #[arg(long, value_name = "FILE", conflicts_with = "probe")]
    image: Option<PathBuf>,
}

impl Cmd {
    pub fn run(&self, shell: &Shell) -> Result<()> {
        let options = FlashOptions {
            validate: self.validate,
            probe: self.probe.clone(),
            dry_run: self.dry_run,
            target: self.target.clone(),
            image: self.image.clone(),
        };
        let summary = pipeline::flash(&self.dir, &options, shell)?;
        shell.print(&summary, ToString::to_string)
    }
}
