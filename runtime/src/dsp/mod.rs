//! Kernels for cores with the DSP extension: Cortex-M4, M7, M33.
//!
//! In: the arguments of the portable kernel, weights packed by the compiler and scratch memory, of which the
//! contents have no meaning. Out: the same bytes as the portable kernel. On other processors, and without
//! the feature `dsp`, a portable twin reads the same packed weights and gives the same bytes.
//!
//! The only `unsafe` among the kernels is in this folder: assembly blocks and one view of bytes as words, each
//! with its proof.
#![allow(
    unsafe_code,
    reason = "assembly; each block has its proof, and a portable twin that tests compare it with"
)]

pub mod add;
pub mod conv;
pub mod dense;
pub mod depthwise;
pub mod dot;
pub mod dot_loops;
pub mod gather;
pub mod gather_loops;
pub mod lanes;
pub mod line;
pub mod line_loops;
pub mod lines;
pub mod max_pool;
pub mod patches;
pub mod pool;
pub mod requant;
pub mod rows;
pub mod rows_loops;
pub mod spread;
pub mod stage;
pub mod tiles;
pub mod tiles_loops;
pub mod winograd;
