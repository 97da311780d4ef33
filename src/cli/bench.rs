//! `fratc bench`.

use std::path::PathBuf;

use crate::cli::Shell;
use crate::cli::args::SubjectArgs;
use crate::diag::Result;
use crate::pipeline::{self, BenchOptions};

/// Measure instructions and estimated cycles of every layer in QEMU
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: fratc bench signs.toml --target qemu-m4 --save before.json\nThen, after a change: fratc bench signs.toml --target qemu-m4 --compare before.json\nExit code 1 if one inference takes over 1 % more instructions than the baseline."
)]
pub struct Cmd {
    #[command(flatten)]
    subject: SubjectArgs,
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
            subject: self.subject.subject(),
            plan: self.subject.plan(),
            compiler: self.cc.clone(),
            save: self.save.clone(),
            compare: self.compare.clone(),
        };
        let benched = pipeline::bench(&self.subject.input, &options, shell)?;
        match &benched.compared {
            Some(compared) => shell.print(compared, ToString::to_string)?,
            None => shell.print(&benched.bench, ToString::to_string)?,
        }
        benched.refused.map_or(Ok(()), Err)
    }
}
