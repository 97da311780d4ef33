//! Attribution methods side by side: cases × class sets × budgets × methods, sliced only and refitted.
//!
//! In: case files and [`StudyOptions`]. Out: a folder with `study.json` (all rows), `study.csv` (the same) and
//! `study.md` (means over class sets), and the [`Summary`]. Rows that the folder already holds are not measured
//! again, so an interrupted study goes on where it stopped, and several commands may fill one folder.
//!
//! Guaranteed: what is judged on was neither attributed on nor fitted to. `held-out` splits the calibration
//! samples three to one and never reads the test split: for choosing. `test` uses all calibration samples and
//! judges on the test split: for reporting. The base of every row is the source with masked scores.

mod bench;
mod contender;
mod rows;
mod table;

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
}

impl Split {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::HeldOut => "held-out",
        }
    }
}

/// What is studied.
#[derive(Debug, Clone)]
pub struct StudyOptions {
    /// Class sets, as tokens; the same for every case.
    pub sets: Vec<Vec<String>>,
    /// Shares of channels to keep in every group.
    pub keep: Vec<f64>,
    /// Methods.
    pub methods: Vec<Contender>,
    /// Whether weights are refitted: either or both.
    pub refit: Vec<bool>,
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
    /// Means of all rows of the folder.
    pub means: Vec<Mean>,
}

/// Measures what the folder lacks and writes the tables anew.
pub fn study(cases: &[PathBuf], options: &StudyOptions, progress: &dyn Progress) -> Result<Summary> {
    if let Some(keep) = options.keep.iter().find(|k| !(**k > 0.0 && **k <= 1.0)) {
        return Diag::new("study/keep", "the share of channels to keep is out of range")
            .expected("more than 0, at most 1", keep)
            .help("for example --keep 0.25,0.5")
            .err();
    }
    let mut folder = Folder::open(&options.out)?;
    let before = folder.rows.len();
    for case in cases {
        progress.stage("load");
        let source = Source::open(case)?;
        for set in &options.sets {
            let classes = source.classes(set)?;
            progress.stage("measure");
            progress.note(&format!("{}, classes {}", case.display(), source.names(&classes).join(", ")));
            let mut bench = Bench::new(&source, &classes, options)?;
            for &seed in &options.seeds {
                for contender in &options.methods {
                    if bench.measure(contender, seed, &mut folder)? {
                        folder.save()?;
                    }
                }
            }
        }
    }
    progress.stage("write");
    let means = table::means(&folder.rows);
    folder.save()?;
    folder.write("study.csv", &table::csv(&folder.rows))?;
    folder.write("study.md", &table::markdown(&means))?;
    Ok(Summary {
        schema: 1,
        path: options.out.display().to_string(),
        rows: folder.rows.len(),
        new: folder.rows.len() - before,
        means,
    })
}
