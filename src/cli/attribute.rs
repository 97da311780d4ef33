//! `fratc attribute`.

use std::path::PathBuf;

use crate::cli::Shell;
use crate::cli::args::MethodArg;
use crate::diag::Result;
use crate::pipeline::{self, AttributeOptions};

/// Find the critical channels of every class and save them as a route library (.frat)
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: fratc attribute signs.toml --out signs.frat\nLater commands take it with --library.")]
pub struct Cmd {
    /// Case file: model, input contract and data
    case: PathBuf,
    /// The library to write [default: the case file's name with .frat]
    #[arg(long, short, value_name = "FILE.frat")]
    out: Option<PathBuf>,
    /// How critical channels are found
    #[arg(long, value_enum, default_value = "frat")]
    method: MethodArg,
    /// Samples per class; the same for every class
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// Seed of the sample selection and of the random method
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
}

impl Cmd {
    pub fn run(&self, shell: &Shell) -> Result<()> {
        let out = self.out.clone().unwrap_or_else(|| self.case.with_extension("frat"));
        let options = AttributeOptions { method: self.method.into(), samples_per_class: self.samples, seed: self.seed };
        let summary = pipeline::attribute(&self.case, &out, &options, shell)?;
        shell.print(&summary, |s| {
            format!(
                "{}: {} groups × {} classes, {} samples a class\n",
                s.path, s.groups, s.classes, s.samples_per_class
            )
        })
    }
}
