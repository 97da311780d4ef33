//! `fratc study`.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::cli::Shell;
use crate::diag::Result;
use crate::study::{self, Contender, Split, StudyOptions};

/// Compare attribution methods over models, class sets and budgets
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: fratc study signs.toml --sets left,right,stop --sets left,right --keep 0.25,0.5 --out study\n\
    A method may carry settings: frat:log-probability:plain:all:links=none:mean. Of each kind one: probability,\n\
    log-probability or margin; weighted or plain; within (contrast inside the set) or all; links=none or links=FACTOR\n\
    (relevance analysis); max or mean over the set's classes. An interrupted study goes on where it stopped."
)]
pub struct Cmd {
    /// Case files
    #[arg(required = true, value_name = "CASE.toml")]
    cases: Vec<PathBuf>,
    /// A class set, names or indices; may be given several times [default: the case's, else all classes]
    #[arg(long, value_name = "A,B,C")]
    sets: Vec<String>,
    /// Shares of channels to keep in every group, 0 to 1
    #[arg(long, value_delimiter = ',', default_value = "0.25,0.5", value_name = "RATIOS")]
    keep: Vec<f64>,
    /// Methods, with settings if they are to differ from the default
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "frat,contribution,taylor,activation,l1,random",
        value_name = "METHODS"
    )]
    methods: Vec<String>,
    /// Weights as sliced, refitted, or both one after the other
    #[arg(long, value_enum, default_value = "both")]
    weights: Weights,
    /// What to judge on: the test split, or a quarter of the calibration samples held out
    #[arg(long, value_enum, default_value = "test")]
    split: SplitArg,
    /// Samples per class for attribution, at most
    #[arg(long, default_value_t = 100, value_name = "N")]
    samples: usize,
    /// Seeds
    #[arg(long, value_delimiter = ',', default_value = "0", value_name = "SEEDS")]
    seeds: Vec<u64>,
    /// Measure the int8 networks too
    #[arg(long)]
    int8: bool,
    /// The study's folder, new or of an earlier run
    #[arg(long, short, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Weights {
    /// Sliced only
    Sliced,
    /// Refitted
    Refit,
    /// Both
    Both,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SplitArg {
    /// The test split
    Test,
    /// A quarter of the calibration samples
    HeldOut,
}

impl Cmd {
    pub fn run(&self, shell: &Shell) -> Result<()> {
        let tokens = |set: &String| set.split(',').map(|t| t.trim().to_string()).collect();
        let options = StudyOptions {
            sets: if self.sets.is_empty() { vec![Vec::new()] } else { self.sets.iter().map(tokens).collect() },
            keep: self.keep.clone(),
            methods: self.methods.iter().map(|m| m.parse()).collect::<Result<Vec<Contender>>>()?,
            refit: match self.weights {
                Weights::Sliced => vec![false],
                Weights::Refit => vec![true],
                Weights::Both => vec![false, true],
            },
            split: match self.split {
                SplitArg::Test => Split::Test,
                SplitArg::HeldOut => Split::HeldOut,
            },
            samples: self.samples,
            seeds: self.seeds.clone(),
            int8: self.int8,
            out: self.out.clone(),
        };
        let summary = study::study(&self.cases, &options, shell)?;
        shell.print(&summary, |s| format!("{}: {} rows, {} new; tables in study.md\n", s.path, s.rows, s.new))
    }
}
