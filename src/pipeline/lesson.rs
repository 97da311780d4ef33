//! What a network is trained on, and what its training is judged by.

use std::path::Path;

use crate::data::{self, Case, DataSource, InputKind, Samples};
use crate::diag::{Diag, Result};
use crate::finetune::logits;
use crate::pipeline::calibration::{of_classes, split};
use crate::pipeline::cutter::{Cutter, thinned};
use crate::pipeline::finetune::Wanted;
use crate::pipeline::route::Start;
use crate::pipeline::{Source, part, score};
use crate::route::Route;

/// Two images are the same picture if their bytes differ by at most this on average: two decoders of one JPEG file
/// do, two different photographs do not.
const SAME_PICTURE: u64 = 2;

/// Training samples kept back at most to judge training by, besides calibration samples.
const KEPT_BACK: usize = 600;

/// One of so many training samples is kept back at most.
const KEPT_BACK_SHARE: usize = 10;

/// Training samples that a network is fitted to at most, besides calibration samples.
pub(crate) const FITTED: usize = 3_000;

/// Samples to train on, and others to judge by.
#[derive(Debug, Clone)]
pub(crate) struct Lesson {
    /// To train on.
    pub(super) samples: Samples,
    /// Whether their labels mean anything.
    pub(super) labelled: bool,
    /// Whether they are others than the calibration samples.
    pub(super) apart: bool,
    /// Of the wanted classes, with labels; neither training nor the fit before it sees them.
    pub(super) held_out: Samples,
}

/// What to train on toward `classes`: nothing that is held out.
pub(super) fn lesson(source: &Source, classes: &[usize], wanted: &Wanted) -> Result<Lesson> {
    let calibration = source.calibration()?;
    let parts = split(calibration, classes);
    if parts.held_out.is_empty() {
        return Diag::new("finetune/too-few", "too few calibration samples to judge training by")
            .expected("at least 4 of a wanted class", parts.fit.len())
            .help("add calibration samples, or leave --finetune out")
            .err();
    }
    let mut held_out = calibration.select(&parts.held_out);
    let (samples, labelled, apart) = match training(source, wanted)? {
        None => (calibration.select(&parts.fit), true, false),
        Some(Training { samples, labelled }) => {
            let chosen = if labelled { of_classes(&samples, classes) } else { recognised(source, classes, &samples)? };
            let chosen = without_copies(&samples, chosen, &held_out);
            let back =
                if labelled { kept_back(&samples, &chosen, &calibration.select(&parts.fit)) } else { Vec::new() };
            let more = samples.select(&back);
            held_out.raw.extend_from_slice(&more.raw);
            held_out.labels.extend_from_slice(&more.labels);
            let chosen: Vec<usize> = chosen.into_iter().filter(|i| back.binary_search(i).is_err()).collect();
            (samples.select(&chosen), labelled, true)
        }
    };
    if samples.is_empty() {
        return Diag::new("finetune/no-samples", "no training sample of a wanted class that is not held out")
            .help("add training samples of the wanted classes, or leave --train out")
            .err();
    }
    Ok(Lesson { samples, labelled, apart, held_out })
}

/// The network that training toward the cutter's classes starts from: fitted to training samples too.
pub(crate) fn start(cutter: &Cutter<'_>, route: &Route, wanted: &Wanted) -> Result<Start> {
    let Cutter { source, classes, .. } = *cutter;
    let lesson = lesson(source, classes, wanted)?;
    let all: Vec<usize> = (0..lesson.samples.len()).collect();
    let more = lesson.apart.then(|| lesson.samples.select(&thinned(&all, FITTED)));
    let fit = split(source.calibration()?, classes).fit;
    let graph = cutter.finished_with(route, &fit, more.as_ref())?;
    Ok(Start { graph, samples: fit.len() + more.map_or(0, |more| more.len()), lesson: Some(lesson) })
}

/// Training samples that a network which is not trained is fitted to besides calibration samples; none unless asked for.
pub(crate) fn refitted(cutter: &Cutter<'_>, wanted: &Wanted) -> Result<Option<Samples>> {
    if !wanted.refits_only() {
        return Ok(None);
    }
    let Cutter { source, classes, .. } = *cutter;
    let calibration = source.calibration()?;
    let known = calibration.select(&of_classes(calibration, classes));
    more(source, classes, wanted, FITTED, &known)
}

/// Some of `chosen` to judge by, in order: none that the fit has seen, a copy of one of `fitted`.
fn kept_back(samples: &Samples, chosen: &[usize], fitted: &Samples) -> Vec<usize> {
    let most = (chosen.len() / KEPT_BACK_SHARE).min(KEPT_BACK);
    let unseen = without_copies(samples, thinned(chosen, most + fitted.len()), fitted);
    thinned(&unseen, most)
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
        return folder(case, path, wanted.takes_unlabelled()).map(Some);
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
                let read = folder(&part.case, path, wanted.takes_unlabelled())?;
                if !read.labelled {
                    // Pictures without classes are the same for every component.
                    return folder(&source.case, path, true).map(Some);
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

fn folder(case: &Case, path: &Path, unlabelled: bool) -> Result<Training> {
    if unlabelled && path.is_dir() && data::class_folders(path).is_err() {
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
