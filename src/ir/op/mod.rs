//! The closed set of float operations, one file per operator.

mod activation;
mod adapt;
mod affine;
mod concat;
mod conv;
mod dense;
mod elementwise;
mod pad;
mod pool;

pub use activation::{Clip, HardSigmoid, LeakyRelu};
pub use adapt::{Adapt, LARGEST_BLOCK};
pub use affine::Affine;
pub use conv::{Conv, Window};
pub use dense::Dense;
pub use pad::Pad;
pub use pool::{AvgPool, MaxPool};

use crate::diag::Diag;
use crate::ir::Shape;

/// One operation. Parameters live here, activations never.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Op {
    /// The network's input, in the domain the network was trained on (after mean and std).
    Input,
    /// 2-D convolution with bias; grouped and depthwise included.
    Conv(Conv),
    /// Fully connected layer with bias on a vector.
    Dense(Dense),
    /// Per-channel `scale·x + shift`: batch norm and arithmetic with constants.
    Affine(Affine),
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, lo), hi)`.
    Clip(Clip),
    /// `x` if `x > 0`, else `alpha·x`.
    LeakyRelu(LeakyRelu),
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// `min(max(alpha·x + beta, 0), 1)`.
    HardSigmoid(HardSigmoid),
    /// `x · min(max(x/6 + 1/2, 0), 1)`.
    HardSwish,
    /// Sum of two tensors of one shape.
    Add,
    /// `x[c, h, w] · gate[c]`: inputs are the features and a `[C, 1, 1]` gate (squeeze-excite).
    Gate,
    /// Channels of all inputs, one after the other.
    Concat,
    /// Largest value of each window; padding never wins.
    MaxPool(MaxPool),
    /// Mean of each window.
    AvgPool(AvgPool),
    /// Mean over all positions, to a vector.
    GlobalAvgPool,
    /// `[C, H, W]` to `[C·H·W, 1, 1]`, channel-major.
    Flatten,
    /// A constant border.
    Pad(Pad),
    /// Whole pixel values at another size or in grey; only on the input, or on what another of these made of it.
    Adapt(Adapt),
    /// Softmax over the channels of a vector; only as the output.
    Softmax,
}

impl Op {
    /// The operator's name in text, reports and errors.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Input => "Input",
            Self::Conv(_) => "Conv",
            Self::Dense(_) => "Dense",
            Self::Affine(_) => "Affine",
            Self::Relu => "Relu",
            Self::Clip(_) => "Clip",
            Self::LeakyRelu(_) => "LeakyRelu",
            Self::Sigmoid => "Sigmoid",
            Self::HardSigmoid(_) => "HardSigmoid",
            Self::HardSwish => "HardSwish",
            Self::Add => "Add",
            Self::Gate => "Gate",
            Self::Concat => "Concat",
            Self::MaxPool(_) => "MaxPool",
            Self::AvgPool(_) => "AvgPool",
            Self::GlobalAvgPool => "GlobalAvgPool",
            Self::Flatten => "Flatten",
            Self::Pad(_) => "Pad",
            Self::Adapt(_) => "Adapt",
            Self::Softmax => "Softmax",
        }
    }

    /// The result's shape, or why the inputs do not fit.
    pub fn infer_shape(&self, inputs: &[Shape]) -> Result<Shape, Diag> {
        match self {
            Self::Input => Err(Diag::new("ir/shape", "the input's shape is given, not inferred")),
            Self::Conv(conv) => conv.infer_shape(one(inputs)?),
            Self::Dense(dense) => dense.infer_shape(one(inputs)?),
            Self::Affine(affine) => affine.infer_shape(one(inputs)?),
            Self::Relu
            | Self::Clip(_)
            | Self::LeakyRelu(_)
            | Self::Sigmoid
            | Self::HardSigmoid(_)
            | Self::HardSwish => one(inputs),
            Self::Add => elementwise::infer_add(inputs),
            Self::Gate => elementwise::infer_gate(inputs),
            Self::Concat => concat::infer_shape(inputs),
            Self::MaxPool(pool) => pool.window.infer_shape(one(inputs)?),
            Self::AvgPool(pool) => pool.window.infer_shape(one(inputs)?),
            Self::GlobalAvgPool => Ok(Shape::vector(one(inputs)?.c)),
            Self::Flatten => Ok(Shape::vector(one(inputs)?.len())),
            Self::Pad(pad) => Ok(pad.infer_shape(one(inputs)?)),
            Self::Adapt(adapt) => adapt.infer_shape(one(inputs)?),
            Self::Softmax => elementwise::infer_softmax(one(inputs)?),
        }
    }

    /// Checks the operator's own parameters: lengths, finiteness, non-zero windows.
    pub fn verify(&self) -> Result<(), Diag> {
        match self {
            Self::Conv(conv) => conv.verify(),
            Self::Dense(dense) => dense.verify(),
            Self::Affine(affine) => affine.verify(),
            Self::MaxPool(pool) => pool.verify(),
            Self::AvgPool(pool) => pool.verify(),
            Self::Clip(clip) => clip.verify(),
            Self::Pad(pad) => pad.verify(),
            Self::Adapt(adapt) => adapt.verify(),
            Self::LeakyRelu(leaky) => finite("alpha", &[leaky.alpha]),
            Self::HardSigmoid(h) => finite("alpha, beta", &[h.alpha, h.beta]),
            Self::Input
            | Self::Relu
            | Self::Sigmoid
            | Self::HardSwish
            | Self::Add
            | Self::Gate
            | Self::Concat
            | Self::GlobalAvgPool
            | Self::Flatten
            | Self::Softmax => Ok(()),
        }
    }

    /// Weights and biases.
    pub fn params(&self) -> usize {
        match self {
            Self::Conv(conv) => conv.weight.len() + conv.bias.len(),
            Self::Dense(dense) => dense.weight.len() + dense.bias.len(),
            Self::Affine(affine) => affine.scale.len() + affine.shift.len(),
            _ => 0,
        }
    }

    /// Multiply-accumulates per sample for a result of `shape`.
    pub fn macs(&self, shape: Shape) -> u64 {
        match self {
            Self::Conv(conv) => (shape.plane() * conv.weight.len()) as u64,
            Self::Dense(dense) => dense.weight.len() as u64,
            _ => 0,
        }
    }
}

fn one(inputs: &[Shape]) -> Result<Shape, Diag> {
    match inputs {
        [shape] => Ok(*shape),
        _ => Err(Diag::new("ir/shape", "wrong number of inputs").expected(1, inputs.len())),
    }
}

/// Fails on NaN and infinities.
pub(crate) fn finite(what: &str, values: &[f32]) -> Result<(), Diag> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(i) => Err(Diag::new("ir/not-finite", format!("{what} holds a value that is not finite"))
            .expected("finite numbers", format!("{} at index {i}", values[i]))),
    }
}
