//! Per-channel affine map.

use crate::exec::op::channel_sums;
use crate::exec::{Batch, Float, ParamGrad};

pub(super) fn forward<T: Float>(scale: &[T], shift: &[T], x: &Batch<T>) -> Batch<T> {
    let mut data = Vec::with_capacity(x.data.len());
    for c in 0..x.shape.c {
        data.extend(x.channel(c).iter().map(|&v| scale[c] * v + shift[c]));
    }
    Batch { shape: x.shape, n: x.n, data }
}

pub(super) fn backward<T: Float>(scale: &[T], grad: &Batch<T>) -> Batch<T> {
    let mut data = Vec::with_capacity(grad.data.len());
    for (c, &scale) in scale.iter().enumerate() {
        data.extend(grad.channel(c).iter().map(|&v| scale * v));
    }
    Batch { shape: grad.shape, n: grad.n, data }
}

pub(super) fn backward_params<T: Float>(x: &Batch<T>, grad: &Batch<T>) -> ParamGrad<T> {
    let weight = (0..x.shape.c)
        .map(|c| x.channel(c).iter().zip(grad.channel(c)).fold(T::ZERO, |sum, (&v, &g)| sum + v * g))
        .collect();
    ParamGrad { weight, bias: channel_sums(grad) }
}
