//! Runs a float graph forward and backward over batches, in f32 or f64, on the CPU.
//!
//! A [`Batch`] holds one tensor of several samples **channel-major**: `[C, N, H, W]`. So a convolution over a
//! whole chunk of samples is one matrix product, and per-channel work is contiguous. Matrix products go
//! through `candle_core::Tensor::matmul`; everything else is here.
//!
//! Work is cut into fixed chunks of [`CHUNK`] samples, aligned to global sample indices; threads take whole
//! chunks and results are combined in chunk order, so results do not depend on the thread count.

use crate::ir::Shape;

/// Samples per chunk of work.
pub const CHUNK: usize = 16;

/// One tensor of `n` samples, `[C, N, H, W]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch<T> {
    /// Shape of one sample.
    pub shape: Shape,
    /// Samples.
    pub n: usize,
    /// `[C, N, H, W]`.
    pub data: Vec<T>,
}
