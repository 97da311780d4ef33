//! Training the small network for the wanted classes, kept only if it helps.

use std::path::{Path, PathBuf};

use crate::data::{self, Case, DataSource, InputKind, Samples};
use crate::diag::{Diag, Result};
use crate::exec::Batch;
use crate::finetune::{Done, Options, logits, soft_cross_entropy, tune};
use crate::ir::{Graph, Shape};
use crate::pipeline::calibration::{of_classes, split};
use crate::pipeline::cutter::thinned;
use crate::pipeline::route::Cut;
use crate::pipeline::{Progress, Source, part, score};
use crate::report::{Finetune, HeldOut};

/// Largest learning rate of the cosine. See `docs/finetune.md` for the measurement.
const RATE: f64 = 0.01;

/// What the rate is divided by for a second try, if the first does not help.
const SECOND_TRY: f64 = 8.0;

/// Samples per step; part of the result, so it does not depend on the machine.
const BATCH: usize = 32;

/// Two images are the same picture if their bytes differ by at most this on average: two decoders of one JPEG file
/// do, two different photographs do not.
const SAME_PICTURE: u64 = 2;

/// What the user wants; what is `None` the case file decides, else the default.
#[derive(Debug, Clone, Default)]
pub struct FinetuneOptions {
    /// Times through the training samples; none by default.
    pub epochs: Option<usize>,
    /// Folder of class folders, or of images for distillation; the case's `train` data, else calibration data.
    pub train: Option<PathBuf>,
    /// Toward the source's scores, not the labels.
    pub distill: Option<bool>,
    /// Largest learning rate.
    pub rate: Option<f64>,
}

/// [`FinetuneOptions`] with everything filled in.
#[derive(Debug, Clone)]
pub struct Wanted {
    epochs: usize,
    train: Option<PathBuf>,
    distill: bool,
    rate: f64,
    seed: u64,
}

impl FinetuneOptions {
    /// Fills in what the case file says; flags go before it.
    pub fn resolve(&self, source: &Source, seed: u64) -> Result<Wanted> {
        let case = &source.case.options;
        let epochs = self.epochs.or(case.finetune).unwrap_or(0);
        if epochs == 0 && (self.train.is_some() || self.distill == Some(true)) {
            return Diag::new("finetune/no-epochs", "training data or distillation is asked for, but no training")
                .help("add --finetune N, the number of epochs")
                .err();
        }
        Ok(Wanted {
            epochs,
            train: self.train.clone(),
            distill: self.distill.or(case.distill).unwrap_or(false),
            rate: self.rate.unwrap_or(RATE),
            seed,
        })
    }
}

impl Wanted {
    /// Times through the samples, and the seed of their order.
    pub(super) fn plan(&self) -> (usize, u64) {
        (self.epochs, self.seed)
    }

    /// Whether anything is to be trained.
    pub fn any(&self) -> bool {
        self.epochs > 0
    }

    /// No training.
    #[must_use]
    pub(super) fn none(&self) -> Self {
        Self { epochs: 0, ..self.clone() }
    }

    /// As on a command line; the training folder, which is this machine's business, left out.
    pub fn words(&self) -> Vec<String> {
        let epochs = (self.epochs > 0).then(|| format!("--finetune {}", self.epochs));
        let distill = (self.epochs > 0 && self.distill).then(|| "--distill".to_string());
        epochs.into_iter().chain(distill).collect()
    }
}

/// Trains the network of `cut`, whose outputs are `classes` of `source`, from the weights fitted without the held-out
/// calibration samples, and leaves it as it was unless the result is better on these. `None` if no training is wanted.
pub fn finetune(
    source: &Source,
    classes: &[usize],
    cut: &mut Cut,
    wanted: &Wanted,
    progress: &dyn Progress,
) -> Result<Option<Finetune>> {
    if wanted.epochs == 0 {
        return Ok(None);
    }
    progress.stage("fine-tune");
    let calibration = source.calibration()?;
    let contract = &source.case.input;
    let parts = split(calibration, classes);
    if parts.held_out.is_empty() {
        return Diag::new("finetune/too-few", "too few calibration samples to judge training by")
            .expected("at least 4 of a wanted class", parts.fit.len())
            .help("add calibration samples, or leave --finetune out")
            .err();
    }
    let held_out = calibration.select(&parts.held_out);
    let truth = score::wanted(&held_out, &of_classes(&held_out, classes), classes);
    let samples = lesson(source, classes, wanted, &held_out)?;
    let all: Vec<usize> = (0..samples.len()).collect();
    let targets = if wanted.distill {
        let rows = logits(&source.graph, contract, &samples, &all, source.device)?;
        rows.iter().map(|row| probabilities(classes.iter().map(|&c| row[c]))).collect()
    } else {
        score::wanted(&samples, &all, classes).into_iter().map(|k| certain(k, classes.len())).collect::<Vec<_>>()
    };

    let judge = |graph: &Graph| judge(graph, source, &held_out, &truth);
    let start = cut.start.take().unwrap_or_else(|| cut.graph.clone());
    let before = judge(&start)?;
    let (mut after, mut kept) = (None, false);
    for rate in [wanted.rate, wanted.rate / SECOND_TRY] {
        let options = Options {
            epochs: wanted.epochs,
            batch: BATCH,
            rate,
            seed: wanted.seed,
            device: source.device,
            ..Options::default()
        };
        let trained = tune(&start, contract, &samples, &targets, &options, &source.fixed, |done, graph| {
            progress.note(&look(done, rate, &judge(graph)?, &before));
            Ok(())
        });
        match trained {
            Ok(trained) => {
                let now = judge(&trained)?;
                after = Some(now);
                if better(&now, &before) {
                    (cut.graph, kept) = (trained, true);
                    break;
                }
            }
            Err(diag) if diag.code == "finetune/diverged" => {}
            Err(diag) => return Err(diag),
        }
    }
    if !kept {
        progress.note("fine-tuning did not help on held-out calibration samples: its result is dropped");
    }
    Ok(Some(Finetune {
        epochs: wanted.epochs,
        samples: samples.len(),
        distill: wanted.distill,
        kept,
        held_out_before: before,
        held_out_after: after,
    }))
}

/// What to train on: nothing that is held out.
pub(super) fn lesson(source: &Source, classes: &[usize], wanted: &Wanted, held_out: &Samples) -> Result<Samples> {
    let calibration = source.calibration()?;
    let samples = match training(source, wanted)? {
        None => calibration.select(&split(calibration, classes).fit),
        Some(Training { samples, labelled }) => {
            let chosen = if labelled { of_classes(&samples, classes) } else { recognised(source, classes, &samples)? };
            samples.select(&without_copies(&samples, chosen, held_out))
        }
    };
    if samples.is_empty() {
        return Diag::new("finetune/no-samples", "no training sample of a wanted class that is not held out")
            .help("add training samples of the wanted classes, or leave --train out")
            .err();
    }
    Ok(samples)
}

/// Training samples of `classes` to fit to besides calibration samples, at most `most`, evenly spread, none a copy of
/// one of `known`. Their labels say only that they are of the classes. `None` where there is no training data.
pub(crate) fn more(
    source: &Source,
    classes: &[usize],
    wanted: &Wanted,
    most: usize,
    known: &Samples,
) -> Result<Option<Samples>> {
    let Some(Training { samples, labelled }) = training(source, wanted)? else { return Ok(None) };
    let chosen = if labelled { of_classes(&samples, classes) } else { recognised(source, classes, &samples)? };
    // Copies are looked for last, among few.
    let chosen = thinned(&chosen, most + known.len());
    let chosen = without_copies(&samples, chosen, known);
    Ok(Some(samples.select(&thinned(&chosen, most))))
}

/// An early number, for the user to watch.
fn look(done: Done, rate: f64, now: &HeldOut, before: &HeldOut) -> String {
    format!(
        "fine-tune: {:.2} epochs at rate {rate}, loss {:.3}; held out {:.2} %, loss {:.3} (before {:.2} %, {:.3})",
        done.epochs,
        done.loss,
        now.accuracy * 100.0,
        now.cross_entropy,
        before.accuracy * 100.0,
        before.cross_entropy
    )
}

/// Standard errors of the held-out accuracy that a trained network may be below, if its loss is lower.
const CHANCE: f64 = 0.5;

/// Less loss, and no fewer right answers than chance explains: every sample tells of the loss, but only the few whose answer
/// turns of accuracy. Not-a-number is not better.
pub(super) fn better(after: &HeldOut, before: &HeldOut) -> bool {
    let error = (before.accuracy * (1.0 - before.accuracy) / before.samples.max(1) as f64).sqrt();
    after.cross_entropy < before.cross_entropy && after.accuracy >= before.accuracy - CHANCE * error
}

/// Samples to train on.
struct Training {
    samples: Samples,
    /// Whether the labels mean anything.
    labelled: bool,
}

/// The folder asked for, else the case's training split; `None` if there is neither.
fn training(source: &Source, wanted: &Wanted) -> Result<Option<Training>> {
    let case = &source.case;
    if !source.parts.is_empty() {
        return joint_training(source, wanted);
    }
    if let Some(path) = &wanted.train {
        return folder(case, path, wanted.distill).map(Some);
    }
    if case.train.is_none() {
        return Ok(None);
    }
    Ok(Some(Training { samples: case.train()?, labelled: true }))
}

/// Each component's classes from the folder asked for, else from its own case; `None` if a case has no training data.
fn joint_training(source: &Source, wanted: &Wanted) -> Result<Option<Training>> {
    let mut own = Vec::with_capacity(source.parts.len());
    for part in &source.parts {
        own.push(match &wanted.train {
            Some(path) => {
                let read = folder(&part.case, path, wanted.distill)?;
                if !read.labelled {
                    // Pictures without classes are the same for every component.
                    return folder(&source.case, path, wanted.distill).map(Some);
                }
                read.samples
            }
            None if part.case.train.is_none() => return Ok(None),
            None => part.case.train()?,
        });
    }
    // One folder holds the same pictures for every component; data of the cases may differ.
    let samples = match wanted.train {
        Some(_) => part::union(&source.case.input, source.parts.iter().zip(&own)),
        None => part::pooled(&source.case.input, &source.parts, &own.iter().collect::<Vec<&Samples>>()),
    };
    Ok(Some(Training { samples, labelled: true }))
}

fn folder(case: &Case, path: &Path, distill: bool) -> Result<Training> {
    if distill && path.is_dir() && data::class_folders(path).is_err() {
        return Ok(Training { samples: data::unlabelled_images(path, &case.input)?, labelled: false });
    }
    let folder = DataSource::Folder { path: path.to_owned(), part: None };
    Ok(Training { samples: folder.read(&case.input, &case.label_names)?, labelled: true })
}

/// Samples that the source takes for one of `classes`, for want of labels.
fn recognised(source: &Source, classes: &[usize], samples: &Samples) -> Result<Vec<usize>> {
    let all: Vec<usize> = (0..samples.len()).collect();
    let rows = logits(&source.graph, &source.case.input, samples, &all, source.device)?;
    Ok(all.into_iter().filter(|&i| classes.contains(&score::argmax(rows[i].iter().copied()))).collect())
}

/// `chosen` without the samples that are copies of held-out ones: training splits often hold the calibration split.
fn without_copies(samples: &Samples, chosen: Vec<usize>, held_out: &Samples) -> Vec<usize> {
    let limit = SAME_PICTURE * samples.sample_bytes() as u64;
    // Signed features in the order of their values.
    let flip = if samples.kind == InputKind::I8 { 0x80 } else { 0 };
    let sum = |sample: &[u8]| sample.iter().map(|&p| u64::from(p ^ flip)).sum::<u64>();
    let known: Vec<(u64, &[u8])> =
        (0..held_out.len()).map(|i| held_out.sample(i)).map(|sample| (sum(sample), sample)).collect();
    let same = |a: &[u8], b: &[u8]| {
        let pairs = a.iter().zip(b);
        pairs.map(|(&a, &b)| u64::from((a ^ flip).abs_diff(b ^ flip))).sum::<u64>() <= limit
    };
    chosen
        .into_iter()
        .filter(|&i| {
            let sample = samples.sample(i);
            let own = sum(sample);
            !known.iter().any(|(other, held)| own.abs_diff(*other) <= limit && same(sample, held))
        })
        .collect()
}

pub(super) fn judge(graph: &Graph, source: &Source, held_out: &Samples, truth: &[usize]) -> Result<HeldOut> {
    let all: Vec<usize> = (0..held_out.len()).collect();
    let rows = logits(graph, &source.case.input, held_out, &all, source.device)?;
    let (mut loss, mut correct) = (0.0, 0);
    for (row, &k) in rows.into_iter().zip(truth) {
        let classes = row.len();
        let scores = Batch::new(Shape::vector(classes), 1, row)?;
        let one = soft_cross_entropy(&scores, &[&certain(k, classes)]);
        loss += one.sum;
        correct += one.correct;
    }
    let n = held_out.len();
    Ok(HeldOut { samples: n, accuracy: correct as f64 / n.max(1) as f64, cross_entropy: loss / n.max(1) as f64 })
}

/// All probability on class `k` of `classes`.
fn certain(k: usize, classes: usize) -> Vec<f32> {
    (0..classes).map(|c| if c == k { 1.0 } else { 0.0 }).collect()
}

/// Softmax of logits.
fn probabilities(logits: impl Iterator<Item = f32>) -> Vec<f32> {
    let logits: Vec<f64> = logits.map(f64::from).collect();
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exp: Vec<f64> = logits.iter().map(|l| (l - largest).exp()).collect();
    let total: f64 = exp.iter().sum();
    exp.into_iter().map(|e| (e / total) as f32).collect()
}
