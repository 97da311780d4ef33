//! `fratc attribute`: the route library of a source.

use std::path::Path;

use serde::Serialize;

use crate::attribute::{self, Method};
use crate::diag::Result;
use crate::library::{self, Relevance};
use crate::pipeline::{Progress, Source};
use crate::report::SCHEMA;

/// What the user wants.
#[derive(Debug, Clone)]
pub struct AttributeOptions {
    /// How critical channels are found.
    pub method: Method,
    /// Samples of every class; the method's default if not given.
    pub samples_per_class: Option<usize>,
    /// Seed of the sample selection and of the random method.
    pub seed: u64,
}

/// What `attribute --json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Layout version.
    pub schema: u32,
    /// The file written.
    pub path: String,
    /// Channel groups scored.
    pub groups: usize,
    /// Classes scored.
    pub classes: usize,
    /// Samples of every class.
    pub samples_per_class: usize,
}

/// Scores every class of the case's network and writes the library to `out`.
pub fn attribute(case: &Path, out: &Path, options: &AttributeOptions, progress: &dyn Progress) -> Result<Summary> {
    progress.stage("load");
    let source = Source::open(case)?;
    source.calibration()?.require_classes(&source.classes(&[])?, &source.case.label_names)?;
    progress.stage("attribute");
    let mut wanted = attribute::Options { method: options.method, seed: options.seed, ..attribute::Options::default() };
    if let Some(n) = options.samples_per_class {
        wanted.samples_per_class = n;
    }
    let relevance = relevance(&source, &wanted)?;
    progress.stage("write");
    library::save(&relevance, out)?;
    Ok(Summary {
        schema: SCHEMA,
        path: out.display().to_string(),
        groups: relevance.groups.len(),
        classes: relevance.classes.len(),
        samples_per_class: relevance.selected.iter().map(Vec::len).max().unwrap_or(0),
    })
}

/// Attributes `source` on its calibration split.
pub fn relevance(source: &Source, options: &attribute::Options) -> Result<Relevance> {
    let samples = attribute::Source {
        model: &source.model_name,
        model_sha256: &source.sha256,
        classes: &source.case.label_names,
        input: &source.case.input,
        samples: source.calibration()?,
    };
    attribute::attribute(&source.graph, &source.groups, &samples, options)
}
