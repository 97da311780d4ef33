//! Forward and backward of every operator on candle tensors `[N, C, H, W]`, and the dispatch.

mod activation;
mod conv;
mod dense;
mod depthwise;
mod elementwise;
mod pool;
mod taps;

use candle_core::{Device, Result, Tensor};

use crate::ir::Shape;
use crate::ir::op::Op;
pub(super) use elementwise::pad;
pub(super) use taps::Taps;

/// What an operator needs on the device.
#[derive(Debug)]
pub(super) enum Prepared {
    /// Nothing.
    None,
    /// A convolution's filters, for both passes.
    Conv(conv::Conv),
    /// A convolution with one input channel per group.
    Depthwise(depthwise::Depthwise),
    /// `[O, I]` and `[O]`.
    Dense(Tensor, Tensor),
    /// Scale and shift, `[1, C, 1, 1]`.
    Affine(Tensor, Tensor),
    /// Where the taps of a pool read.
    MaxPool(Taps),
    /// The same, and one over the divisor of every output position, `[1, 1, H, W]`.
    AvgPool(Taps, Tensor),
}

/// Moves what `op` needs to `device`. `input` and `out` are the shapes of its first operand and of its result.
pub(super) fn prepare(op: &Op, input: Shape, out: Shape, device: &Device) -> Result<Prepared> {
    Ok(match op {
        Op::Conv(conv) if conv.groups > 1 && conv.groups == conv.in_channels => {
            Prepared::Depthwise(depthwise::Depthwise::new(conv, input, out, device)?)
        }
        Op::Conv(conv) => Prepared::Conv(conv::Conv::new(conv, input, out, device)?),
        Op::Dense(dense) => Prepared::Dense(
            Tensor::from_slice(&dense.weight, (dense.out_features, dense.in_features), device)?,
            Tensor::from_slice(&dense.bias, dense.out_features, device)?,
        ),
        Op::Affine(affine) => {
            let channels = |values: &[f64]| {
                let values: Vec<f32> = values.iter().map(|&v| v as f32).collect();
                Tensor::from_vec(values, (1, affine.scale.len(), 1, 1), device)
            };
            Prepared::Affine(channels(&affine.scale)?, channels(&affine.shift)?)
        }
        Op::MaxPool(pool) => Prepared::MaxPool(Taps::new(&pool.window, input, out, device)?),
        Op::AvgPool(pool) => {
            let taps = Taps::new(&pool.window, input, out, device)?;
            Prepared::AvgPool(taps, pool::shares(pool, input, out, device)?)
        }
        Op::Adapt(_) => candle_core::bail!("networks joined behind one input run on the default engine only"),
        Op::Input
        | Op::Relu
        | Op::Clip(_)
        | Op::LeakyRelu(_)
        | Op::Sigmoid
        | Op::HardSigmoid(_)
        | Op::HardSwish
        | Op::Add
        | Op::Gate
        | Op::Concat
        | Op::GlobalAvgPool
        | Op::Flatten
        | Op::Pad(_)
        | Op::Softmax => Prepared::None,
    })
}

pub(super) fn forward(op: &Op, prepared: &Prepared, inputs: &[&Tensor]) -> Result<Tensor> {
    let x = inputs[0];
    match (op, prepared) {
        (_, Prepared::Conv(conv)) => conv.forward(x),
        (_, Prepared::Depthwise(conv)) => conv.forward(x),
        (_, Prepared::Dense(weight, bias)) => dense::forward(weight, bias, x),
        (_, Prepared::Affine(scale, shift)) => x.broadcast_mul(scale)?.broadcast_add(shift),
        (_, Prepared::MaxPool(taps)) => Ok(pool::max(taps, x)?.0),
        (_, Prepared::AvgPool(taps, shares)) => pool::average(taps, shares, x),
        (Op::Add, _) => x + inputs[1],
        (Op::Gate, _) => x.broadcast_mul(inputs[1]),
        (Op::Concat, _) => Tensor::cat(inputs, 1),
        (Op::GlobalAvgPool, _) => pool::global(x),
        (Op::Flatten, _) => x.reshape((x.dim(0)?, (), 1, 1)),
        (Op::Pad(pad), _) => elementwise::pad(x, pad.pad, pad.value),
        (Op::Softmax, _) => elementwise::softmax(x),
        _ => activation::forward(op, x),
    }
}

/// Gradients of the operator's parameters, if it has any: what [`crate::exec::ParamGrad`] calls weight and bias, flat.
pub(super) fn backward_params(
    op: &Op,
    prepared: &Prepared,
    inputs: &[&Tensor],
    grad: &Tensor,
) -> Result<Option<(Tensor, Tensor)>> {
    let channels = |values: &Tensor| values.sum((0, 2, 3));
    Ok(match (op, prepared) {
        (_, Prepared::Conv(conv)) => Some((conv.backward_weight(inputs[0], grad)?, channels(grad)?)),
        (_, Prepared::Depthwise(conv)) => Some((conv.backward_weight(inputs[0], grad)?, channels(grad)?)),
        (_, Prepared::Dense(..)) => Some((dense::backward_weight(inputs[0], grad)?, channels(grad)?)),
        (_, Prepared::Affine(..)) => Some((channels(&(inputs[0] * grad)?)?, channels(grad)?)),
        _ => None,
    })
}

/// Gradient with respect to operand number `operand`.
pub(super) fn backward(
    op: &Op,
    prepared: &Prepared,
    operand: usize,
    inputs: &[&Tensor],
    grad: &Tensor,
) -> Result<Tensor> {
    let x = inputs[operand];
    match (op, prepared) {
        (_, Prepared::Conv(conv)) => conv.backward(grad),
        (_, Prepared::Depthwise(conv)) => conv.backward(grad),
        (_, Prepared::Dense(weight, _)) => dense::backward(weight, x, grad),
        (_, Prepared::Affine(scale, _)) => grad.broadcast_mul(scale),
        (_, Prepared::MaxPool(taps)) => pool::max_backward(taps, x, grad),
        (_, Prepared::AvgPool(taps, shares)) => taps.spread(|_| grad.broadcast_mul(shares)),
        (Op::Add, _) => Ok(grad.clone()),
        (Op::Gate, _) => elementwise::gate_backward(operand, inputs, grad),
        (Op::Concat, _) => elementwise::concat_backward(operand, inputs, grad),
        (Op::GlobalAvgPool, _) => pool::global_backward(x, grad),
        (Op::Flatten, _) => grad.reshape(x.shape()),
        (Op::Pad(pad), _) => elementwise::crop(grad, pad.pad),
        (Op::Softmax, _) => elementwise::softmax_backward(x, grad),
        _ => activation::backward(op, x, grad),
    }
}
