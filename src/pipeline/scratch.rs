//! The same small architecture from random weights: what training alone makes of it.

use std::collections::BTreeSet;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::data::{InputContract, Samples};
use crate::diag::{Diag, Result};
use crate::exec::Network;
use crate::finetune::{Options, tune};
use crate::ir::op::{Affine, Op};
use crate::ir::{Graph, NodeId};
use crate::pipeline::calibration::of_classes;
use crate::pipeline::finetune::Wanted;
use crate::pipeline::held_out::{certain, judge};
use crate::pipeline::lesson::{Lesson, lesson};
use crate::pipeline::{Source, score};

/// Learning rates tried, of which the best on held-out samples counts.
const RATES: [f64; 3] = [0.1, 0.03, 0.01];

/// Samples per step, as in fine-tuning.
const BATCH: usize = 32;

/// Largest relative change of a layer's weights by one gradient: random weights have further to go than fitted ones.
const TRUST: f64 = 5e-3;

/// Steps after which the moments that gradients go through are taken anew: they change faster than in fine-tuning.
const RENEW: usize = 25;

/// Samples that the random weights are scaled by.
const SCALED_BY: usize = 64;

/// Trains the architecture of `small` from random weights on what fine-tuning would train on, for as many epochs,
/// toward the labels of `classes`.
///
/// The input is brought to mean 0 and deviation 1, and so are every layer's results, channel by channel: networks
/// whose batch norm was folded away hardly train without.
pub(crate) fn from_scratch(source: &Source, classes: &[usize], small: &Graph, wanted: &Wanted) -> Result<Graph> {
    let Lesson { mut samples, held_out, .. } = lesson(source, classes, wanted)?;
    let truth = score::wanted(&held_out, &of_classes(&held_out, classes), classes);
    let all: Vec<usize> = (0..samples.len()).collect();
    samples.labels = score::wanted(&samples, &all, classes).into_iter().map(|k| k as u32).collect();
    let (epochs, seed) = wanted.plan();
    let start = random_weights(small, source, &samples, seed)?;
    let mut best = None;
    for rate in RATES {
        let device = source.device;
        // No mean of the weights: in one epoch from random ones it would hold some that had learned little yet.
        let options = Options { epochs, batch: BATCH, rate, seed, device, average: false, ..Options::default() };
        let Some(trained) = trained(&start, &source.case.input, &samples, &options)? else { continue };
        let now = judge(&trained, source, &held_out, &truth)?.all.cross_entropy;
        if best.as_ref().is_none_or(|(before, _)| now < *before) {
            best = Some((now, trained));
        }
    }
    match best {
        Some((_, trained)) => Ok(trained),
        None => Diag::new("finetune/diverged", "training from scratch diverges at every rate").err(),
    }
}

/// Random weights trained toward the labels of `samples`, outputs of `graph`, by the steps of fine-tuning, which may be
/// longer here; `None` if training diverges.
pub(super) fn trained(
    graph: &Graph,
    contract: &InputContract,
    samples: &Samples,
    options: &Options,
) -> Result<Option<Graph>> {
    let options = Options { trust: TRUST, renew: RENEW, ..*options };
    let targets: Vec<Vec<f32>> = samples.labels.iter().map(|&k| certain(k as usize, graph.classes())).collect();
    match tune(graph, contract, samples, &targets, &options, &BTreeSet::new(), |_, _| Ok(())) {
        Ok(trained) => Ok(Some(trained)),
        Err(diag) if diag.code == "finetune/diverged" => Ok(None),
        Err(diag) => Err(diag),
    }
}

/// The architecture behind an input of mean 0 and deviation 1, with random weights scaled and biases set by some of the
/// samples (Salimans and Kingma 2016).
pub(super) fn random_weights(small: &Graph, source: &Source, samples: &Samples, seed: u64) -> Result<Graph> {
    let n = samples.len().min(SCALED_BY);
    let indices: Vec<usize> = (0..n).map(|i| i * samples.len() / n).collect();
    let batch = score::batch(&source.case.input, samples, &indices);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let input = small.node(small.input());
    let mut graph = Graph::new(&input.name, input.shape);
    let (mut scale, mut shift) = (Vec::new(), Vec::new());
    for c in 0..input.shape.c {
        let (mean, deviation) = spread(batch.channel(c));
        scale.push(1.0 / deviation);
        shift.push(-mean / deviation);
    }
    let mut new_id = vec![graph.push("whitened input", Op::Affine(Affine { scale, shift }), &[NodeId(0)])?];
    for id in small.ids().skip(1) {
        let node = small.node(id);
        let mut op = node.op.clone();
        match &mut op {
            Op::Conv(conv) => {
                let fan_in = conv.fan_in();
                draw(&mut conv.weight, fan_in, &mut rng);
                conv.bias.fill(0.0);
            }
            Op::Dense(dense) => {
                draw(&mut dense.weight, dense.in_features, &mut rng);
                dense.bias.fill(0.0);
            }
            Op::Affine(affine) => {
                affine.scale.fill(1.0);
                affine.shift.fill(0.0);
            }
            _ => {}
        }
        let inputs: Vec<NodeId> = node.inputs.iter().map(|i| new_id[i.index()]).collect();
        new_id.push(graph.push(node.name.as_str(), op, &inputs)?);
    }
    graph.output = new_id[small.output.index()];
    let ids: Vec<NodeId> = graph.ids().collect();
    for id in ids {
        if !matches!(graph.node(id).op, Op::Conv(_) | Op::Dense(_)) {
            continue;
        }
        let acts = Network::<f32>::new(&graph)?.forward(&batch)?;
        let (weight, bias) = match &mut graph.nodes[id.index()].op {
            Op::Conv(conv) => (&mut conv.weight, &mut conv.bias),
            Op::Dense(dense) => (&mut dense.weight, &mut dense.bias),
            _ => continue,
        };
        let each = weight.len() / bias.len().max(1);
        let filters = weight.chunks_exact_mut(each).zip(bias);
        for (c, (filter, bias)) in filters.enumerate() {
            let (mean, deviation) = spread(acts.get(id).channel(c));
            for weight in filter {
                *weight = (f64::from(*weight) / deviation) as f32;
            }
            *bias = (-mean / deviation) as f32;
        }
    }
    graph.verify()?;
    Ok(graph)
}

/// Uniform numbers of variance 2 over `fan_in`.
fn draw(weights: &mut [f32], fan_in: usize, rng: &mut ChaCha8Rng) {
    let most = (6.0 / fan_in.max(1) as f64).sqrt();
    for weight in weights {
        let unit = f64::from(rng.next_u32()) / f64::from(u32::MAX);
        *weight = (most * (2.0 * unit - 1.0)) as f32;
    }
}

/// Mean and standard deviation; 1 for constants.
fn spread(values: &[f32]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
    (mean, if variance > 1e-12 { variance.sqrt() } else { 1.0 })
}
