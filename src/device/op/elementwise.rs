//! Borders, gates, concatenation and softmax.

use candle_core::{Result, Tensor};

/// `x` with a border `[top, left, bottom, right]` of `value`.
pub(in crate::device) fn pad(x: &Tensor, pad: [usize; 4], value: f32) -> Result<Tensor> {
    if pad == [0; 4] {
        return Ok(x.clone());
    }
    let [top, left, bottom, right] = pad;
    if value == 0.0 {
        return x.pad_with_zeros(2, top, bottom)?.pad_with_zeros(3, left, right);
    }
    let border = |h: usize, w: usize| Tensor::full(value, (x.dim(0)?, x.dim(1)?, h, w), x.device());
    let (h, w) = (x.dim(2)?, x.dim(3)?);
    let x = Tensor::cat(&[border(top, w)?, x.clone(), border(bottom, w)?], 2)?;
    let h = h + top + bottom;
    Tensor::cat(&[border(h, left)?, x, border(h, right)?], 3)
}

/// `x` without a border `[top, left, bottom, right]`.
pub(super) fn crop(x: &Tensor, pad: [usize; 4]) -> Result<Tensor> {
    let [top, left, bottom, right] = pad;
    let (h, w) = (x.dim(2)? - top - bottom, x.dim(3)? - left - right);
    x.narrow(2, top, h)?.narrow(3, left, w)?.contiguous()
}

pub(super) fn gate_backward(operand: usize, inputs: &[&Tensor], grad: &Tensor) -> Result<Tensor> {
    match operand {
        0 => grad.broadcast_mul(inputs[1]),
        _ => (grad * inputs[0])?.sum_keepdim((2, 3)),
    }
}

pub(super) fn concat_backward(operand: usize, inputs: &[&Tensor], grad: &Tensor) -> Result<Tensor> {
    let before = inputs[..operand].iter().map(|input| input.dim(1)).sum::<Result<usize>>()?;
    grad.narrow(1, before, inputs[operand].dim(1)?)?.contiguous()
}

pub(super) fn softmax(x: &Tensor) -> Result<Tensor> {
    let e = x.broadcast_sub(&x.max_keepdim(1)?)?.exp()?;
    e.broadcast_div(&e.sum_keepdim(1)?)
}

/// `dx[c] = p[c] · (g[c] − Σ g·p)`.
pub(super) fn softmax_backward(x: &Tensor, grad: &Tensor) -> Result<Tensor> {
    let p = softmax(x)?;
    let mean = (grad * &p)?.sum_keepdim(1)?;
    grad.broadcast_sub(&mean)? * p
}
