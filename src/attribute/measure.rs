//! The interface of methods that are measured at route points, and their sums.

use crate::attribute::source;
use crate::data::{InputContract, Samples};
use crate::diag::Result;
use crate::exec::{Activations, Batch, CHUNK, Float, Network, for_chunks};
use crate::ir::{Graph, NodeId};

/// Most bytes of tensors of the samples that are run together. Large networks run a chunk a few samples at a time: their
/// tensors come and go faster, and threads need less memory.
const TENSOR_BYTES: usize = 256 << 20;

/// Independent partial sums: enough to keep vector units busy, in a fixed order on every machine.
const LANES: usize = 8;

/// A method that scores channels from one forward (and perhaps one backward) pass.
pub trait Measure<T: Float>: Sync {
    /// Sums over the batch (samples of `class`) and over positions: per point, per channel.
    fn chunk(
        &self,
        network: &Network<T>,
        acts: &Activations<T>,
        class: usize,
        points: &[NodeId],
    ) -> Result<Vec<Vec<f64>>>;
}

/// Samples of a chunk of `graph` that are run together; from the graph alone, since it decides how sums are rounded.
pub(super) fn samples_at_once(graph: &Graph) -> usize {
    let values: usize = graph.nodes.iter().map(|node| node.shape.len()).sum();
    (TENSOR_BYTES / (size_of::<f32>() * values.max(1))).clamp(1, CHUNK)
}

/// Adds `parts` to `sums`, number by number.
pub(super) fn add(sums: &mut [f64], parts: impl IntoIterator<Item = f64>) {
    for (sum, part) in sums.iter_mut().zip(parts) {
        *sum += part;
    }
}

/// Sums of `measure` over the samples `indices`, taken as samples of `class`: per point, per channel.
///
/// Chunks are added in order, so the result does not depend on the thread count.
pub fn point_sums<T: Float>(
    network: &Network<T>,
    input: &InputContract,
    samples: &Samples,
    indices: &[usize],
    class: usize,
    points: &[NodeId],
    measure: &dyn Measure<T>,
) -> Result<Vec<Vec<f64>>> {
    let graph = network.graph();
    let zeros = || -> Vec<Vec<f64>> { points.iter().map(|&id| vec![0.0; graph.shape(id).c]).collect() };
    let sum = |total: &mut Vec<Vec<f64>>, part: Vec<Vec<f64>>| {
        total.iter_mut().zip(part).for_each(|(sums, part)| add(sums, part));
    };
    let chunks = for_chunks(indices.len(), |range| {
        let mut chunk = zeros();
        for indices in indices[range].chunks(samples_at_once(graph)) {
            let acts = network.forward(&source::batch(graph, input, samples, indices)?)?;
            sum(&mut chunk, measure.chunk(network, &acts, class, points)?);
        }
        Ok(chunk)
    })?;
    let mut total = zeros();
    for chunk in chunks {
        sum(&mut total, chunk);
    }
    Ok(total)
}

/// Per channel, the sum of `f` over samples and positions.
pub(super) fn channel_sums<T: Float>(a: &Batch<T>, f: impl Fn(T) -> T) -> Vec<f64> {
    (0..a.shape.c)
        .map(|c| {
            let values = a.channel(c).chunks_exact(LANES);
            let mut lanes = [0.0; LANES];
            let tail: f64 = values.remainder().iter().map(|&v| f(v).wide()).sum();
            for chunk in values {
                for (lane, &v) in lanes.iter_mut().zip(chunk) {
                    *lane += f(v).wide();
                }
            }
            lanes.iter().sum::<f64>() + tail
        })
        .collect()
}

/// Per channel, the sum of `f(a, b)` over samples and positions of two tensors of one shape.
pub(super) fn channel_sums_of_pairs<T: Float>(a: &Batch<T>, b: &Batch<T>, f: impl Fn(T, T) -> T) -> Vec<f64> {
    (0..a.shape.c)
        .map(|c| {
            let (left, right) = (a.channel(c).chunks_exact(LANES), b.channel(c).chunks_exact(LANES));
            let mut lanes = [0.0; LANES];
            let tail = left.remainder().iter().zip(right.remainder());
            let tail: f64 = tail.map(|(&a, &b)| f(a, b).wide()).sum();
            for (a, b) in left.zip(right) {
                for (lane, (&a, &b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
                    *lane += f(a, b).wide();
                }
            }
            lanes.iter().sum::<f64>() + tail
        })
        .collect()
}
