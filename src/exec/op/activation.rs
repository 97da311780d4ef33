//! Element-wise activations.
//!
//! Where a function has a corner, its derivative is the one of the flat side: ReLU 0 at 0, Clip and the hard
//! functions 0 at their bounds; LeakyReLU takes alpha at 0.

use crate::exec::{Batch, Float};
use crate::ir::op::Op;

pub(super) fn forward<T: Float>(op: &Op, x: &Batch<T>) -> Batch<T> {
    match op {
        Op::Relu => x.map(|v| if v > T::ZERO { v } else { T::ZERO }),
        Op::Clip(clip) => {
            let (lo, hi) = (number::<T>(clip.lo), number::<T>(clip.hi));
            x.map(|v| clamp(v, lo, hi))
        }
        Op::LeakyRelu(leaky) => {
            let alpha = number::<T>(leaky.alpha);
            x.map(|v| if v > T::ZERO { v } else { alpha * v })
        }
        Op::Sigmoid => x.map(|v| T::ONE / (T::ONE + (-v).exp())),
        Op::HardSigmoid(h) => {
            let (alpha, beta) = (number::<T>(h.alpha), number::<T>(h.beta));
            x.map(|v| clamp(alpha * v + beta, T::ZERO, T::ONE))
        }
        Op::HardSwish => x.map(|v| v * swish_gate(v)),
        _ => x.clone(),
    }
}

pub(super) fn backward<T: Float>(op: &Op, x: &Batch<T>, y: &Batch<T>, grad: &Batch<T>) -> Batch<T> {
    match op {
        Op::Relu => x.zip(grad, |v, g| if v > T::ZERO { g } else { T::ZERO }),
        Op::Clip(clip) => {
            let (lo, hi) = (number::<T>(clip.lo), number::<T>(clip.hi));
            x.zip(grad, |v, g| if v > lo && v < hi { g } else { T::ZERO })
        }
        Op::LeakyRelu(leaky) => {
            let alpha = number::<T>(leaky.alpha);
            x.zip(grad, |v, g| if v > T::ZERO { g } else { alpha * g })
        }
        Op::Sigmoid => y.zip(grad, |p, g| g * p * (T::ONE - p)),
        Op::HardSigmoid(h) => {
            let (alpha, beta) = (number::<T>(h.alpha), number::<T>(h.beta));
            x.zip(grad, |v, g| if inside_unit(alpha * v + beta) { alpha * g } else { T::ZERO })
        }
        Op::HardSwish => x.zip(grad, |v, g| {
            let gate = swish_gate(v);
            let slope = if inside_unit(gate) { v / T::of(6.0) } else { T::ZERO };
            g * (gate + slope)
        }),
        _ => grad.clone(),
    }
}

fn number<T: Float>(v: f32) -> T {
    T::of(f64::from(v))
}

fn clamp<T: Float>(v: T, lo: T, hi: T) -> T {
    if v < lo {
        lo
    } else if v > hi {
        hi
    } else {
        v
    }
}

fn inside_unit<T: Float>(v: T) -> bool {
    v > T::ZERO && v < T::ONE
}

fn swish_gate<T: Float>(v: T) -> T {
    clamp(v / T::of(6.0) + T::of(0.5), T::ZERO, T::ONE)
}
