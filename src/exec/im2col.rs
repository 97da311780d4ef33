//! Patches of a tensor as a matrix.
//!
//! Row `(c, ky, kx)`, column `(n, oy, ox)`: so `weight[O, K] · im2col[K, N·P]` is a convolution's result in
//! batch layout. Rows of pixels are copied whole where the stride is 1.

use std::ops::Range;

use crate::exec::{Batch, Float};
use crate::ir::Shape;
use crate::ir::op::Window;

/// The patches of `channels` of all samples, `[C·KH·KW, N·Ho·Wo]`, zero padded.
///
/// The window must fit the input, as [`Window::infer_shape`] checks.
pub fn im2col<T: Float>(input: &Batch<T>, window: &Window, channels: Range<usize>) -> Vec<T> {
    let out = window.infer_shape(input.shape).expect("verified graph: the window fits its input");
    gather(input, window, out, channels, 0..input.n)
}

/// Outputs `o` along `axis` whose tap `k` lies inside the input, and the source index of the first.
pub(crate) fn span(window: &Window, axis: usize, k: usize, size: usize, out: usize) -> (Range<usize>, usize) {
    let (stride, offset, pad) = (window.stride[axis], k * window.dilation[axis], window.pad[axis]);
    let first = pad.saturating_sub(offset).div_ceil(stride);
    let end = if size + pad > offset { ((size + pad - offset - 1) / stride + 1).min(out) } else { 0 };
    if first >= end {
        return (0..0, 0);
    }
    (first..end, first * stride + offset - pad)
}

/// Whether the patches are the tensor itself.
pub(crate) fn is_pointwise(window: &Window) -> bool {
    window.kernel == [1, 1] && window.stride == [1, 1] && window.pad == [0; 4]
}

/// Patches of `samples` only; `out` is the window's result shape.
pub(crate) fn gather<T: Float>(
    input: &Batch<T>,
    window: &Window,
    out: Shape,
    channels: Range<usize>,
    samples: Range<usize>,
) -> Vec<T> {
    let [kh, kw] = window.kernel;
    let Shape { h, w, .. } = input.shape;
    let columns = samples.len() * out.plane();
    if is_pointwise(window) {
        let mut cols = Vec::with_capacity(channels.len() * columns);
        for c in channels {
            cols.extend_from_slice(&input.channel(c)[samples.start * h * w..samples.end * h * w]);
        }
        return cols;
    }
    let mut cols = vec![T::ZERO; channels.len() * kh * kw * columns];
    let mut rows = cols.chunks_exact_mut(columns);
    for c in channels {
        for ky in 0..kh {
            let (oys, iy0) = span(window, 0, ky, h, out.h);
            for kx in 0..kw {
                let (oxs, ix0) = span(window, 1, kx, w, out.w);
                let row = rows.next().expect("one row per channel and tap");
                if oxs.is_empty() {
                    continue;
                }
                for (dst, n) in row.chunks_exact_mut(out.plane()).zip(samples.clone()) {
                    let src = input.plane(c, n);
                    for (i, oy) in oys.clone().enumerate() {
                        let src = &src[(iy0 + i * window.stride[0]) * w + ix0..];
                        let dst = &mut dst[oy * out.w + oxs.start..oy * out.w + oxs.end];
                        if window.stride[1] == 1 {
                            dst.copy_from_slice(&src[..dst.len()]);
                        } else {
                            for (d, &s) in dst.iter_mut().zip(src.iter().step_by(window.stride[1])) {
                                *d = s;
                            }
                        }
                    }
                }
            }
        }
    }
    cols
}
