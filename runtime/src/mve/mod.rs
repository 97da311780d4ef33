//! Kernels for cores with the vector extension (Helium): Cortex-M55, M85.
//!
//! In: the arguments of the portable kernel, weights packed by the compiler (those of depthwise convolutions as they are)
//! and scratch memory, of which the contents have no meaning. Out: the same bytes as the portable kernel. On other processors, and without
//! the feature `mve`, a portable twin reads the same packed weights and gives the same bytes.
//!
//! `unsafe` stands in the assembly blocks and in one view of values as bytes, each with its proof.
#![allow(
    unsafe_code,
    reason = "assembly; each block has its proof, and a portable twin that tests compare it with"
)]

pub mod conv;
pub mod copy;
pub mod depthwise;
pub mod dot;
