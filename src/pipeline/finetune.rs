//! Training the small network for the wanted classes, kept only if it helps.

use std::path::PathBuf;

use crate::data;
use crate::diag::{Diag, Result};
use crate::finetune::{Options, logits, tune};
use crate::ir::Graph;
use crate::pipeline::calibration::of_classes;
use crate::pipeline::cutter::thinned;
use crate::pipeline::held_out::{Judged, better, certain, judge, look, words};
use crate::pipeline::lesson::{Lesson, lesson};
use crate::pipeline::readout::with_head;
use crate::pipeline::route::{Cut, Start};
use crate::pipeline::{HeadScale, Progress, Source, joint, score};
use crate::report::Finetune;

/// Largest learning rate of the cosine. See `docs/finetune.md` for the measurement.
const RATE: f64 = 0.1;

/// What the rate is divided by for a second try, if the first does not help.
const SECOND_TRY: f64 = 8.0;

/// Samples per step; part of the result, so it does not depend on the machine.
const BATCH: usize = 32;

/// Training samples that a last layer of all components is fitted to at most.
const LEARNED: usize = 12_000;

/// What the user wants; what is `None` the case file decides, else the default.
#[derive(Debug, Clone, Default)]
pub struct FinetuneOptions {
    /// Times through the training samples; none by default.
    pub epochs: Option<usize>,
    /// Folder of class folders, or of images for distillation; the case's `train` data, else calibration data. Without
    /// training, what is refitted to besides calibration data: a folder of either kind, none by default.
    pub train: Option<PathBuf>,
    /// Toward the source's scores, half and half with labels where there are any; else toward labels alone.
    pub distill: Option<bool>,
    /// Largest learning rate.
    pub rate: Option<f64>,
}

/// [`FinetuneOptions`] with everything filled in.
#[derive(Debug, Clone)]
pub struct Wanted {
    epochs: usize,
    pub(super) train: Option<PathBuf>,
    pub(super) distill: bool,
    rate: f64,
    seed: u64,
}

impl FinetuneOptions {
    /// Fills in what the case file says; flags go before it.
    pub fn resolve(&self, source: &Source, seed: u64) -> Result<Wanted> {
        let case = &source.case.options;
        let epochs = self.epochs.or(case.finetune).unwrap_or(0);
        if epochs == 0 && self.distill == Some(true) {
            return Diag::new("finetune/no-epochs", "distillation is asked for, but no training")
                .help("add --finetune N, the number of epochs")
                .err();
        }
        // Found out before a search, which takes minutes.
        if let Some(path) = &self.train {
            data::check_folder(path)?;
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

    /// Whether training data is for the refit alone.
    pub(super) fn refits_only(&self) -> bool {
        self.epochs == 0 && self.train.is_some()
    }

    /// Whether images without classes will do.
    pub(super) fn takes_unlabelled(&self) -> bool {
        self.distill || self.refits_only()
    }

    /// No training, and no training data.
    #[must_use]
    pub(super) fn none(&self) -> Self {
        Self { epochs: 0, train: None, ..self.clone() }
    }

    /// As on a command line; the training folder, which is this machine's business, is DIR.
    pub fn words(&self) -> Vec<String> {
        let epochs = (self.epochs > 0).then(|| format!("--finetune {}", self.epochs));
        let distill = (self.epochs > 0 && self.distill).then(|| "--distill".to_string());
        let train = self.train.is_some().then(|| "--train DIR".to_string());
        epochs.into_iter().chain(distill).chain(train).collect()
    }
}

/// What training starts from.
struct Base {
    graph: Graph,
    /// How it does on held-out samples, which training has to beat.
    judged: Judged,
    /// Whether it has a last layer of all components that was better than theirs.
    learned: bool,
}

/// Trains the network of `cut`, whose outputs are `classes` of `source`, from the weights fitted without the held-out
/// samples, and leaves it as it was unless the result is better on these. `None` if no training is wanted.
pub fn finetune(
    source: &Source,
    classes: &[usize],
    cut: &mut Cut,
    wanted: &Wanted,
    progress: &dyn Progress,
) -> Result<Option<Finetune>> {
    if wanted.epochs == 0 {
        if source.head_scale == HeadScale::Joint {
            progress.note("--heads joint without --finetune is --heads fit");
        }
        return Ok(None);
    }
    progress.stage("fine-tune");
    let contract = &source.case.input;
    let saw_more = cut.start.as_ref().is_some_and(Start::saw_more);
    let (start, known) = match cut.start.take() {
        Some(Start { graph, lesson, .. }) => (graph, lesson),
        None => (cut.graph.clone(), None),
    };
    let Lesson { samples, labelled, held_out, .. } = match known {
        Some(lesson) => lesson,
        None => lesson(source, classes, wanted)?,
    };
    let truth = score::wanted(&held_out, &of_classes(&held_out, classes), classes);
    let all: Vec<usize> = (0..samples.len()).collect();
    let right = if labelled { score::wanted(&samples, &all, classes) } else { Vec::new() };
    let labels = || right.iter().map(|&k| certain(k, classes.len()));
    let targets: Vec<Vec<f32>> = if wanted.distill {
        let rows = logits(&source.graph, contract, &samples, &all, source.device)?;
        let taught = rows.iter().map(|row| probabilities(classes.iter().map(|&c| row[c])));
        if labelled { taught.zip(labels()).map(|(a, b)| halfway(&a, &b)).collect() } else { taught.collect() }
    } else {
        labels().collect()
    };

    let judge = |graph: &Graph| judge(graph, source, &held_out, &truth);
    let before = judge(&start)?;
    let mut base = Base { graph: start, judged: before.clone(), learned: false };
    // What is left where training does not help.
    let mut untrained = saw_more.then(|| base.graph.clone());
    if let Some(merged) = joint::merged(source, &base.graph)? {
        base.graph = merged;
        if labelled {
            let some = thinned(&all, LEARNED);
            let right: Vec<usize> = some.iter().map(|&i| right[i]).collect();
            let learned = with_head(&base.graph, contract, &samples.select(&some), &right, classes.len())?;
            let found = judge(&learned)?;
            progress.note(&format!("one last layer for all components: {}", words(&found, &before)));
            if better(&found, &before) {
                untrained = Some(learned.clone());
                base = Base { graph: learned, judged: found, learned: true };
            }
        }
    } else if source.head_scale == HeadScale::Joint {
        progress
            .note("--heads joint: the components have no dense last layers on features of their own to make one of");
    }
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
        let trained = tune(&base.graph, contract, &samples, &targets, &options, &source.fixed, |done, graph| {
            progress.note(&look(done, rate, &judge(graph)?, &before));
            Ok(())
        });
        match trained {
            Ok(trained) => {
                let now = judge(&trained)?;
                after = Some(now.all);
                if better(&now, &base.judged) {
                    (cut.graph, kept) = (trained, true);
                    break;
                }
            }
            Err(diag) if diag.code == "finetune/diverged" => {}
            Err(diag) => return Err(diag),
        }
    }
    if !kept {
        if let Some(untrained) = untrained {
            cut.graph = untrained;
        }
        progress.note("fine-tuning did not help on held-out samples beyond chance: its result is dropped");
        if base.learned {
            progress.note("the last layer of all components, fitted before, stays");
            (kept, after) = (true, Some(base.judged.all));
        }
    }
    Ok(Some(Finetune {
        epochs: wanted.epochs,
        samples: samples.len(),
        distill: wanted.distill,
        kept,
        held_out_before: before.all,
        held_out_after: after,
    }))
}

/// The mean of two rows of probabilities.
fn halfway(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| f32::midpoint(*a, *b)).collect()
}

/// Softmax of logits.
fn probabilities(logits: impl Iterator<Item = f32>) -> Vec<f32> {
    let logits: Vec<f64> = logits.map(f64::from).collect();
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exp: Vec<f64> = logits.iter().map(|l| (l - largest).exp()).collect();
    let total: f64 = exp.iter().sum();
    exp.into_iter().map(|e| (e / total) as f32).collect()
}
