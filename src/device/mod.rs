//! Runs a float graph forward and backward on candle tensors: on a GPU, or on the processor to test the same code.
//!
//! In: a verified graph, batches of the engine in `exec`. Out: tensors `[N, C, H, W]` in f32 on the device. The backward
//! pass is ours, over the graph, in terms of candle's forward operations: candle's own is wrong for max pooling, for
//! ReLU at 0 and for pools of odd size. Conventions at corners and ties are those of `exec`.
//!
//! [`Network`] runs both passes over a batch, and takes a smaller one where memory runs out; [`Values`] are single tensors
//! for work that goes layer by layer, [`Rows`] the f64 sums of a least-squares fit.
//!
//! Guaranteed: what `exec` gives in f32, to rounding. On the processor the result does not depend on the thread count.

mod measure;
mod network;
mod op;
mod place;
mod rows;
mod values;

pub use measure::{Contributions, Measure};
pub use network::{Activations, Gradients, Network};
pub use place::Place;
pub use rows::{RowSums, Rows, Taken};
pub use values::Values;

use std::ops::Range;

use crate::diag::{Diag, Result};
use crate::exec::{self, Batch, for_chunks};
use crate::ir::Graph;

/// A failure of candle, which says on one line what it was.
#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
fn failed(error: candle_core::Error) -> Box<Diag> {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    let diag = Diag::new("device/failed", format!("the device failed: {line}"));
    let memory = ["out of memory", "OUT_OF_MEMORY"].iter().any(|words| text.contains(words));
    Box::new(if memory { Diag { code: OUT_OF_MEMORY, ..diag } } else { diag })
}

/// The code of failures that a smaller batch avoids.
pub const OUT_OF_MEMORY: &str = "device/out-of-memory";

/// One row of scores for each of `samples` samples, run at `place`: of the graph's output, or of its `logits`.
pub fn rows(
    graph: &Graph,
    place: Place,
    samples: usize,
    logits: bool,
    input: impl Fn(Range<usize>) -> Result<Batch<f32>> + Sync,
) -> Result<Vec<Vec<f32>>> {
    if let Some(network) = Network::open(graph, place)? {
        return network.rows(samples, logits, input);
    }
    let network = exec::Network::<f32>::new(graph)?;
    host_rows(&network, samples, logits, input)
}

/// The same on the host's engine, on the current rayon pool.
pub fn host_rows(
    network: &exec::Network<f32>,
    samples: usize,
    logits: bool,
    input: impl Fn(Range<usize>) -> Result<Batch<f32>> + Sync,
) -> Result<Vec<Vec<f32>>> {
    let chunks = for_chunks(samples, |range| {
        let input = input(range)?;
        let scores = if logits {
            network.forward(&input)?.get(network.graph().logits()).clone()
        } else {
            network.scores(&input)?
        };
        Ok((0..scores.n).map(|n| scores.sample(n)).collect::<Vec<_>>())
    })?;
    Ok(chunks.into_iter().flatten().collect())
}
