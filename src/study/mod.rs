//! Networks side by side: cases × class sets × budgets × methods × what is done to the weights.
//!
//! In: case files and [`StudyOptions`]. Out: a folder with `study.json` (all rows), `study.csv` (the same),
//! `study.md` (means over class sets) and `CASE.svg` (accuracy against multiply-accumulates and bytes), and the
//! [`Summary`]. Every row is written as soon as it is measured and never measured again, so an interrupted study goes
//! on where it stopped, and several commands, one after the other, may fill one folder.
//!
//! Guaranteed: what is judged on was neither attributed on nor fitted to. `held-out` splits the calibration
//! samples three to one and never reads the test split: for choosing. `test` uses all calibration samples and
//! judges on the test split: for reporting. `train` uses all calibration samples too and judges on training samples that
//! are none of them: for choosing among methods, where the source is as good on those as on others. The base of every row is the source with masked scores.

mod bench;
mod budget;
mod contender;
mod plot;
mod rows;
mod table;

pub use budget::{Budget, Weights};
pub use contender::Contender;
pub use rows::{Key, Row};
pub use table::Mean;

use std::path::PathBuf;

use serde::Serialize;

use crate::diag::{Diag, Result};
use crate::pipeline::{Progress, Source};
use bench::Bench;
use rows::Folder;

/// Which samples are judged on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// The test split.
    Test,
    /// Every fourth calibration sample of a class.
    HeldOut,
    /// Samples of the training split that are not calibration samples.
    Train,
}

impl Split {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::HeldOut => "held-out",
            Self::Train => "train",
        }
    }
}

/// What is studied.
#[derive(Debug, Clone)]
pub struct StudyOptions {
    /// Class sets, as tokens; the same for every case.
    pub sets: Vec<Vec<String>>,
    /// Sizes of the networks.
    pub budgets: Vec<Budget>,
    /// Methods.
    pub methods: Vec<Contender>,
    /// What is done to the weights.
    pub weights: Vec<Weights>,
    /// Times through the training samples, where weights are trained.
    pub epochs: usize,
    /// Folder of training images; the case's training split, else its calibration samples.
    pub train: Option<PathBuf>,
    /// Samples judged on.
    pub split: Split,
    /// Most samples per class for attribution.
    pub samples: usize,
    /// Seeds of every random choice.
    pub seeds: Vec<u64>,
    /// Whether the int8 network is measured too.
    pub int8: bool,
    /// The study's folder.
    pub out: PathBuf,
}

/// What `study --json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Layout version.
    pub schema: u32,
    /// The study's folder.
    pub path: String,
    /// Rows in the folder.
    pub rows: usize,
    /// Of them measured now.
    pub new: usize,
    /// Plots in the folder; none where all networks are as sliced, or worse than any plot shows.
    pub plots: Vec<String>,
    /// Means of all rows of the folder.
    pub means: Vec<Mean>,
}

/// Measures what the folder lacks and writes the tables anew.
pub fn study(cases: &[PathBuf], options: &StudyOptions, progress: &dyn Progress) -> Result<Summary> {
    options.budgets.iter().try_for_each(|budget| budget.check())?;
    if options.budgets.is_empty() {
        return Diag::new("study/budget", "there is nothing to measure")
            .help("give --keep 0.25,0.5 or --macs 15%,30%")
            .err();
    }
    let trained = options.weights.iter().any(|w| w.trained());
    if trained && (options.epochs == 0 || options.split != Split::Test) {
        return Diag::new("study/training", "training cannot be judged this way")
            .expected("--split test and at least one epoch", format!("--split {}", options.split.name()))
            .help("training data often holds the calibration samples: judge trained networks on the test split")
            .err();
    }
    let mut folder = Folder::open(&options.out)?;
    let before = folder.rows.len();
    let cells = options.budgets.len() * options.weights.len() * options.methods.len() * options.seeds.len();
    let total = cells * options.sets.len() * cases.len();
    let mut done = 0;
    for case in cases {
        progress.stage("load");
        let source = Source::open(case)?;
        progress.stage("measure");
        for set in &options.sets {
            let classes = source.classes(set)?;
            progress.note(&format!("{}, classes {}", case.display(), source.names(&classes).join(", ")));
            let mut bench = Bench::new(&source, &classes, options)?;
            for &seed in &options.seeds {
                for contender in &options.methods {
                    bench.measure(contender, seed, &mut folder, progress)?;
                    done += options.budgets.len() * options.weights.len();
                    progress.steps(done, total);
                }
            }
        }
    }
    progress.stage("write");
    let means = table::means(&folder.rows);
    folder.save()?;
    folder.write("study.csv", &table::csv(&folder.rows))?;
    folder.write("study.md", &table::markdown(&means))?;
    let mut plots = Vec::new();
    for (case, picture) in plot::plots(&means) {
        let name = format!("{case}.svg");
        folder.write(&name, &picture)?;
        plots.push(name);
    }
    Ok(Summary {
        schema: rows::SCHEMA,
        path: options.out.display().to_string(),
        rows: folder.rows.len(),
        new: folder.rows.len() - before,
        plots,
        means,
    })
}
