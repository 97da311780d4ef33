//! Epochs over a set of samples.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::data::{InputContract, Samples};
use crate::device::Place;
use crate::diag::{Diag, Result};
use crate::exec::{Network, for_chunks};
use crate::finetune::cosine;
use crate::finetune::sgd::{Sgd, input};
use crate::ir::Graph;

/// How to train.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Times through the samples.
    pub epochs: usize,
    /// Samples per step.
    pub batch: usize,
    /// Largest learning rate.
    pub rate: f64,
    /// Share of the last step that goes on, below 1.
    pub momentum: f64,
    /// Pull of the weights toward 0.
    pub decay: f64,
    /// Label smoothing, 0 to 1.
    pub smoothing: f64,
    /// Largest relative change of a layer's weights by one gradient; plain training has no such bound.
    pub trust: f64,
    /// Steps after which the moments that gradients go through are taken anew, besides every epoch; plain training has
    /// none.
    pub renew: usize,
    /// Whether the result has the mean of the weights over the second half of the steps; plain training gives the last.
    pub average: bool,
    /// Seed of the sample order.
    pub seed: u64,
    /// What runs the network.
    pub device: Place,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            epochs: 1,
            batch: 64,
            rate: 0.05,
            momentum: 0.9,
            decay: 1e-4,
            smoothing: 0.0,
            trust: 1e-3,
            renew: usize::MAX,
            average: true,
            seed: 0,
            device: Place::default(),
        }
    }
}

/// What one epoch came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epoch {
    /// From 0.
    pub number: usize,
    /// Mean loss over the samples as they were met, in nats.
    pub loss: f64,
    /// Share of right answers as they were met, 0 to 1.
    pub accuracy: f64,
}

/// Trains `graph` on samples drawn anew by `epoch_samples` for every epoch; a fixed set is `|_| samples.clone()`.
/// `report` hears of every epoch.
pub fn train(
    graph: &Graph,
    contract: &InputContract,
    mut epoch_samples: impl FnMut(usize) -> Samples,
    options: &Options,
    mut report: impl FnMut(Epoch),
) -> Result<Graph> {
    let mut graph = graph.clone();
    let mut sgd = Sgd::new(&graph, options.momentum, options.decay, options.smoothing).at(options.device);
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    for number in 0..options.epochs {
        let samples = epoch_samples(number);
        check(&graph, &samples)?;
        let order = shuffled(samples.len(), &mut rng);
        let per_epoch = order.len().div_ceil(options.batch.max(1));
        let (mut loss, mut correct) = (0.0, 0);
        for (i, indices) in order.chunks(options.batch.max(1)).enumerate() {
            let rate = cosine(options.rate, number * per_epoch + i, options.epochs * per_epoch);
            let (sum, hits) = sgd.step(&mut graph, contract, &samples, indices, rate)?;
            loss += sum;
            correct += hits;
        }
        let n = samples.len() as f64;
        report(Epoch { number, loss: loss / n, accuracy: correct as f64 / n });
    }
    finite(graph)
}

/// The trained network; fails where the last step left it with weights that are not numbers.
pub(super) fn finite(graph: Graph) -> Result<Graph> {
    match graph.verify() {
        Ok(()) => Ok(graph),
        Err(diag) if diag.code == "ir/not-finite" => diverged(),
        Err(diag) => Err(diag),
    }
}

/// What training fails with at too large a rate.
pub(super) fn diverged<T>() -> Result<T> {
    Diag::new("finetune/diverged", "training has diverged: the loss is not finite")
        .help("use a smaller learning rate")
        .err()
}

/// `0..n` in a random order.
pub(super) fn shuffled(n: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, (rng.next_u64() % (i as u64 + 1)) as usize);
    }
    order
}

/// Share of `samples` whose largest score is the label's, 0 to 1.
pub fn accuracy(graph: &Graph, contract: &InputContract, samples: &Samples) -> Result<f64> {
    check(graph, samples)?;
    let network = Network::<f32>::new(graph)?;
    let hits = for_chunks(samples.len(), |range| {
        let indices: Vec<usize> = range.collect();
        let scores = network.scores(&input(graph, contract, samples, &indices)?)?;
        Ok(indices.iter().enumerate().filter(|&(n, &i)| scores.argmax(n) == samples.labels[i] as usize).count())
    })?;
    Ok(hits.iter().sum::<usize>() as f64 / samples.len() as f64)
}

/// Fails on no samples, and on a label that is no output of the graph.
fn check(graph: &Graph, samples: &Samples) -> Result<()> {
    if samples.is_empty() {
        return Diag::new("finetune/no-samples", "there are no samples to train or score on").err();
    }
    match samples.labels.iter().find(|&&label| label as usize >= graph.classes()) {
        None => Ok(()),
        Some(label) => Diag::new("finetune/label", "a label is no output of the network")
            .expected(format!("below {}", graph.classes()), label)
            .err(),
    }
}
