//! `fratc attribute`.

use std::path::PathBuf;

use crate::cli::Shell;
use crate::cli::args::MethodArg;
use crate::diag::Result;
use crate::pipeline::{self, AttributeOptions, Links, Place, Shard};

/// Find the critical channels of every class and save them as a route library (.frat)
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: fratc attribute signs.toml --out signs.frat\nLater commands take it with --library.\n\
    Over four machines: fratc attribute signs.toml --manifest signs.sel --shard 1/4 --out signs-1.part … 4/4, each \
    taken up again after a kill with --resume, then: fratc merge signs.toml signs-*.part --out signs.frat"
)]
pub struct Cmd {
    /// Case file: model, input contract and data
    case: PathBuf,
    /// The library to write [default: the case file's name with .frat, or with .i-of-n.part for a shard]
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Attribute these classes only: names or indices, comma-separated [default: all]
    #[arg(long, value_delimiter = ',', value_name = "A,B,C")]
    classes: Vec<String>,
    /// How critical channels are found
    #[arg(long, value_enum, default_value = "frat")]
    method: MethodArg,
    /// Whether to keep the links between layers, 4 bytes × links × classes: bounded (if they take 1 GiB at most), always or
    /// never
    #[arg(long, default_value = "bounded", value_name = "WHEN")]
    links: Links,
    /// Samples per class; the same for every class
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    samples: Option<u32>,
    /// Seed of the sample selection and of the random method
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// Do only this share of the work and write a partial result, for `fratc merge`
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// The selected samples: read from this file if it is there, else chosen and written to it
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// What runs the network: cpu, candle (its tensors on the processor) or cuda:N
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: Place,
    /// Keep partial sums while running, and go on with those of a run that was stopped
    #[arg(long)]
    resume: bool,
}

impl Cmd {
    pub fn run(&self, shell: &Shell) -> Result<()> {
        let ending = self.shard.map_or("frat".into(), |s| format!("{}-of-{}.part", s.index, s.count));
        let out = self.out.clone().unwrap_or_else(|| self.case.with_extension(ending));
        let options = AttributeOptions {
            classes: self.classes.clone(),
            links: self.links,
            method: self.method.into(),
            samples_per_class: self.samples.map(|n| n as usize),
            seed: self.seed,
            shard: self.shard,
            manifest: self.manifest.clone(),
            resume: self.resume,
            device: self.device,
        };
        let summary = pipeline::attribute(&self.case, &out, &options, shell)?;
        shell.print(&summary, summary_line)
    }
}

/// The result in one line.
pub fn summary_line(s: &pipeline::AttributeSummary) -> String {
    let shard = s.shard.as_ref().map_or(String::new(), |shard| format!(", shard {shard}"));
    format!("{}: {} groups × {} classes, {} samples a class{shard}\n", s.path, s.groups, s.classes, s.samples_per_class)
}
