//! `[build]` of a case file: the options of a build that it sets.

use std::path::PathBuf;

use serde::Deserialize;

use crate::data::Amount;
use crate::diag::Diag;

/// Options of a build that a case file may set in `[build]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildOptions {
    pub(super) classes: Option<Vec<Token>>,
    pub(super) target: Option<String>,
    /// Folder to write, relative to where the tool runs.
    pub out: Option<PathBuf>,
    /// Share of channels to keep in every group, above 0 to 1.
    pub keep: Option<f64>,
    /// Largest accepted loss of accuracy, in points.
    pub max_drop: Option<f64>,
    /// Multiply-accumulates at most: a number, or text like "30%".
    pub max_macs: Option<Amount>,
    /// Bytes of flash at most: a number, or text like "64k".
    pub max_flash: Option<Amount>,
    /// Bytes of RAM at most, likewise.
    pub max_ram: Option<Amount>,
    /// Attribution method.
    pub method: Option<String>,
    /// Whether to refit after the cut.
    pub refit: Option<bool>,
    /// Epochs of fine-tuning after that.
    pub finetune: Option<usize>,
    /// Whether the source's scores are its teacher, not the labels.
    pub distill: Option<bool>,
    /// Seed of everything random.
    pub seed: Option<u64>,
    /// Samples to run in QEMU.
    pub verify_samples: Option<usize>,
    /// Random inputs to calibrate on where there is no data.
    pub random_calibration: Option<usize>,
}

/// A class by name or index.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum Token {
    Name(String),
    Index(usize),
}

impl Token {
    /// As on a command line.
    pub(super) fn text(self) -> String {
        match self {
            Self::Name(name) => name,
            Self::Index(index) => index.to_string(),
        }
    }
}

impl BuildOptions {
    /// What is wrong, where `classes` and `target` may stand at the top of the file as well.
    pub(super) fn problem(&self, classes: bool, target: bool) -> Option<Diag> {
        let bad = |what: &str| Some(Diag::new("data/case-file", what));
        if (classes && self.classes.is_some()) || (target && self.target.is_some()) {
            return bad("`classes` or `target` stands both at the top and in [build]");
        }
        if let Some(keep) = self.keep.filter(|keep| !(*keep > 0.0 && *keep <= 1.0)) {
            return bad("`keep` is out of range").map(|d| d.expected("above 0, at most 1", keep));
        }
        if let Some(drop) = self.max_drop.filter(|drop| !(*drop >= 0.0 && *drop <= 100.0)) {
            return bad("`max_drop` is out of range").map(|d| d.expected("0 to 100 points", drop));
        }
        None
    }
}
