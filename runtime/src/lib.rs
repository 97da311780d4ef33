//! int8 kernels for small CNNs on microcontrollers.
//!
//! Tensors are `i8`, `[H, W, C]`, channel fastest; a real value is `scale · (q − zero_point)`. Accumulators
//! are `i32`. There is one rounding, [`requant::requantize`]; host simulation and device share it, because
//! both run these very functions.
//!
//! Every file but this one and `sources.rs` can be vendored: inside a module `kernels` it finds its neighbours
//! by `super::`. `shape`, `requant`, `bias`, `pad` and `taps` are what the others rest on; no kernel needs another.
//! Those in `dsp` and `mve` are for cores with that extension, those in `scalar` for cores with neither; the others
//! run anywhere.
//!
//! Guarantees: `no_std`, no allocation, no dependency, no panic whatever the arguments: a kernel given slices that
//! do not match its shapes computes less, it never faults. `unsafe` stands in the
//! folders `dsp`, `mve` and `scalar` only.
#![no_std]
#![deny(unsafe_code)]
#![allow(
    clippy::inline_always,
    reason = "the parts of inner loops: a call there costs more than the work, also when optimized for size"
)]
#![allow(
    clippy::mut_mut,
    reason = "taking values off the front of a slice to write"
)]

pub mod adapt;
pub mod add;
pub mod argmax;
pub mod avg_pool;
pub mod bias;
pub mod concat;
pub mod conv;
pub mod dense;
pub mod depthwise;
pub mod dsp;
pub mod flatten;
pub mod gate;
pub mod grouped;
pub mod lookup;
pub mod max_pool;
pub mod mve;
pub mod pad;
pub mod requant;
pub mod scalar;
pub mod shape;
#[cfg(feature = "sources")]
pub mod sources;
pub mod taps;

/// Version of the kernels; emitted crates carry it in their file headers.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
