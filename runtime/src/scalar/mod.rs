//! Kernels for cores without DSP instructions: Cortex-M0, M0+, M3.
//!
//! In: the arguments of the portable kernel, weights packed by the compiler (those of depthwise convolutions as they are)
//! and scratch memory, of which the contents have no meaning. Out: the same bytes as the portable kernel. On other processors, and without
//! the features `v6m` and `v7m`, a portable twin reads the same packed weights and gives the same bytes.
//!
//! The only `unsafe` is an assembly block in each of `v6m` and `v7m`, two in `depthwise`, and one view of bytes as words,
//! each with its proof.
#![allow(
    unsafe_code,
    reason = "assembly; each block has its proof, and a portable twin that tests compare it with"
)]

pub mod conv;
pub mod depthwise;
pub mod v6m;
pub mod v7m;
