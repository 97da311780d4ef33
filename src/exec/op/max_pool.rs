//! Largest value of each window; the gradient goes to the first largest in row-major order.

use crate::exec::im2col::span;
use crate::exec::{Batch, Float};
use crate::ir::Shape;
use crate::ir::op::MaxPool;

/// Marks an output whose window holds no input position.
const NOWHERE: u32 = u32::MAX;

pub(super) fn forward<T: Float>(pool: &MaxPool, out: Shape, x: &Batch<T>) -> Batch<T> {
    let mut y = Batch { shape: out, n: x.n, data: vec![T::LOWEST; out.len() * x.n] };
    for (src, best) in x.data.chunks_exact(x.shape.plane()).zip(y.data.chunks_exact_mut(out.plane())) {
        for_taps(pool, x.shape, out, |outputs, first, step| {
            for (b, &v) in best[outputs].iter_mut().zip(src[first..].iter().step_by(step)) {
                *b = if v > *b { v } else { *b };
            }
        });
    }
    y
}

pub(super) fn backward<T: Float>(pool: &MaxPool, x: &Batch<T>, grad: &Batch<T>) -> Batch<T> {
    let out = grad.shape;
    let mut dx = Batch::zeros(x.shape, x.n);
    let mut best = vec![T::LOWEST; out.plane()];
    let mut place = vec![NOWHERE; out.plane()];
    let plane = x.shape.plane();
    for ((src, g), dx) in
        x.data.chunks_exact(plane).zip(grad.data.chunks_exact(out.plane())).zip(dx.data.chunks_exact_mut(plane))
    {
        best.fill(T::LOWEST);
        place.fill(NOWHERE);
        for_taps(pool, x.shape, out, |outputs, first, step| {
            let range = best[outputs.clone()].iter_mut().zip(&mut place[outputs]);
            for (i, (b, p)) in range.enumerate() {
                let at = first + i * step;
                if src[at] > *b {
                    *b = src[at];
                    *p = at as u32;
                }
            }
        });
        for (&p, &g) in place.iter().zip(g) {
            if p != NOWHERE {
                dx[p as usize] += g;
            }
        }
    }
    dx
}

/// Calls `f(outputs, first source, source step)` for every tap and output row, taps in row-major order.
fn for_taps(pool: &MaxPool, input: Shape, out: Shape, mut f: impl FnMut(std::ops::Range<usize>, usize, usize)) {
    let window = &pool.window;
    for ky in 0..window.kernel[0] {
        let (rows, first_row) = span(window, 0, ky, input.h, out.h);
        for kx in 0..window.kernel[1] {
            let (columns, first_column) = span(window, 1, kx, input.w, out.w);
            if columns.is_empty() {
                continue;
            }
            for (i, oy) in rows.clone().enumerate() {
                let source = (first_row + i * window.stride[0]) * input.w + first_column;
                f(oy * out.w + columns.start..oy * out.w + columns.end, source, window.stride[1]);
            }
        }
    }
}
