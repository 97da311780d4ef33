//! Forward and backward of every operator, one file each, and the dispatch.
//!
//! Inputs have the shapes the verifier checked. `backward` gives the gradient with respect to one operand
//! from the gradient with respect to the result; `backward_params` the gradient of weights and biases.

mod activation;
mod adapt;
mod add;
mod affine;
mod avg_pool;
mod concat;
mod conv;
mod dense;
mod flatten;
mod gate;
mod global_pool;
mod max_pool;
mod pad;
mod softmax;

use crate::diag::{Diag, Result};
use crate::exec::{Batch, Float, Matrix, ParamGrad};
use crate::ir::Shape;
use crate::ir::op::Op;

/// An operator's parameters in the engine's number type.
#[derive(Debug)]
pub(super) enum Prepared<T> {
    /// No parameters.
    None,
    /// Convolution.
    Conv(conv::Weights<T>),
    /// Dense layer: `[O, I]`.
    Dense { weight: Matrix<T>, bias: Vec<T> },
    /// Affine map.
    Affine { scale: Vec<T>, shift: Vec<T> },
}

pub(super) fn prepare<T: Float>(op: &Op) -> Result<Prepared<T>> {
    match op {
        Op::Conv(conv) => Ok(conv::prepare(conv)),
        Op::Dense(dense) => Ok(Prepared::Dense {
            weight: Matrix::new(cast(&dense.weight), dense.out_features, dense.in_features)?,
            bias: cast(&dense.bias),
        }),
        Op::Affine(affine) => Ok(Prepared::Affine { scale: round(&affine.scale), shift: round(&affine.shift) }),
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
        | Op::MaxPool(_)
        | Op::AvgPool(_)
        | Op::GlobalAvgPool
        | Op::Flatten
        | Op::Pad(_)
        | Op::Adapt(_)
        | Op::Softmax => Ok(Prepared::None),
    }
}

pub(super) fn forward<T: Float>(op: &Op, prepared: &Prepared<T>, out: Shape, inputs: &[&Batch<T>]) -> Result<Batch<T>> {
    let x = inputs[0];
    Ok(match (op, prepared) {
        (Op::Conv(conv), Prepared::Conv(weights)) => conv::forward(conv, weights, out, x),
        (Op::Dense(_), Prepared::Dense { weight, bias }) => dense::forward(weight, bias, x)?,
        (Op::Affine(_), Prepared::Affine { scale, shift }) => affine::forward(scale, shift, x),
        (Op::Relu | Op::Clip(_) | Op::LeakyRelu(_) | Op::Sigmoid | Op::HardSigmoid(_) | Op::HardSwish, _) => {
            activation::forward(op, x)
        }
        (Op::Add, _) => add::forward(x, inputs[1]),
        (Op::Gate, _) => gate::forward(x, inputs[1]),
        (Op::Concat, _) => concat::forward(out, inputs),
        (Op::MaxPool(pool), _) => max_pool::forward(pool, out, x),
        (Op::AvgPool(pool), _) => avg_pool::forward(pool, out, x),
        (Op::GlobalAvgPool, _) => global_pool::forward(x),
        (Op::Flatten, _) => flatten::forward(x),
        (Op::Pad(pad), _) => pad::forward(*pad, out, x),
        (Op::Adapt(adapt), _) => adapt::forward(adapt, out, x),
        (Op::Softmax, _) => softmax::forward(x),
        (Op::Input | Op::Conv(_) | Op::Dense(_) | Op::Affine(_), _) => return Err(unprepared(op)),
    })
}

/// Gradient with respect to operand number `operand`.
pub(super) fn backward<T: Float>(
    op: &Op,
    prepared: &Prepared<T>,
    operand: usize,
    inputs: &[&Batch<T>],
    output: &Batch<T>,
    grad: &Batch<T>,
) -> Result<Batch<T>> {
    let x = inputs[operand];
    Ok(match (op, prepared) {
        (Op::Conv(conv), Prepared::Conv(weights)) => conv::backward(conv, weights, x.shape, grad),
        (Op::Dense(_), Prepared::Dense { weight, .. }) => dense::backward(weight, x.shape, grad)?,
        (Op::Affine(_), Prepared::Affine { scale, .. }) => affine::backward(scale, grad),
        (Op::Relu | Op::Clip(_) | Op::LeakyRelu(_) | Op::Sigmoid | Op::HardSigmoid(_) | Op::HardSwish, _) => {
            activation::backward(op, x, output, grad)
        }
        (Op::Add, _) => grad.clone(),
        (Op::Gate, _) => gate::backward(operand, inputs, grad),
        (Op::Concat, _) => concat::backward(operand, inputs, grad),
        (Op::MaxPool(pool), _) => max_pool::backward(pool, x, grad),
        (Op::AvgPool(pool), _) => avg_pool::backward(pool, x.shape, grad),
        (Op::GlobalAvgPool, _) => global_pool::backward(x.shape, grad),
        (Op::Flatten, _) => flatten::backward(x.shape, grad),
        (Op::Pad(pad), _) => pad::backward(*pad, x.shape, grad),
        (Op::Adapt(adapt), _) => adapt::backward(adapt, x.shape, grad),
        (Op::Softmax, _) => softmax::backward(output, grad),
        (Op::Input | Op::Conv(_) | Op::Dense(_) | Op::Affine(_), _) => return Err(unprepared(op)),
    })
}

/// Gradient of the operator's parameters, if it has any.
pub(super) fn backward_params<T: Float>(
    op: &Op,
    inputs: &[&Batch<T>],
    grad: &Batch<T>,
) -> Result<Option<ParamGrad<T>>> {
    match op {
        Op::Conv(conv) => conv::backward_params(conv, inputs[0], grad).map(Some),
        Op::Dense(_) => dense::backward_params(inputs[0], grad).map(Some),
        Op::Affine(_) => Ok(Some(affine::backward_params(inputs[0], grad))),
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
        | Op::MaxPool(_)
        | Op::AvgPool(_)
        | Op::GlobalAvgPool
        | Op::Flatten
        | Op::Pad(_)
        | Op::Adapt(_)
        | Op::Softmax => Ok(None),
    }
}

fn cast<T: Float>(values: &[f32]) -> Vec<T> {
    values.iter().map(|&v| T::of(f64::from(v))).collect()
}

fn round<T: Float>(values: &[f64]) -> Vec<T> {
    values.iter().map(|&v| T::of(v)).collect()
}

/// Sum of each channel over samples and positions.
fn channel_sums<T: Float>(batch: &Batch<T>) -> Vec<T> {
    (0..batch.shape.c).map(|c| batch.channel(c).iter().fold(T::ZERO, |a, &b| a + b)).collect()
}

fn unprepared(op: &Op) -> Box<Diag> {
    Box::new(Diag::new("exec/unprepared", format!("{} was not prepared for running", op.name())))
}
