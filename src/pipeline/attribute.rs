//! `fratc attribute` and `fratc merge`: the route library of a source, on one machine or shared out over many.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::attribute::{self, Attribution, Links, Manifest, Method, Shard};
use crate::data::SampleSet;
use crate::device::Place;
use crate::diag::{Diag, Result};
use crate::library::{self, Relevance};
use crate::pipeline::inputs::spare;
use crate::pipeline::{Progress, Source};
use crate::report::SCHEMA;

/// What the user wants.
#[derive(Debug, Clone)]
pub struct AttributeOptions {
    /// How critical channels are found.
    pub method: Method,
    /// Classes to attribute; all if there are none.
    pub classes: Vec<String>,
    /// Whether links are kept.
    pub links: Links,
    /// Samples of every class; the method's default if not given.
    pub samples_per_class: Option<usize>,
    /// Seed of the sample selection and of the random method.
    pub seed: u64,
    /// Only this share of the work; the output is then a partial result.
    pub shard: Option<Shard>,
    /// The selected samples: read if the file is there, else chosen and written to it.
    pub manifest: Option<PathBuf>,
    /// Go on with what an earlier run left.
    pub resume: bool,
    /// What runs the network.
    pub device: Place,
}

/// What `attribute --json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct AttributeSummary {
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
    /// Whether it holds the links between layers.
    pub links: bool,
    /// The share that the file holds; null for a whole library.
    pub shard: Option<String>,
}

/// Scores every class of the case's network and writes the library, or a shard's partial result, to `out`.
///
/// With `resume` the partial sums are kept beside a whole library, in `out` with `.part` added, until it is written.
pub fn attribute(
    case: &Path,
    out: &Path,
    options: &AttributeOptions,
    progress: &dyn Progress,
) -> Result<AttributeSummary> {
    spare(out, [Some(case), options.manifest.as_deref()].into_iter().flatten())?;
    if let Some(manifest) = &options.manifest {
        spare(manifest, [case])?;
    }
    progress.stage("load");
    let source = Source::open_model(case)?;
    let samples = source.case.calibration_stream()?;
    let wanted = attribute::Options {
        method: options.method,
        seed: options.seed,
        classes: (!options.classes.is_empty()).then(|| source.any_classes(&options.classes)).transpose()?,
        links: options.links,
        samples_per_class: options.samples_per_class.unwrap_or(attribute::Options::default().samples_per_class),
        ..attribute::Options::default()
    };
    let input = input(&source, &samples);
    let attribution = Attribution::new(&source.graph, &source.groups, &input, options.device)?;
    progress.stage("select");
    let manifest = manifest(&attribution, &source, &wanted, options.manifest.as_deref())?;
    let kept = attribution.keeps_links(&manifest);
    if !kept && options.links == Links::Bounded {
        let classes = manifest.selected.iter().filter(|s| !s.is_empty()).count();
        progress.note(&format!(
            "links between layers are left out: they would take {:.1} GB for {classes} classes; --classes attributes fewer, \
             --links always keeps them",
            attribution.link_bytes(classes) as f64 / 1e9
        ));
    }
    progress.stage("attribute");
    let journal = match options.shard {
        Some(_) => Some(out.to_owned()),
        None if options.resume => Some(part_beside(out)),
        None => None,
    };
    let Some(journal) = journal else {
        let chunks = manifest.chunks();
        let total = samples_in(&manifest, Shard::WHOLE);
        let (mut totals, mut done) = (attribution.totals(&manifest), 0);
        let numbers: Vec<usize> = (0..chunks.len()).collect();
        attribution.run(&manifest, &numbers, &mut |number, part| {
            attribution.add(&mut totals, &manifest, &chunks[number], part);
            done += chunks[number].samples.len();
            progress.samples(done, total);
            Ok(())
        })?;
        return write(&attribution.finish(&manifest, totals)?, out, progress);
    };
    let shard = options.shard.unwrap_or(Shard::WHOLE);
    let (total, mut done) = (samples_in(&manifest, shard), 0);
    attribute::run_shard(&attribution, &manifest, shard, &journal, options.resume, &mut |samples| {
        done += samples;
        progress.samples(done, total);
    })?;
    if options.shard.is_none() {
        let summary = write(&attribute::merge(&attribution, std::slice::from_ref(&journal))?, out, progress)?;
        std::fs::remove_file(&journal).map_err(|e| {
            Diag::new(
                "attribute/cleanup",
                format!("the library is written, but its partial sums cannot be removed ({e})"),
            )
            .at(journal.display())
            .help("remove them by hand")
        })?;
        return Ok(summary);
    }
    Ok(AttributeSummary {
        schema: SCHEMA,
        path: out.display().to_string(),
        groups: source.groups.groups.len(),
        classes: manifest.selected.iter().filter(|s| !s.is_empty()).count(),
        samples_per_class: manifest.per_class,
        links: kept,
        shard: Some(shard.to_string()),
    })
}

/// Adds up the partial results `parts` of `case` and writes the library to `out`.
pub fn merge(case: &Path, parts: &[PathBuf], out: &Path, progress: &dyn Progress) -> Result<AttributeSummary> {
    spare(out, parts.iter().map(PathBuf::as_path).chain([case]))?;
    progress.stage("load");
    let source = Source::open_model(case)?;
    let first =
        parts.first().ok_or_else(|| Box::new(Diag::new("attribute/shards", "no partial results were given")))?;
    let manifest = attribute::manifest_of(first)?;
    check_model(&manifest, &source).map_err(|d| Box::new(d.at(first.display())))?;
    // Merging runs no sample.
    let samples = crate::data::Samples::empty(&source.case.input);
    let input = input(&source, &samples);
    let attribution = Attribution::new(&source.graph, &source.groups, &input, Place::Host)?;
    progress.stage("merge");
    write(&attribute::merge(&attribution, parts)?, out, progress)
}

/// Attributes `source` on its calibration split, which is in memory.
pub fn relevance(source: &Source, options: &attribute::Options) -> Result<Relevance> {
    let input = input(source, source.calibration()?);
    attribute::attribute_at(source.device, &source.graph, &source.groups, &input, options)
}

fn input<'a>(source: &'a Source, samples: &'a dyn SampleSet) -> attribute::Source<'a> {
    attribute::Source {
        model: &source.model_name,
        model_sha256: &source.sha256,
        classes: &source.case.label_names,
        input: &source.case.input,
        samples,
    }
}

/// The manifest of `file`, or a new one, which is then written there.
fn manifest(
    attribution: &Attribution<'_>,
    source: &Source,
    options: &attribute::Options,
    file: Option<&Path>,
) -> Result<Manifest> {
    if let Some(path) = file.filter(|path| path.exists()) {
        let manifest = Manifest::load(path)?;
        let place = |d: Box<Diag>| Box::new(d.at(path.display()));
        check_model(&manifest, source).map_err(place)?;
        let mine = Manifest { options: options.clone(), ..manifest.clone() };
        mine.check_same(&manifest).map_err(place)?;
        return Ok(manifest);
    }
    let manifest = attribution.select(options)?;
    if let Some(path) = file {
        manifest.save(path)?;
    }
    Ok(manifest)
}

/// Fails unless `manifest` is about the model of `source` and was made by this version.
fn check_model(manifest: &Manifest, source: &Source) -> Result<()> {
    let here = Manifest {
        tool_version: env!("CARGO_PKG_VERSION").into(),
        model_sha256: source.sha256.clone(),
        ..manifest.clone()
    };
    here.check_same(manifest)
}

fn samples_in(manifest: &Manifest, shard: Shard) -> usize {
    let chunks = manifest.chunks();
    chunks.iter().skip(shard.index as usize - 1).step_by(shard.count as usize).map(|c| c.samples.len()).sum()
}

fn part_beside(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

fn write(relevance: &Relevance, out: &Path, progress: &dyn Progress) -> Result<AttributeSummary> {
    progress.stage("write");
    library::save(relevance, out)?;
    Ok(AttributeSummary {
        schema: SCHEMA,
        path: out.display().to_string(),
        groups: relevance.groups.len(),
        classes: relevance.selected.iter().filter(|s| !s.is_empty()).count(),
        samples_per_class: relevance.selected.iter().map(Vec::len).max().unwrap_or(0),
        links: !relevance.links.is_empty(),
        shard: None,
    })
}
