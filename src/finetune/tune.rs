//! Training toward class probabilities, with looks at the network in between.

use std::collections::BTreeSet;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::data::{InputContract, Samples};
use crate::device::{self, Place};
use crate::diag::{Diag, Result};
use crate::exec::Batch;
use crate::finetune::average::Average;
use crate::finetune::precondition::Preconditioner;
use crate::finetune::sgd::{Sgd, input};
use crate::finetune::train::{finite, shuffled};
use crate::finetune::{Options, cosine, soft_cross_entropy};
use crate::ir::Graph;

/// Weights are averaged over the last of so many equal parts of the steps.
const AVERAGED: usize = 2;

/// How far training is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Done {
    /// Epochs, with fractions.
    pub epochs: f64,
    /// Mean loss over the samples met since the last look, in nats.
    pub loss: f64,
}

/// Trains `graph` on `samples` toward one row of class probabilities each, in the order of the graph's outputs:
/// certain rows for labels, a teacher's for distillation. The samples' own labels are not read.
///
/// The layers named `fixed` stay as they are. The result has the mean of the weights over the second half of the steps,
/// or the last ones, as the options say. `look` sees what the result would be after every quarter of the first epoch
/// and after every epoch.
pub fn tune(
    graph: &Graph,
    contract: &InputContract,
    samples: &Samples,
    targets: &[Vec<f32>],
    options: &Options,
    fixed: &BTreeSet<String>,
    mut look: impl FnMut(Done, &Graph) -> Result<()>,
) -> Result<Graph> {
    if samples.is_empty() || targets.len() != samples.len() || targets.iter().any(|row| row.len() != graph.classes()) {
        return Diag::new("finetune/targets", "training needs samples, and a probability of every class for each")
            .expected(format!("{} rows of {}", samples.len().max(1), graph.classes()), targets.len())
            .err();
    }
    let loss = |scores: &Batch<f32>, chunk: &[usize]| {
        let rows: Vec<&[f32]> = chunk.iter().map(|&i| targets[i].as_slice()).collect();
        soft_cross_entropy(scores, &rows)
    };
    let mut graph = graph.clone();
    let mut sgd = Sgd::new(&graph, options.momentum, options.decay, 0.0)
        .within(options.trust)
        .without(&graph, fixed)
        .at(options.device);
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let batch = options.batch.max(1);
    let per_epoch = samples.len().div_ceil(batch);
    let steps = options.epochs * per_epoch;
    let averaged = if options.average { steps / AVERAGED } else { 1 };
    let mut average = Average::default();
    let (mut sum, mut met) = (0.0, 0);
    for number in 0..options.epochs {
        let order = shuffled(samples.len(), &mut rng);
        for (i, indices) in order.chunks(batch).enumerate() {
            if i % options.renew.max(1) == 0 {
                sgd.precondition(Preconditioner::new(&graph, contract, samples)?);
            }
            let step = number * per_epoch + i;
            let rate = cosine(options.rate, step, steps);
            sum += sgd.step_by(&mut graph, contract, samples, indices, rate, &loss)?.0;
            if step + averaged >= steps {
                average.add(&graph);
            }
            met += indices.len();
            let done = i + 1;
            let quarter = number == 0 && done * 4 / per_epoch > i * 4 / per_epoch;
            if quarter || done == per_epoch {
                let epochs = number as f64 + done as f64 / per_epoch as f64;
                look(Done { epochs, loss: sum / met.max(1) as f64 }, &average.of(&graph))?;
                (sum, met) = (0.0, 0);
            }
        }
    }
    finite(average.of(&graph))
}

/// The graph's logits for `samples[indices]`, before any softmax at its end, one row a sample; run at `place`.
pub fn logits(
    graph: &Graph,
    contract: &InputContract,
    samples: &Samples,
    indices: &[usize],
    place: Place,
) -> Result<Vec<Vec<f32>>> {
    device::rows(graph, place, indices.len(), true, |range| input(graph, contract, samples, &indices[range]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::InputKind;
    use crate::ir::op::{Dense, Op};
    use crate::ir::{NodeId, Shape};

    #[test]
    fn the_result_is_the_mean_of_the_second_half() {
        let mut graph = Graph::new("x", Shape::vector(2));
        let dense = Dense { in_features: 2, out_features: 2, weight: vec![0.5, -0.3, 0.2, 0.4], bias: vec![0.0, 0.1] };
        let dense = graph.push("dense", Op::Dense(dense), &[NodeId(0)]).expect("fits");
        let contract = InputContract::new(InputKind::U8, [1, 1, 2], 1.0 / 255.0);
        let raw = (0..16_u8).map(|i| i.wrapping_mul(97)).collect();
        let samples = Samples { shape: [1, 1, 2], kind: InputKind::U8, raw, labels: vec![0; 8] };
        let targets: Vec<Vec<f32>> = (0..8).map(|i| if i % 2 == 0 { vec![1.0, 0.0] } else { vec![0.0, 1.0] }).collect();
        let options = Options { batch: 2, ..Options::default() };
        let weights = |graph: &Graph| match &graph.node(dense).op {
            Op::Dense(dense) => dense.weight.clone(),
            _ => unreachable!(),
        };
        let tuned =
            tune(&graph, &contract, &samples, &targets, &options, &BTreeSet::new(), |_, _| Ok(())).expect("runs");

        // The same four steps by hand.
        let loss = |scores: &Batch<f32>, chunk: &[usize]| {
            let rows: Vec<&[f32]> = chunk.iter().map(|&i| targets[i].as_slice()).collect();
            soft_cross_entropy(scores, &rows)
        };
        let mut sgd = Sgd::new(&graph, options.momentum, options.decay, 0.0).within(options.trust);
        sgd.precondition(Preconditioner::new(&graph, &contract, &samples).expect("runs"));
        let order = shuffled(8, &mut ChaCha8Rng::seed_from_u64(options.seed));
        let mut after = Vec::new();
        for (step, indices) in order.chunks(2).enumerate() {
            let rate = cosine(options.rate, step, 4);
            sgd.step_by(&mut graph, &contract, &samples, indices, rate, &loss).expect("runs");
            after.push(weights(&graph));
        }
        for (i, value) in weights(&tuned).into_iter().enumerate() {
            assert!((value - f32::midpoint(after[2][i], after[3][i])).abs() < 1e-6, "{i}: {value} of {after:?}");
        }
        assert!(weights(&tuned).iter().zip(&after[3]).any(|(mean, last)| (mean - last).abs() > 1e-5), "{after:?}");
    }
}
