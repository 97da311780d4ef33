//! Element-wise activations; at a corner the derivative is that of the flat side, as in `exec`.

use candle_core::{Result, Tensor};

use crate::ir::op::Op;

pub(super) fn forward(op: &Op, x: &Tensor) -> Result<Tensor> {
    match op {
        Op::Relu => x.relu(),
        Op::Clip(clip) => x.clamp(clip.lo, clip.hi),
        Op::LeakyRelu(leaky) => positive(x)?.where_cond(x, &(x * f64::from(leaky.alpha))?),
        Op::Sigmoid => sigmoid(x),
        Op::HardSigmoid(h) => x.affine(h.alpha.into(), h.beta.into())?.clamp(0f32, 1f32),
        Op::HardSwish => x * swish_gate(x)?,
        _ => Ok(x.clone()),
    }
}

pub(super) fn backward(op: &Op, x: &Tensor, grad: &Tensor) -> Result<Tensor> {
    let zeros = grad.zeros_like()?;
    match op {
        Op::Relu => positive(x)?.where_cond(grad, &zeros),
        Op::Clip(clip) => inside(x, clip.lo, clip.hi)?.where_cond(grad, &zeros),
        Op::LeakyRelu(leaky) => positive(x)?.where_cond(grad, &(grad * f64::from(leaky.alpha))?),
        Op::Sigmoid => {
            let p = sigmoid(x)?;
            let slope = (&p * p.affine(-1.0, 1.0)?)?;
            grad * slope
        }
        Op::HardSigmoid(h) => {
            let gate = x.affine(h.alpha.into(), h.beta.into())?;
            inside(&gate, 0.0, 1.0)?.where_cond(&(grad * f64::from(h.alpha))?, &zeros)
        }
        Op::HardSwish => {
            let gate = swish_gate(x)?;
            let slope = inside(&gate, 0.0, 1.0)?.where_cond(&(x / 6.0)?, &zeros)?;
            grad * (gate + slope)?
        }
        _ => Ok(grad.clone()),
    }
}

/// 1 where `x` > 0.
fn positive(x: &Tensor) -> Result<Tensor> {
    x.gt(0f32)
}

/// 1 where `lo` < `x` < `hi`.
fn inside(x: &Tensor, lo: f32, hi: f32) -> Result<Tensor> {
    x.gt(lo)? * x.lt(hi)?
}

fn sigmoid(x: &Tensor) -> Result<Tensor> {
    x.neg()?.exp()?.affine(1.0, 1.0)?.recip()
}

fn swish_gate(x: &Tensor) -> Result<Tensor> {
    x.affine(1.0 / 6.0, 0.5)?.clamp(0f32, 1f32)
}
