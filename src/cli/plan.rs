//! `fratc plan`.

use crate::cli::Shell;
use crate::cli::args::SubjectArgs;
use crate::diag::Result;
use crate::pipeline::{self, PlanOptions};

/// Show order, memory, kernels and estimated cost of every layer on a board, without compiling anything
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: fratc plan signs.toml --target nrf52840dk --optimize ram\nMemory is by offset in the arena; * marks the kernel that was chosen."
)]
pub struct Cmd {
    #[command(flatten)]
    subject: SubjectArgs,
}

impl Cmd {
    pub fn run(&self, shell: &Shell) -> Result<()> {
        let options = PlanOptions { subject: self.subject.subject(), plan: self.subject.plan() };
        let planned = pipeline::plan(&self.subject.input, &options, shell)?;
        shell.print(&planned.report, ToString::to_string)?;
        planned.refused.map_or(Ok(()), Err)
    }
}
