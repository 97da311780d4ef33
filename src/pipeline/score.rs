//! Class scores and accuracies over samples.

use crate::data::{InputContract, Samples};
use crate::device;
use crate::diag::Result;
use crate::exec::Batch;
use crate::ir::op::Op;
use crate::ir::{Graph, Shape};
use crate::pipeline::Source;

/// Smallest probability told apart from zero.
const LEAST: f64 = 1e-12;

/// Normalised samples as a batch.
pub fn batch(contract: &InputContract, samples: &Samples, indices: &[usize]) -> Batch<f32> {
    let [h, w, c] = samples.shape;
    Batch {
        shape: Shape::new(c, h, w),
        n: indices.len(),
        data: contract.normalized(samples, indices.iter().copied(), |x| x as f32),
    }
}

/// The scores of `graph`, the source's or one made of it, for `samples[indices]`, one row a sample; run on the source's
/// device.
pub fn scores(graph: &Graph, source: &Source, samples: &Samples, indices: &[usize]) -> Result<Vec<Vec<f32>>> {
    let contract = &source.case.input;
    device::rows(graph, source.device, indices.len(), false, |range| Ok(batch(contract, samples, &indices[range])))
}

/// Index of the largest value, the first of equals.
pub fn argmax<T: PartialOrd + Copy>(values: impl IntoIterator<Item = T>) -> usize {
    let mut best: Option<(usize, T)> = None;
    for (i, v) in values.into_iter().enumerate() {
        if best.is_none_or(|(_, b)| v > b) {
            best = Some((i, v));
        }
    }
    best.map_or(0, |(i, _)| i)
}

/// For each sample, the position in `classes` of the largest score among them.
pub fn masked(rows: &[Vec<f32>], classes: &[usize]) -> Vec<usize> {
    rows.iter().map(|row| argmax(classes.iter().map(|&c| row[c]))).collect()
}

/// For each sample, the position in `classes` of its label; the samples are all of those classes.
pub fn wanted(samples: &Samples, indices: &[usize], classes: &[usize]) -> Vec<usize> {
    let position = |i: &usize| classes.iter().position(|&c| c == samples.labels[*i] as usize);
    indices.iter().map(|i| position(i).unwrap_or(usize::MAX)).collect()
}

/// Share of equal entries; 0 for none.
pub fn accuracy(predicted: &[usize], truth: &[usize]) -> f64 {
    let hits = predicted.iter().zip(truth).filter(|(p, t)| p == t).count();
    hits as f64 / truth.len().max(1) as f64
}

/// Whether the graph gives probabilities, not logits.
pub fn is_softmax(graph: &Graph) -> bool {
    graph.node(graph.output).op == Op::Softmax
}

/// Log-probabilities of `classes` among themselves, from logits or from probabilities.
pub fn log_probabilities(row: &[f32], classes: &[usize], softmax: bool) -> Vec<f64> {
    let logit = |&c: &usize| if softmax { f64::from(row[c]).max(LEAST).ln() } else { f64::from(row[c]) };
    let logits: Vec<f64> = classes.iter().map(logit).collect();
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total = logits.iter().map(|l| (l - largest).exp()).sum::<f64>().ln() + largest;
    logits.iter().map(|l| (l - total).max(LEAST.ln())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_and_probabilities_say_the_same() {
        let logits = [1.0_f32, -2.0, 0.5, 3.0];
        let total: f32 = logits.iter().map(|l| l.exp()).sum();
        let probabilities: Vec<f32> = logits.iter().map(|l| l.exp() / total).collect();
        let (a, b) = (log_probabilities(&logits, &[2, 0], false), log_probabilities(&probabilities, &[2, 0], true));
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-6));
        assert!((a.iter().map(|l| l.exp()).sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
