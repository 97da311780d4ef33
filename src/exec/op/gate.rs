//! Channel-wise product with a gate per sample (squeeze-excite).

use crate::exec::{Batch, Float};

/// Inputs are the features `[C, N, H, W]` and the gate `[C, N, 1, 1]`.
pub(super) fn forward<T: Float>(x: &Batch<T>, gate: &Batch<T>) -> Batch<T> {
    scale(x, gate)
}

pub(super) fn backward<T: Float>(operand: usize, inputs: &[&Batch<T>], grad: &Batch<T>) -> Batch<T> {
    let (x, gate) = (inputs[0], inputs[1]);
    if operand == 0 {
        return scale(grad, gate);
    }
    let plane = x.shape.plane();
    let data = x
        .data
        .chunks_exact(plane)
        .zip(grad.data.chunks_exact(plane))
        .map(|(x, g)| x.iter().zip(g).fold(T::ZERO, |sum, (&x, &g)| sum + x * g))
        .collect();
    Batch { shape: gate.shape, n: gate.n, data }
}

fn scale<T: Float>(x: &Batch<T>, gate: &Batch<T>) -> Batch<T> {
    let mut data = Vec::with_capacity(x.data.len());
    for (plane, &g) in x.data.chunks_exact(x.shape.plane()).zip(&gate.data) {
        data.extend(plane.iter().map(|&v| v * g));
    }
    Batch { shape: x.shape, n: x.n, data }
}
