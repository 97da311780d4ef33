//! Class scores and accuracies over samples.

use crate::data::{InputContract, Samples};
use crate::diag::Result;
use crate::exec::{Batch, Network, for_chunks};
use crate::ir::{Graph, Shape};

/// Normalised samples as a batch.
pub fn batch(contract: &InputContract, samples: &Samples, indices: &[usize]) -> Batch<f32> {
    let [h, w, c] = samples.shape;
    Batch {
        shape: Shape::new(c, h, w),
        n: indices.len(),
        data: contract.normalized(samples, indices.iter().copied(), |x| x as f32),
    }
}

/// The graph's scores for `samples[indices]`, one row a sample.
pub fn scores(graph: &Graph, contract: &InputContract, samples: &Samples, indices: &[usize]) -> Result<Vec<Vec<f32>>> {
    let network = Network::<f32>::new(graph)?;
    let chunks = for_chunks(indices.len(), |range| {
        let out = network.scores(&batch(contract, samples, &indices[range]))?;
        Ok((0..out.n).map(|s| (0..out.shape.c).map(|c| out.data[c * out.n + s]).collect()).collect::<Vec<Vec<f32>>>())
    })?;
    Ok(chunks.into_iter().flatten().collect())
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
