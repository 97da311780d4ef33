//! Runs a float graph forward and backward on candle tensors: on a GPU, or on the processor to test the same code.
//!
//! In: a verified graph, batches of the engine in `exec`. Out: tensors `[N, C, H, W]` in f32 on the device. The backward
//! pass is ours, over the graph, in terms of candle's forward operations: candle's own is wrong for max pooling, for
//! ReLU at 0 and for pools of odd size. Conventions at corners and ties are those of `exec`.
//!
//! Guaranteed: what `exec` gives in f32, to rounding. On the processor the result does not depend on the thread count.

mod measure;
mod network;
mod op;
mod place;

pub use measure::{Contributions, Measure};
pub use network::{Activations, Gradients, Network};
pub use place::Place;

use crate::diag::Diag;

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
