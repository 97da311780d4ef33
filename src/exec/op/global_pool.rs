//! Mean over all positions.

use crate::exec::{Batch, Float};
use crate::ir::Shape;

pub(super) fn forward<T: Float>(x: &Batch<T>) -> Batch<T> {
    let plane = x.shape.plane();
    let share = T::of(1.0 / plane as f64);
    let data = x.data.chunks_exact(plane).map(|p| p.iter().fold(T::ZERO, |a, &b| a + b) * share).collect();
    Batch { shape: Shape::vector(x.shape.c), n: x.n, data }
}

pub(super) fn backward<T: Float>(input: Shape, grad: &Batch<T>) -> Batch<T> {
    let share = T::of(1.0 / input.plane() as f64);
    let mut data = Vec::with_capacity(input.len() * grad.n);
    for &g in &grad.data {
        data.resize(data.len() + input.plane(), g * share);
    }
    Batch { shape: input, n: grad.n, data }
}
