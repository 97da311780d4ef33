//! Mean of each window.

use crate::exec::{Batch, Float};
use crate::ir::Shape;
use crate::ir::op::AvgPool;

pub(super) fn forward<T: Float>(pool: &AvgPool, out: Shape, x: &Batch<T>) -> Batch<T> {
    let shares = shares::<T>(pool, x.shape, out);
    let mut y = Batch::zeros(out, x.n);
    for (src, dst) in x.data.chunks_exact(x.shape.plane()).zip(y.data.chunks_exact_mut(out.plane())) {
        for &(output, source, share) in &shares {
            dst[output] += src[source] * share;
        }
    }
    y
}

pub(super) fn backward<T: Float>(pool: &AvgPool, input: Shape, grad: &Batch<T>) -> Batch<T> {
    let shares = shares::<T>(pool, input, grad.shape);
    let mut dx = Batch::zeros(input, grad.n);
    for (g, dx) in grad.data.chunks_exact(grad.shape.plane()).zip(dx.data.chunks_exact_mut(input.plane())) {
        for &(output, source, share) in &shares {
            dx[source] += g[output] * share;
        }
    }
    dx
}

/// `(output position, input position, 1 / divisor)` of every tap inside the input.
fn shares<T: Float>(pool: &AvgPool, input: Shape, out: Shape) -> Vec<(usize, usize, T)> {
    let window = &pool.window;
    let [kh, kw] = window.kernel;
    let mut shares = Vec::with_capacity(out.plane() * kh * kw);
    for oy in 0..out.h {
        for ox in 0..out.w {
            let start = shares.len();
            for iy in (0..kh).filter_map(|ky| window.source(0, oy, ky, input.h)) {
                for ix in (0..kw).filter_map(|kx| window.source(1, ox, kx, input.w)) {
                    shares.push((oy * out.w + ox, iy * input.w + ix, T::ZERO));
                }
            }
            let divisor = if pool.count_include_pad { kh * kw } else { shares.len() - start };
            for share in &mut shares[start..] {
                share.2 = T::of(1.0 / divisor as f64);
            }
        }
    }
    shares
}
