//! `fratc merge`.

use std::path::PathBuf;

use crate::cli::Shell;
use crate::cli::attribute::summary_line;
use crate::diag::Result;
use crate::pipeline;

/// Add up the partial results of `attribute --shard` to a route library, the same as of one run
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: fratc merge signs.toml signs.1-of-2.part signs.2-of-2.part --out signs.frat")]
pub struct Cmd {
    /// Case file that the parts were made with
    case: PathBuf,
    /// The partial results of all shards, in any order
    #[arg(required = true, value_name = "FILE.part")]
    parts: Vec<PathBuf>,
    /// The library to write [default: the case file's name with .frat]
    #[arg(long, short, value_name = "FILE.frat")]
    out: Option<PathBuf>,
}

impl Cmd {
    pub fn run(&self, shell: &Shell) -> Result<()> {
        let out = self.out.clone().unwrap_or_else(|| self.case.with_extension("frat"));
        let summary = pipeline::merge(&self.case, &self.parts, &out, shell)?;
        shell.print(&summary, summary_line)
    }
}
