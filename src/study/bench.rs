//! One class set of one source: its samples, its base, and measurements of it.

use std::ops::Range;

use crate::assemble::assemble;
use crate::attribute;
use crate::data::Samples;
use crate::diag::{Diag, Result};
use crate::ir::Graph;
use crate::library::Relevance;
use crate::pipeline::{Source, calibration, quantize, score};
use crate::refit::{self, RefitOptions};
use crate::route::by_ratio;
use crate::sim;
use crate::study::contender::Contender;
use crate::study::rows::{Folder, Key, Row};
use crate::study::{Split, StudyOptions};

/// A class set of a source.
pub(super) struct Bench<'a> {
    source: &'a Source,
    classes: &'a [usize],
    options: &'a StudyOptions,
    case: String,
    data_sha256: [String; 2],
    /// Attributed on and fitted to.
    fit: Samples,
    /// Judged on.
    judge: Samples,
    /// For each judged sample, its class's place in the set.
    truth: Vec<usize>,
    source_right: usize,
    masked_right: usize,
    /// The last attribution: methods that differ only in how scores become a route share it.
    last: Option<(attribute::Options, Relevance)>,
}

impl<'a> Bench<'a> {
    pub(super) fn new(source: &'a Source, classes: &'a [usize], options: &'a StudyOptions) -> Result<Self> {
        let all = source.calibration()?;
        all.require_classes(classes, &source.case.label_names)?;
        let (fit, judge) = match options.split {
            Split::HeldOut => {
                let split = calibration::split(all, classes);
                (all.select(&split.fit), all.select(&split.held_out))
            }
            Split::Test => {
                let Some(test) = &source.test else {
                    return Diag::new("study/no-test", "the case has no test samples")
                        .at(source.case.path.display())
                        .help("add `test` to [data], or judge on calibration samples with --split held-out")
                        .err();
                };
                let of = |samples: &Samples| samples.select(&calibration::of_classes(samples, classes));
                (of(all), of(test))
            }
        };
        if judge.is_empty() {
            return Diag::new("study/too-few", "there are no samples to judge on")
                .at(source.case.path.display())
                .expected("at least 4 calibration samples of a class, or test samples", judge.len())
                .err();
        }
        let everything: Vec<usize> = (0..judge.len()).collect();
        let truth = score::wanted(&judge, &everything, classes);
        let rows = score::scores(&source.graph, &source.case.input, &judge, &everything)?;
        let over_all = rows.iter().zip(&truth).filter(|(row, t)| score::argmax(row.iter().copied()) == classes[**t]);
        Ok(Self {
            case: source.case.path.file_stem().map_or_else(String::new, |n| n.to_string_lossy().into_owned()),
            data_sha256: [fit.sha256(), judge.sha256()],
            source_right: over_all.count(),
            masked_right: right(&score::masked(&rows, classes), &truth),
            source,
            classes,
            options,
            fit,
            judge,
            truth,
            last: None,
        })
    }

    /// Measures what is not yet in the folder: one method, every budget, sliced and refitted.
    pub(super) fn measure(&mut self, contender: &Contender, seed: u64, folder: &mut Folder) -> Result<bool> {
        let mut missing = Vec::new();
        for &keep in &self.options.keep {
            for &refit in &self.options.refit {
                let key = self.key(contender, keep, refit, seed);
                let known = folder.find(&key).is_some_and(|row| row.int8_right.is_some() || !self.options.int8);
                if !known {
                    missing.push(key);
                }
            }
        }
        if missing.is_empty() {
            return Ok(false);
        }
        let Source { graph: source, groups, .. } = self.source;
        let wanted = contender.options(self.classes, self.options.samples, seed);
        let relevance = match self.last.take() {
            Some((options, relevance)) if options == wanted => relevance,
            _ => self.attribute(&wanted)?,
        };
        for key in missing {
            let route = by_ratio(&relevance, groups, self.classes, key.keep, &contender.route)?;
            let assembled = assemble(source, groups, &route, self.classes)?;
            let graph = if key.refit {
                let options = RefitOptions { seed, ..RefitOptions::default() };
                let inputs = |range: Range<usize>| {
                    let indices: Vec<usize> = range.collect();
                    Ok(score::batch(&self.source.case.input, &self.fit, &indices))
                };
                refit::refit(source, &assembled, self.fit.len(), &inputs, &options)?.graph
            } else {
                assembled.graph
            };
            let row = self.judge(key, &graph)?;
            folder.rows.retain(|old| old.key != row.key);
            folder.rows.push(row);
        }
        self.last = Some((wanted, relevance));
        Ok(true)
    }

    fn attribute(&self, options: &attribute::Options) -> Result<Relevance> {
        let samples = attribute::Source {
            model: &self.source.model_name,
            model_sha256: &self.source.sha256,
            classes: &self.source.case.label_names,
            input: &self.source.case.input,
            samples: &self.fit,
        };
        attribute::attribute(&self.source.graph, &self.source.groups, &samples, options)
    }

    fn key(&self, contender: &Contender, keep: f64, refit: bool, seed: u64) -> Key {
        Key {
            case: self.case.clone(),
            model_sha256: self.source.sha256.clone(),
            data_sha256: self.data_sha256.clone(),
            classes: self.classes.to_vec(),
            keep,
            method: contender.to_string(),
            refit,
            split: self.options.split.name().into(),
            samples: self.options.samples,
            seed,
        }
    }

    fn judge(&self, key: Key, graph: &Graph) -> Result<Row> {
        let everything: Vec<usize> = (0..self.judge.len()).collect();
        let rows = score::scores(graph, &self.source.case.input, &self.judge, &everything)?;
        let predicted: Vec<usize> = rows.into_iter().map(score::argmax).collect();
        let int8_right = self.options.int8.then(|| self.int8(graph)).transpose()?;
        Ok(Row {
            key,
            macs: graph.macs(),
            source_macs: self.source.graph.macs(),
            params: graph.params(),
            judged: self.judge.len(),
            source_right: self.source_right,
            masked_right: self.masked_right,
            right: right(&predicted, &self.truth),
            int8_right,
        })
    }

    fn int8(&self, graph: &Graph) -> Result<usize> {
        let program = quantize::lower(self.source, graph, self.classes, &self.fit, "study", Vec::new())?;
        let raw: Vec<&[u8]> = (0..self.judge.len()).map(|i| self.judge.sample(i)).collect();
        let predicted: Vec<usize> = sim::run_many(&program, &raw).into_iter().map(score::argmax).collect();
        Ok(right(&predicted, &self.truth))
    }
}

fn right(predicted: &[usize], truth: &[usize]) -> usize {
    predicted.iter().zip(truth).filter(|(p, t)| p == t).count()
}
