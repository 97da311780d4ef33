//! Convolution with one input channel per group, as direct loops over rows of pixels.

use std::ops::Range;

use crate::exec::im2col::span;
use crate::exec::op::channel_sums;
use crate::exec::{Batch, Float, ParamGrad};
use crate::ir::Shape;
use crate::ir::op::{Conv, Window};

/// Whether this file runs `conv`: every group reads one channel (channel multipliers included).
pub(super) fn applies(conv: &Conv) -> bool {
    conv.groups > 1 && conv.groups == conv.in_channels
}

pub(super) fn forward<T: Float>(conv: &Conv, weight: &[T], bias: &[T], out: Shape, x: &Batch<T>) -> Batch<T> {
    let mut data = Vec::with_capacity(out.len() * x.n);
    for &b in bias {
        data.resize(data.len() + x.n * out.plane(), b);
    }
    let mut y = Batch { shape: out, n: x.n, data };
    for_rows(conv, x.shape, out, x.n, |w, src, dst, len| {
        let source = x.data[src..].iter().step_by(conv.window.stride[1]);
        if conv.window.stride[1] == 1 {
            for (d, &s) in y.data[dst..dst + len].iter_mut().zip(&x.data[src..src + len]) {
                *d += weight[w] * s;
            }
        } else {
            for (d, &s) in y.data[dst..dst + len].iter_mut().zip(source) {
                *d += weight[w] * s;
            }
        }
    });
    y
}

pub(super) fn backward<T: Float>(conv: &Conv, weight: &[T], input: Shape, grad: &Batch<T>) -> Batch<T> {
    let mut dx = Batch::zeros(input, grad.n);
    for_rows(conv, input, grad.shape, grad.n, |w, src, dst, len| {
        let g = &grad.data[dst..dst + len];
        if conv.window.stride[1] == 1 {
            for (d, &s) in dx.data[src..src + len].iter_mut().zip(g) {
                *d += weight[w] * s;
            }
        } else {
            for (d, &s) in dx.data[src..].iter_mut().step_by(conv.window.stride[1]).zip(g) {
                *d += weight[w] * s;
            }
        }
    });
    dx
}

pub(super) fn backward_params<T: Float>(conv: &Conv, x: &Batch<T>, grad: &Batch<T>) -> ParamGrad<T> {
    let mut weight = vec![T::ZERO; conv.weight.len()];
    for_rows(conv, x.shape, grad.shape, grad.n, |w, src, dst, len| {
        let source = x.data[src..].iter().step_by(conv.window.stride[1]);
        weight[w] += grad.data[dst..dst + len].iter().zip(source).fold(T::ZERO, |sum, (&g, &s)| sum + g * s);
    });
    ParamGrad { weight, bias: channel_sums(grad) }
}

/// Calls `f(weight index, source offset, result offset, length)` for every run of outputs in one row that
/// one tap feeds.
fn for_rows(conv: &Conv, input: Shape, out: Shape, n: usize, mut f: impl FnMut(usize, usize, usize, usize)) {
    let taps = taps(&conv.window, input, out);
    let multiplier = conv.out_channels / conv.groups;
    let count = conv.window.kernel[0] * conv.window.kernel[1];
    for o in 0..conv.out_channels {
        for s in 0..n {
            let src = ((o / multiplier) * n + s) * input.plane();
            let dst = (o * n + s) * out.plane();
            for tap in &taps {
                for (i, oy) in tap.rows.clone().enumerate() {
                    let iy = tap.first_row + i * conv.window.stride[0];
                    f(
                        o * count + tap.index,
                        src + iy * input.w + tap.first_column,
                        dst + oy * out.w + tap.columns.start,
                        tap.columns.len(),
                    );
                }
            }
        }
    }
}

/// The outputs that one tap feeds, and where it first reads.
struct Tap {
    index: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    first_row: usize,
    first_column: usize,
}

fn taps(window: &Window, input: Shape, out: Shape) -> Vec<Tap> {
    let [kh, kw] = window.kernel;
    let mut taps = Vec::with_capacity(kh * kw);
    for ky in 0..kh {
        let (rows, first_row) = span(window, 0, ky, input.h, out.h);
        for kx in 0..kw {
            let (columns, first_column) = span(window, 1, kx, input.w, out.w);
            if !rows.is_empty() && !columns.is_empty() {
                taps.push(Tap { index: ky * kw + kx, rows: rows.clone(), columns, first_row, first_column });
            }
        }
    }
    taps
}
