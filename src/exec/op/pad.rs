//! A constant border.

use crate::exec::{Batch, Float};
use crate::ir::Shape;
use crate::ir::op::Pad;

pub(super) fn forward<T: Float>(pad: Pad, out: Shape, x: &Batch<T>) -> Batch<T> {
    let [top, left, ..] = pad.pad;
    let mut y = Batch { shape: out, n: x.n, data: vec![T::of(f64::from(pad.value)); out.len() * x.n] };
    for (src, dst) in x.data.chunks_exact(x.shape.plane()).zip(y.data.chunks_exact_mut(out.plane())) {
        for (row, src) in src.chunks_exact(x.shape.w).enumerate() {
            dst[(top + row) * out.w + left..][..src.len()].copy_from_slice(src);
        }
    }
    y
}

pub(super) fn backward<T: Float>(pad: Pad, input: Shape, grad: &Batch<T>) -> Batch<T> {
    let [top, left, ..] = pad.pad;
    let mut data = Vec::with_capacity(input.len() * grad.n);
    for plane in grad.data.chunks_exact(grad.shape.plane()) {
        for row in 0..input.h {
            data.extend_from_slice(&plane[(top + row) * grad.shape.w + left..][..input.w]);
        }
    }
    Batch { shape: input, n: grad.n, data }
}
