//! Convolution as matrix products over blocks of samples.

use std::ops::Range;

use crate::diag::Result;
use crate::exec::im2col::{gather, scatter};
use crate::exec::op::{Prepared, cast, channel_sums};
use crate::exec::{Batch, Float, Matrix, ParamGrad, matmul};
use crate::ir::Shape;
use crate::ir::op::Conv;

/// Values of one block of patches. A block this size stays in a core's second-level cache between being
/// gathered and being multiplied.
const BLOCK: usize = 1 << 17;

pub(super) fn prepare<T: Float>(conv: &Conv) -> Result<Prepared<T>> {
    let rows = conv.out_channels / conv.groups;
    let groups = conv
        .weight
        .chunks_exact(rows * conv.fan_in())
        .map(|weight| Matrix::new(cast(weight), rows, conv.fan_in()))
        .collect::<Result<_>>()?;
    Ok(Prepared::Conv { groups, bias: cast(&conv.bias) })
}

pub(super) fn forward<T: Float>(
    conv: &Conv,
    groups: &[Matrix<T>],
    bias: &[T],
    out: Shape,
    x: &Batch<T>,
) -> Result<Batch<T>> {
    let mut y = Batch::zeros(out, x.n);
    let (rows, plane) = (conv.out_channels / conv.groups, out.plane());
    for (g, weight) in groups.iter().enumerate() {
        for block in blocks(conv, out, x.n) {
            let patches = patches(conv, out, x, g, block.clone())?;
            matmul(weight, &patches)?.read(|product| {
                for (r, row) in product.chunks_exact(block.len() * plane).enumerate() {
                    let o = g * rows + r;
                    let target = &mut y.data[(o * x.n + block.start) * plane..][..row.len()];
                    for (t, &v) in target.iter_mut().zip(row) {
                        *t = v + bias[o];
                    }
                }
            })?;
        }
    }
    Ok(y)
}

pub(super) fn backward<T: Float>(conv: &Conv, groups: &[Matrix<T>], input: Shape, grad: &Batch<T>) -> Result<Batch<T>> {
    let mut dx = Batch::zeros(input, grad.n);
    for (g, weight) in groups.iter().enumerate() {
        let transposed = weight.t()?;
        for block in blocks(conv, grad.shape, grad.n) {
            let dy = result_rows(conv, grad, g, block.clone())?;
            matmul(&transposed, &dy)?
                .read(|cols| scatter(cols, &conv.window, grad.shape, channels(conv, g), block.clone(), &mut dx))?;
        }
    }
    Ok(dx)
}

pub(super) fn backward_params<T: Float>(conv: &Conv, x: &Batch<T>, grad: &Batch<T>) -> Result<ParamGrad<T>> {
    let mut weight = vec![T::ZERO; conv.weight.len()];
    for (g, target) in weight.chunks_exact_mut(conv.weight.len() / conv.groups).enumerate() {
        for block in blocks(conv, grad.shape, grad.n) {
            let patches = patches(conv, grad.shape, x, g, block.clone())?;
            let dy = result_rows(conv, grad, g, block)?;
            matmul(&dy, &patches.t()?)?.read(|part| {
                for (t, &v) in target.iter_mut().zip(part) {
                    *t += v;
                }
            })?;
        }
    }
    Ok(ParamGrad { weight, bias: channel_sums(grad) })
}

/// Input channels of group `g`.
fn channels(conv: &Conv, g: usize) -> Range<usize> {
    let per_group = conv.in_channels / conv.groups;
    g * per_group..(g + 1) * per_group
}

/// Sample ranges whose patches fill about one [`BLOCK`].
fn blocks(conv: &Conv, out: Shape, samples: usize) -> impl Iterator<Item = Range<usize>> + use<> {
    let step = (BLOCK / (conv.fan_in() * out.plane()).max(1)).max(1);
    (0..samples).step_by(step).map(move |start| start..samples.min(start + step))
}

/// `[K, samples·P]`.
fn patches<T: Float>(conv: &Conv, out: Shape, x: &Batch<T>, g: usize, samples: Range<usize>) -> Result<Matrix<T>> {
    let columns = samples.len() * out.plane();
    Matrix::new(gather(x, &conv.window, out, channels(conv, g), samples), conv.fan_in(), columns)
}

/// Rows of the result that group `g` makes, `[O/g, samples·P]`.
fn result_rows<T: Float>(conv: &Conv, y: &Batch<T>, g: usize, samples: Range<usize>) -> Result<Matrix<T>> {
    let (rows, plane) = (conv.out_channels / conv.groups, y.shape.plane());
    let mut data = Vec::with_capacity(rows * samples.len() * plane);
    for o in g * rows..(g + 1) * rows {
        data.extend_from_slice(&y.channel(o)[samples.start * plane..samples.end * plane]);
    }
    Matrix::new(data, rows, samples.len() * plane)
}
