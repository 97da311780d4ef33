//! Convolution: forward and backward as sweeps, the gradient of its weights as matrix products over blocks of samples, or
//! as a sweep where every group reads one channel.

use std::ops::Range;
use std::sync::OnceLock;

use crate::diag::Result;
use crate::exec::im2col::gather;
use crate::exec::op::{Prepared, cast, channel_sums};
use crate::exec::packed::Packed;
use crate::exec::sweep::{Group, Sweep, taps};
use crate::exec::{Batch, Float, Matrix, ParamGrad, matmul};
use crate::ir::Shape;
use crate::ir::op::Conv;

/// Values of one block of patches. A block this size stays in a core's second-level cache between being
/// gathered and being multiplied.
const BLOCK: usize = 1 << 17;

/// A convolution's weights as its sweeps take them.
#[derive(Debug)]
pub(in crate::exec) struct Weights<T> {
    /// For each group, `[O/g, K]`.
    forward: Vec<[Packed<T>; 1]>,
    /// For each group, and each remainder of rows and columns, the taps that have it: `[I/g, O/g · taps]`.
    backward: OnceLock<Vec<Vec<Packed<T>>>>,
    bias: Vec<T>,
}

pub(super) fn prepare<T: Float>(conv: &Conv) -> Prepared<T> {
    let (rows, depth) = (conv.out_channels / conv.groups, conv.fan_in());
    let forward = conv
        .weight
        .chunks_exact(rows * depth)
        .map(|weight| [Packed::new(rows, depth, |row, k| T::of(f64::from(weight[row * depth + k])))])
        .collect();
    Prepared::Conv(Weights { forward, backward: OnceLock::new(), bias: cast(&conv.bias) })
}

/// The matrices of the backward pass, group by group.
fn transposed<T: Float>(conv: &Conv) -> Vec<Vec<Packed<T>>> {
    let window = &conv.window;
    let (rows, depth, channels) = (conv.out_channels / conv.groups, conv.fan_in(), conv.in_channels / conv.groups);
    let group = |weight: &[f32]| {
        let mut matrices = Vec::with_capacity(window.stride[0] * window.stride[1]);
        for vertical in 0..window.stride[0] {
            for horizontal in 0..window.stride[1] {
                let own: Vec<usize> = taps(window, 0, vertical)
                    .flat_map(|ky| taps(window, 1, horizontal).map(move |kx| ky * window.kernel[1] + kx))
                    .collect();
                let area = window.kernel[0] * window.kernel[1];
                matrices.push(Packed::new(channels, rows * own.len(), |channel, k| {
                    T::of(f64::from(weight[k / own.len() * depth + channel * area + own[k % own.len()]]))
                }));
            }
        }
        matrices
    };
    conv.weight.chunks_exact(rows * depth).map(group).collect()
}

pub(super) fn forward<T: Float>(conv: &Conv, weights: &Weights<T>, out: Shape, x: &Batch<T>) -> Batch<T> {
    let mut y = Batch::zeros(out, x.n);
    let rows = conv.out_channels / conv.groups;
    let group = |(g, matrices)| {
        let (to, bias) = (g * rows, &weights.bias[g * rows..(g + 1) * rows]);
        Group { matrices, bias, from: channels(conv, g), to }
    };
    let groups: Vec<Group<'_, T>> = weights.forward.iter().map(<[_; 1]>::as_slice).enumerate().map(group).collect();
    Sweep::forward(&conv.window, [x.shape.h, x.shape.w], [out.h, out.w]).run(&groups, x, &mut y);
    y
}

pub(super) fn backward<T: Float>(conv: &Conv, weights: &Weights<T>, input: Shape, grad: &Batch<T>) -> Batch<T> {
    let mut dx = Batch::zeros(input, grad.n);
    let rows = conv.out_channels / conv.groups;
    let group = |(g, matrices)| {
        let (from, to) = (g * rows..(g + 1) * rows, channels(conv, g).start);
        Group { matrices, bias: &[], from, to }
    };
    let matrices = weights.backward.get_or_init(|| transposed(conv));
    let groups: Vec<Group<'_, T>> = matrices.iter().map(Vec::as_slice).enumerate().map(group).collect();
    Sweep::backward(&conv.window, [input.h, input.w], [grad.shape.h, grad.shape.w]).run(&groups, grad, &mut dx);
    dx
}

pub(super) fn backward_params<T: Float>(conv: &Conv, x: &Batch<T>, grad: &Batch<T>) -> Result<ParamGrad<T>> {
    let bias = channel_sums(grad);
    if conv.groups > 1 && conv.groups == conv.in_channels {
        let sweep = Sweep::forward(&conv.window, [x.shape.h, x.shape.w], [grad.shape.h, grad.shape.w]);
        return Ok(ParamGrad { weight: sweep.weights(x, grad), bias });
    }
    let mut weight = vec![T::ZERO; conv.weight.len()];
    for (g, target) in weight.chunks_exact_mut(conv.weight.len() / conv.groups).enumerate() {
        for block in blocks(conv, grad.shape, grad.n) {
            let patches = patches(conv, grad.shape, x, g, block.clone())?;
            let dy = result_rows(conv, grad, g, block)?;
            for (t, v) in target.iter_mut().zip(matmul(&dy, &patches.t())?.into_vec()) {
                *t += v;
            }
        }
    }
    Ok(ParamGrad { weight, bias })
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
