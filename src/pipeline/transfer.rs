//! `fratc transfer`: routes of related classes as the body of a network for new classes, from a few images of each.
//!
//! The body is cut out of the source as for the related classes, without their last layer. The new last layer is fitted
//! in closed form on the features of the new images; then all may be trained. What that is worth is said by the same
//! network from random weights, trained on the same images for as long as helps.

use std::path::Path;

use crate::data::{Case, Samples};
use crate::diag::{Diag, Result};
use crate::finetune::Options;
use crate::ir::Graph;
use crate::ir::groups::channel_groups;
use crate::pipeline::calibration::{of_classes, split};
use crate::pipeline::readout::{features, with_head};
use crate::pipeline::route::{Cut, Start};
use crate::pipeline::{
    BuildOptions, From, Outcome, Progress, RouteOptions, Source, build_source, finetune, route, scratch,
};
use crate::report::{SCHEMA, Scratch, Transfer, TransferReport};

/// Largest learning rates that random weights are trained with.
const SCRATCH_RATES: [f64; 3] = [0.1, 0.03, 0.01];

/// Samples per step there: few, as there are few samples.
const SCRATCH_BATCH: usize = 16;

/// What the user wants.
#[derive(Debug, Clone)]
pub struct TransferOptions {
    /// The new classes: a case file, or a folder of class folders.
    pub to: From,
    /// Images of each new class to learn from.
    pub images: usize,
    /// Epochs to train the same network from random weights for, at each of several rates; 0: no comparison.
    pub scratch: usize,
    /// The related classes, the body's size, training, board and folder.
    pub build: BuildOptions,
}

/// Builds a crate for the new classes on routes of the case at `path`. The reason why the answer is no, if it is, comes
/// with the report.
pub fn transfer(
    path: &Path,
    options: &TransferOptions,
    progress: &dyn Progress,
) -> Result<(TransferReport, Option<Box<Diag>>)> {
    if let Some(out) = &options.build.out {
        crate::output::check_folder(out)?;
    }
    progress.stage("load");
    let source = Source::open(path)?;
    let body = source.any_classes(&options.build.route.classes)?;
    let wanted = options.build.route.resolve(&source)?;
    if wanted.finetune.refits_only() {
        return Diag::new("transfer/train", "training data of the new classes is asked for, but no training")
            .help("add --finetune N, the number of epochs")
            .err();
    }
    let (mut target, images) = learners(&source, options)?;
    // The body is not trained for its own classes.
    let mut cut = route::cut(&source, &body, &wanted.without_training(), progress)?;
    progress.stage("new head");
    let (calibration, classes) = (target.calibration()?.clone(), target.case.label_names.len());
    let all: Vec<usize> = (0..classes).collect();
    let fit = split(&calibration, &all).fit;
    let headless = cut.graph.clone();
    let on = |indices: &[usize]| fitted(&headless, &source, &calibration.select(indices), classes);
    let start = || -> Result<Start> { Ok(Start { graph: on(&fit)?, samples: fit.len(), lesson: None }) };
    cut.start = wanted.finetune.any().then(start).transpose()?;
    cut.graph = on(&of_classes(&calibration, &all))?;
    target.graph = cut.graph.clone();
    target.groups = channel_groups(&target.graph);
    let head = accuracy(&target, &cut.graph)?;
    let Cut { route, channels, method, .. } = cut.clone();
    let tuned = finetune::finetune(&target, &all, &mut cut, &wanted.finetune, progress)?;
    target.graph = cut.graph;
    let trained = accuracy(&target, &target.graph)?;
    let scratch = if options.scratch > 0 && target.test.is_some() {
        progress.stage("random weights");
        Some(from_scratch(&target, &source, options.scratch, wanted.seed)?)
    } else {
        None
    };
    let transfer =
        Transfer { body: source.names(&body), images, features: features(&target.graph)?.1, head, trained, scratch };
    target.case.options.keep = Some(1.0);
    let build = BuildOptions {
        route: RouteOptions { seed: Some(wanted.seed), ..RouteOptions::default() },
        ..options.build.clone()
    };
    let Outcome { mut report, refused } = build_source(&target, &build, progress)?;
    (report.route, report.method, report.finetune) = (route, method, tuned);
    report.assembled.channels = channels;
    (report.model.params, report.model.macs) = (source.graph.params(), source.graph.macs());
    Ok((TransferReport { schema: SCHEMA, transfer, build: report }, refused))
}

/// The new classes as a source that has the old one's input and model, with the images to learn from; and their numbers.
fn learners(source: &Source, options: &TransferOptions) -> Result<(Source, Vec<usize>)> {
    let From { case: path, classes } = &options.to;
    let contract = &source.case.input;
    let seed = options.build.route.seed.unwrap_or(0);
    let case = if path.is_dir() {
        Case::from_folder(&source.case.model, path, contract.clone(), seed)?
    } else {
        Case::load(path)?
    };
    if case.input.shape != contract.shape || case.input.kind != contract.kind {
        return Diag::new("transfer/input", "the new images are not what the network takes")
            .at(path.display())
            .expected(
                format!("{} values of {:?}", contract.kind.name(), contract.shape),
                format!("{} values of {:?}", case.input.kind.name(), case.input.shape),
            )
            .help("scale the images to the input of the network first")
            .err();
    }
    let tokens = if classes.is_empty() { case.classes.clone().unwrap_or_default() } else { classes.clone() };
    let chosen = case.class_set((!tokens.is_empty()).then_some(&tokens[..]))?;
    if chosen.len() < 2 {
        return Diag::new("classes/one", "one class makes no classifier")
            .expected("at least two new classes", chosen.len())
            .help("name more classes after --to PATH:")
            .err();
    }
    let of_new = |all: &Samples, most: usize| {
        let mut seen = vec![0; chosen.len()];
        let mut some = Samples::empty(contract);
        for i in 0..all.len() {
            let Some(place) = chosen.iter().position(|&c| c == all.labels[i] as usize) else { continue };
            if seen[place] < most {
                seen[place] += 1;
                some.raw.extend_from_slice(all.sample(i));
                some.labels.push(place as u32);
            }
        }
        (some, seen)
    };
    let (few, images) = of_new(&case.calibration()?, options.images);
    let names: Vec<String> = chosen.iter().map(|&c| case.label_names[c].clone()).collect();
    few.require_classes(&(0..names.len()).collect::<Vec<usize>>(), &names)?;
    let test = case.test.is_some().then(|| case.test()).transpose()?.map(|all| of_new(&all, usize::MAX).0);
    let mut target = source.clone();
    target.case.label_names = names;
    target.case.classes = None;
    (target.case.calibration, target.case.test, target.case.train) = (None, None, None);
    target.case.options = crate::data::BuildOptions::default();
    target.case.options.out.clone_from(&source.case.options.out);
    (target.calibration, target.test) = (Some(few), test);
    Ok((target, images))
}

/// `graph` with a last layer fitted on `samples` of `classes` new classes.
fn fitted(graph: &Graph, source: &Source, samples: &Samples, classes: usize) -> Result<Graph> {
    let labels: Vec<usize> = samples.labels.iter().map(|&label| label as usize).collect();
    with_head(graph, &source.case.input, samples, &labels, classes)
}

/// On the test split, if there is one.
fn accuracy(target: &Source, graph: &Graph) -> Result<Option<f64>> {
    let Some(test) = target.test.as_ref().filter(|test| !test.is_empty()) else { return Ok(None) };
    crate::finetune::accuracy(graph, &target.case.input, test).map(Some)
}

/// The same network from random weights: the head alone fitted, and all trained.
fn from_scratch(target: &Source, source: &Source, epochs: usize, seed: u64) -> Result<Scratch> {
    let (contract, samples) = (&target.case.input, target.calibration()?);
    let random = scratch::random_weights(&target.graph, target, samples, seed)?;
    let head = fitted(&random, source, samples, target.case.label_names.len())?;
    let mut trained = Vec::new();
    for rate in SCRATCH_RATES {
        let options = Options { epochs, batch: SCRATCH_BATCH, rate, seed, ..Options::default() };
        let accuracy = match scratch::trained(&random, contract, samples, &options)? {
            Some(graph) => accuracy(target, &graph)?,
            None => None,
        };
        trained.push((rate, accuracy));
    }
    Ok(Scratch { head: accuracy(target, &head)?.unwrap_or(0.0), trained, epochs })
}
