//! `fratc emit`.

use std::path::PathBuf;

use crate::cli::Shell;
use crate::cli::args::{FirmwareArg, OptimizeArg};
use crate::diag::Result;
use crate::pipeline::{self, EmitOptions};

/// Write the crate of an int8 program, without verifying it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: fratc emit stop-sign.int8 --target nrf52840dk --out stop-sign\nThen: fratc verify stop-sign"
)]
pub struct Cmd {
    /// int8 program, as `fratc quantize` writes it
    program: PathBuf,
    /// Board or emulated machine (see `fratc targets`), or the path of a target file
    #[arg(long)]
    target: String,
    /// Folder of the crate; new, empty, or made by fratc
    #[arg(long, short, value_name = "DIR")]
    out: PathBuf,
    /// Leave the program as it is: keep channels that are constant or unread (for comparison)
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
        let options = EmitOptions {
            target: self.target.clone(),
            out: self.out.clone(),
            simplify: !self.no_simplify,
            firmware: self.firmware.map(Into::into),
            plan: OptimizeArg::options(self.optimize),
        };
        let summary = pipeline::emit(&self.program, &options, shell)?;
        shell.print(&summary, |s| {
            let went = s.simplified.as_ref().map_or_else(String::new, |went| format!("simplify {went}\n"));
            format!("{went}{}: {} files, arena {} B, weights {} B\n", s.path, s.files, s.arena_bytes, s.weights_bytes)
        })
    }
}
