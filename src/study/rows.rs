//! Measurements, and the folder that keeps them from one run to the next.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::diag::{Diag, Result};
use crate::output;
use crate::study::{Budget, Weights};

/// Layout version of the file.
pub(super) const SCHEMA: u32 = 6;

/// What measured the rows.
const TOOL_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The file of all rows in a study's folder.
const FILE: &str = "study.json";

/// What makes a measurement the same as another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The case file's name without its ending.
    pub case: String,
    /// SHA-256 of the model, lower-case hex.
    pub model_sha256: String,
    /// SHA-256 of the samples fitted to and of those judged on.
    pub data_sha256: [String; 2],
    /// Source classes.
    pub classes: Vec<usize>,
    /// How large the network may be.
    pub budget: Budget,
    /// Full name of the method and its settings.
    pub method: String,
    /// What was done to the weights.
    pub weights: Weights,
    /// Times through the training samples; 0 where nothing was trained.
    pub epochs: usize,
    /// `test`, `held-out` or `train`.
    pub split: String,
    /// Samples per class for attribution.
    pub samples: usize,
    /// Seed of every random choice.
    pub seed: u64,
}

/// One measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// What was measured.
    pub key: Key,
    /// Multiply-accumulates per sample.
    pub macs: u64,
    /// Those of the source.
    pub source_macs: u64,
    /// Weights and biases.
    pub params: usize,
    /// Samples judged on.
    pub judged: usize,
    /// Of them right by the source over all its classes.
    pub source_right: usize,
    /// Right by the source with its scores masked to the set: the honest base.
    pub masked_right: usize,
    /// Right by the small float network.
    pub right: usize,
    /// Right by the small int8 network, if asked for.
    pub int8_right: Option<usize>,
    /// Bytes of its weights and tables.
    pub int8_bytes: Option<u64>,
    /// Channels kept of every channel group.
    pub widths: Vec<usize>,
    /// Whether training was kept, where there was some: it is dropped if it does not help on held-out samples.
    pub training_kept: Option<bool>,
}

impl Row {
    /// Accuracy against the masked source, in points.
    pub fn change(&self) -> f64 {
        self.points(self.right)
    }

    /// The same of the int8 network.
    pub fn int8_change(&self) -> Option<f64> {
        self.int8_right.map(|right| self.points(right))
    }

    fn points(&self, right: usize) -> f64 {
        100.0 * (right as f64 - self.masked_right as f64) / self.judged.max(1) as f64
    }
}

/// All rows of a folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    pub rows: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
struct File {
    schema: u32,
    /// The version that measured the rows: another may choose and fit otherwise.
    #[serde(default)]
    tool_version: String,
    rows: Vec<Row>,
}

impl Folder {
    /// Opens a study's folder, or makes a new one; a folder with other files is refused.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let failed = |e: std::io::Error| {
            Box::new(Diag::new("study/folder", format!("cannot use the study's folder: {e}")).at(path.display()))
        };
        if !path.exists() {
            std::fs::create_dir(path).map_err(failed)?;
        }
        let file = path.join(FILE);
        if file.is_file() {
            let text = std::fs::read_to_string(&file).map_err(failed)?;
            let read: File = serde_json::from_str(&text).map_err(|e| {
                Box::new(
                    Diag::new("study/file", format!("the rows of an earlier run cannot be read: {e}"))
                        .at(file.display())
                        .help("choose another --out, or remove the file to measure everything again"),
                )
            })?;
            if (read.schema, read.tool_version.as_str()) != (SCHEMA, TOOL_VERSION) {
                return Diag::new("study/schema", "the rows are of another version of fratc")
                    .at(file.display())
                    .expected(
                        format!("layout {SCHEMA} of fratc {TOOL_VERSION}"),
                        format!("layout {} of fratc {}", read.schema, read.tool_version),
                    )
                    .help("choose another --out")
                    .err();
            }
            return Ok(Self { path: path.to_owned(), rows: read.rows });
        }
        if std::fs::read_dir(path).map_err(failed)?.next().is_some() {
            return Diag::new("output/not-ours", "the output folder holds files that fratc did not write")
                .at(path.display())
                .help("choose an empty or new folder for --out")
                .err();
        }
        Ok(Self { path: path.to_owned(), rows: Vec::new() })
    }

    /// The row of `key`, if it was measured before.
    pub(super) fn find(&self, key: &Key) -> Option<&Row> {
        self.rows.iter().find(|row| row.key == *key)
    }

    /// Writes all rows.
    pub(super) fn save(&self) -> Result<()> {
        let file = File { schema: SCHEMA, tool_version: TOOL_VERSION.into(), rows: self.rows.clone() };
        let mut text = serde_json::to_string_pretty(&file)
            .map_err(|e| Box::new(Diag::new("study/json", format!("cannot write JSON: {e}"))))?;
        text.push('\n');
        self.write(FILE, &text)
    }

    /// Writes a file beside the rows.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<()> {
        output::write_file(&self.path.join(name), text.as_bytes())
    }
}
