//! `[C, N, H, W]` to `[C·H·W, N]`: a transpose of samples and positions within each channel.

use crate::exec::{Batch, Float};
use crate::ir::Shape;

pub(super) fn forward<T: Float>(x: &Batch<T>) -> Batch<T> {
    let plane = x.shape.plane();
    Batch { shape: Shape::vector(x.shape.len()), n: x.n, data: transpose(&x.data, x.shape.c, x.n, plane) }
}

pub(super) fn backward<T: Float>(input: Shape, grad: &Batch<T>) -> Batch<T> {
    Batch { shape: input, n: grad.n, data: transpose(&grad.data, input.c, input.plane(), grad.n) }
}

/// `[c, a, b]` to `[c, b, a]`.
fn transpose<T: Float>(data: &[T], c: usize, a: usize, b: usize) -> Vec<T> {
    let mut out = Vec::with_capacity(data.len());
    for block in data.chunks_exact((a * b).max(1)).take(c) {
        for j in 0..b {
            out.extend(block[j..].iter().step_by(b));
        }
    }
    out
}
