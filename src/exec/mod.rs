//! Runs a float graph forward and backward over batches, in f32 or f64, on the CPU.
//!
//! In: an [`ir::Graph`](crate::ir::Graph) and batches of its input. Out: tensors of every node
//! ([`Network::forward`]), class scores ([`Network::scores`]), gradients ([`Network::backward`]).
//!
//! A [`Batch`] holds one tensor of several samples **channel-major**: `[C, N, H, W]`. So a convolution runs over
//! several samples at once, concatenation is appending, and per-channel work is contiguous. Convolutions read shifted
//! copies of planes (`sweep`), with the processor's widest vectors (`packed`, `lanes`); other matrix products go through
//! the `gemm` crate ([`Matrix`]); everything else is in [`op`].
//!
//! Work is cut into fixed chunks of [`CHUNK`] samples, aligned to global sample indices; threads take whole
//! chunks and results are combined in chunk order ([`for_chunks`]), so results are bit-identical for any
//! thread count.

pub mod op;

mod backward;
mod batch;
mod cholesky;
mod chunks;
mod im2col;
mod lanes;
mod matrix;
mod network;
mod packed;
mod sweep;

pub use backward::{Gradients, ParamGrad, Want};
pub use batch::{Batch, Float};
pub use cholesky::{Cholesky, dot};
pub use chunks::{CHUNK, for_chunks};
pub(crate) use im2col::gather;
pub use im2col::im2col;
pub use lanes::Lanes;
pub use matrix::{Matrix, gram, matmul};
pub use network::{Activations, Network, node_params, run_node};
