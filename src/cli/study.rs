//! `fratc study`.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::cli::Shell;
use crate::diag::{Diag, Result};
use crate::study::{self, Budget, Contender, Split, StudyOptions, Weights};

/// Compare methods over models, class sets and budgets: tables and plots of accuracy
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: fratc study signs.toml --sets left,right,stop --sets left,right --macs 15%,30% --int8 --out study\n\
    A method may carry settings: frat:log-probability:plain:all:links=none:mean. Of each kind one: probability,\n\
    log-probability or margin; weighted or plain; within (contrast inside the set) or all; links=none or links=FACTOR\n\
    (relevance analysis); max or mean over the set's classes; ratio (one for all groups) or search (a width for each\n\
    group); cover (FRAT: channels by what they stand for among the others) or scores; together (all layers fitted\n\
    together in the end) or layers (one after the other only); views (that fit sees samples mirrored and moved too,\n\
    where the source does not mind) or no-views; train (the last refit sees training samples too).\n\
    An interrupted study goes on where it stopped."
)]
pub struct Cmd {
    /// Case files
    #[arg(required = true, value_name = "CASE.toml")]
    cases: Vec<PathBuf>,
    /// A class set, names or indices; may be given several times [default: the case's, else all classes]
    #[arg(long, value_name = "A,B,C")]
    sets: Vec<String>,
    /// Shares of channels to keep in every group, 0 to 1
    #[arg(long, value_delimiter = ',', value_name = "RATIOS")]
    keep: Vec<f64>,
    /// Shares of the source's multiply-accumulates: the largest networks within them [default: 15%,30% if no --keep]
    #[arg(long, value_delimiter = ',', value_name = "SHARES")]
    macs: Vec<String>,
    /// Methods, with settings if they are to differ from the default
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "frat,contribution,taylor,activation,l1,random",
        value_name = "METHODS"
    )]
    methods: Vec<String>,
    /// What is done to the weights: sliced (nothing), refit, epoch (trained toward labels), distill (half toward
    /// the source's scores), scratch (the first method's architectures trained from random weights)
    #[arg(long, value_delimiter = ',', default_value = "sliced,refit", value_name = "WEIGHTS")]
    weights: Vec<String>,
    /// Times through the training samples, where weights are trained
    #[arg(long, default_value_t = 1, value_name = "N")]
    epochs: usize,
    /// Folder of class folders to train on [default: the case's training split, else its calibration samples]
    #[arg(long, value_name = "DIR")]
    train: Option<PathBuf>,
    /// What to judge on: the test split, a quarter of the calibration samples held out, or training samples
    #[arg(long, value_enum, default_value = "test")]
    split: SplitArg,
    /// Samples per class for attribution, at most
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
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
enum SplitArg {
    /// The test split
    Test,
    /// A quarter of the calibration samples
    HeldOut,
    /// Training samples that are not calibration samples, up to 4000
    Train,
}

impl Cmd {
    pub fn run(&self, shell: &Shell) -> Result<()> {
        let tokens = |set: &String| set.split(',').map(|t| t.trim().to_string()).collect();
        let options = StudyOptions {
            sets: if self.sets.is_empty() { vec![Vec::new()] } else { self.sets.iter().map(tokens).collect() },
            budgets: self.budgets()?,
            methods: self.methods.iter().map(|m| m.parse()).collect::<Result<Vec<Contender>>>()?,
            weights: self.weights.iter().map(|w| w.parse()).collect::<Result<Vec<Weights>>>()?,
            epochs: self.epochs,
            train: self.train.clone(),
            split: match self.split {
                SplitArg::Test => Split::Test,
                SplitArg::HeldOut => Split::HeldOut,
                SplitArg::Train => Split::Train,
            },
            samples: self.samples as usize,
            seeds: self.seeds.clone(),
            int8: self.int8,
            out: self.out.clone(),
        };
        let summary = study::study(&self.cases, &options, shell)?;
        shell.print(&summary, |s| {
            let plots = if s.plots.is_empty() { "" } else { ", plots beside it" };
            format!("{}: {} rows, {} new; tables in study.md{plots}\n", s.path, s.rows, s.new)
        })
    }

    fn budgets(&self) -> Result<Vec<Budget>> {
        let usual = || vec!["15%".to_string(), "30%".to_string()];
        let macs = if self.keep.is_empty() && self.macs.is_empty() { usual() } else { self.macs.clone() };
        let keep = self.keep.iter().map(|&share| Ok(Budget::Keep(share)));
        keep.chain(macs.iter().map(|text| share(text).map(Budget::Macs))).collect()
    }
}

/// `15%` or `0.15`.
fn share(text: &str) -> Result<f64> {
    let (number, unit) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    match number.trim().parse::<f64>() {
        Ok(value) => Ok(value / unit),
        Err(_) => Diag::new("study/budget", "a share of the multiply-accumulates cannot be read")
            .expected("a share like 15% or 0.15", text)
            .err(),
    }
}
