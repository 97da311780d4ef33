//! `fratc demo`.

use std::path::PathBuf;

use crate::cli::Shell;
use crate::diag::Result;
use crate::pipeline::{self, DemoOptions};

/// Build and verify the built-in example: three of sixteen floor markers, no files needed
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: fratc demo --classes stop,dock,charge --target nrf52840dk")]
pub struct Cmd {
    /// Wanted classes [default: three of the sixteen]
    #[arg(long, value_delimiter = ',', value_name = "A,B,C")]
    classes: Vec<String>,
    /// Board or emulated machine
    #[arg(long, default_value = "qemu-m4")]
    target: String,
    /// Folder of the crate
    #[arg(long, short, value_name = "DIR", default_value = "fratc-demo")]
    out: PathBuf,
}

impl Cmd {
    pub fn run(&self, shell: &Shell) -> Result<()> {
        let options = DemoOptions { classes: self.classes.clone(), target: self.target.clone(), out: self.out.clone() };
        let outcome = pipeline::demo(&options, shell)?;
        super::build_report(outcome, shell)
    }
}
