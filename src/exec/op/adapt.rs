//! Means over blocks of pixels, rounded to whole values.

use crate::exec::{Batch, Float};
use crate::ir::Shape;
use crate::ir::op::Adapt;

/// Calls `each` with input channel, input index in its plane, output channel, output index in its plane, and share.
fn pairs(adapt: &Adapt, input: Shape, out: Shape, mut each: impl FnMut(usize, usize, usize, usize, usize)) {
    for c in 0..out.c {
        for y in 0..out.h {
            for x in 0..out.w {
                for (k, &share) in adapt.shares().iter().enumerate() {
                    for dy in 0..adapt.block {
                        let row = (adapt.first[0] + y * adapt.block + dy) * input.w;
                        let column = adapt.first[1] + x * adapt.block;
                        (row + column..row + column + adapt.block)
                            .for_each(|at| each(if adapt.grey { k } else { c }, at, c, y * out.w + x, share));
                    }
                }
            }
        }
    }
}

pub(super) fn forward<T: Float>(adapt: &Adapt, out: Shape, x: &Batch<T>) -> Batch<T> {
    let mut y = Batch::zeros(out, x.n);
    let (plane, divisor) = (out.plane(), adapt.divisor());
    for s in 0..x.n {
        let mut sums = vec![0.0_f64; out.len()];
        pairs(adapt, x.shape, out, |from, at, to, place, share| {
            sums[to * plane + place] += share as f64 * x.plane(from, s)[at].wide();
        });
        for (i, sum) in sums.into_iter().enumerate() {
            let mean = ((sum + (divisor / 2) as f64) / divisor as f64).floor();
            y.data[(i / plane * x.n + s) * plane + i % plane] = T::of(mean);
        }
    }
    y
}

pub(super) fn backward<T: Float>(adapt: &Adapt, input: Shape, grad: &Batch<T>) -> Batch<T> {
    let mut out = Batch::zeros(input, grad.n);
    let plane = input.plane();
    for s in 0..grad.n {
        pairs(adapt, input, grad.shape, |from, at, to, place, share| {
            let part = grad.plane(to, s)[place].wide() * share as f64 / adapt.divisor() as f64;
            let cell = &mut out.data[(from * grad.n + s) * plane + at];
            *cell += T::of(part);
        });
    }
    out
}
