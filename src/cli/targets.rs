//! `fratc targets`.

use std::fmt::Write as _;

use crate::cli::Shell;
use crate::diag::Result;
use crate::pipeline;

/// List the boards and emulated machines that --target knows
#[derive(Debug, clap::Args)]
#[command(
    after_help = "--target also takes the path of a TOML file of your own; targets/README.md documents its fields."
)]
pub struct Cmd {}

impl Cmd {
    #[expect(clippy::unused_self, reason = "every command runs in the same way")]
    pub fn run(&self, shell: &Shell) -> Result<()> {
        shell.print(&pipeline::targets()?, |all| {
            let mut out =
                format!("{:<18} {:>9} {:>9}  {:<28} description\n", "target", "flash B", "RAM B", "rust target");
            for row in &all.targets {
                let _ = writeln!(
                    out,
                    "{:<18} {:>9} {:>9}  {:<28} {}",
                    row.name, row.flash_bytes, row.ram_bytes, row.rust_target, row.description
                );
            }
            out
        })
    }
}
