//! `fratc completions`.

use clap::CommandFactory as _;
use clap_complete::Shell as Kind;

use crate::cli::{Cli, Shell};
use crate::diag::Result;

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: fratc completions bash > ~/.local/share/bash-completion/completions/fratc")]
pub struct Cmd {
    /// Shell to complete for
    shell: Kind,
}

impl Cmd {
    pub fn run(&self, shell: &Shell) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "fratc", &mut script);
        shell.raw(&String::from_utf8_lossy(&script))
    }
}
