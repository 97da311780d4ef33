//! Convolution by candle's forward convolution, in both passes.
//!
//! candle knows one stride, one dilation and symmetric padding only. So the border is added first, a kernel with two
//! dilations is spread out with zeros, and of a result with two strides every position is computed and some are taken.
//! The gradient with respect to the input is itself a convolution: of the gradient with respect to the result, with
//! zeros between its positions (stride) and around them (kernel), with the filters turned about and transposed.

use candle_core::{Device, Result, Tensor};

use crate::device::op::Taps;
use crate::device::op::elementwise::{crop, pad};
use crate::ir::Shape;
use crate::ir::op::{self, Window};

/// The filters of one layer for both passes.
#[derive(Debug)]
pub(in crate::device) struct Conv {
    window: Window,
    groups: usize,
    input: Shape,
    out: Shape,
    /// `[height, width]` of the input with its padding.
    padded: [usize; 2],
    /// `[O, I/g, KH, KW]`; spread out to dilation 1 if the two dilations differ.
    forward: Tensor,
    /// `[I, O/g, KH, KW]`, turned about, likewise.
    backward: Tensor,
    /// `[1, O, 1, 1]`.
    bias: Tensor,
    dilation: usize,
}

impl Conv {
    pub(super) fn new(conv: &op::Conv, input: Shape, out: Shape, device: &Device) -> Result<Self> {
        let window = conv.window;
        let [kh, kw] = window.kernel;
        let (o, i, g) = (conv.out_channels, conv.in_channels / conv.groups, conv.groups);
        let weight = Tensor::from_slice(&conv.weight, (o, i, kh, kw), device)?;
        let turned = weight.reshape((g, o / g, i, kh, kw))?.transpose(1, 2)?.contiguous()?;
        let turned = turned.reshape((g * i, o / g, kh, kw))?.flip(&[2, 3])?.contiguous()?;
        let same = window.dilation[0] == window.dilation[1];
        let laid = |w: &Tensor| if same { Ok(w.clone()) } else { spread(w, window.dilation) };
        let [top, left, bottom, right] = window.pad;
        Ok(Self {
            window,
            groups: g,
            input,
            out,
            padded: [input.h + top + bottom, input.w + left + right],
            forward: laid(&weight)?,
            backward: laid(&turned)?,
            bias: Tensor::from_slice(&conv.bias, (1, o, 1, 1), device)?,
            dilation: if same { window.dilation[0] } else { 1 },
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = pad(x, self.window.pad, 0.0)?;
        let [down, across] = self.window.stride;
        let y = if down == across {
            x.conv2d(&self.forward, 0, down, self.dilation, self.groups)?
        } else {
            let all = x.conv2d(&self.forward, 0, 1, self.dilation, self.groups)?;
            every(&every(&all, 2, down)?, 3, across)?
        };
        y.broadcast_add(&self.bias)
    }

    pub(super) fn backward(&self, grad: &Tensor) -> Result<Tensor> {
        let grad = spread(grad, self.window.stride)?;
        let [eh, ew] = self.window.extent();
        let (h, w) = (grad.dim(2)?, grad.dim(3)?);
        // Rows and columns of the padded input that no window reaches get no gradient: their zeros are added here.
        let border = [eh - 1, ew - 1, self.padded[0] - h, self.padded[1] - w];
        let dx = pad(&grad, border, 0.0)?.conv2d(&self.backward, 0, 1, self.dilation, self.groups)?;
        crop(&dx, self.window.pad)
    }

    /// Gradient with respect to the weights, `[O·I/g·KH·KW]`: for every tap the product of the gradient with what the tap
    /// reads.
    pub(super) fn backward_weight(&self, x: &Tensor, grad: &Tensor) -> Result<Tensor> {
        let g = self.groups;
        let (n, o, h, w) = grad.dims4()?;
        let inputs = x.dim(1)? / g;
        let dy = grad.transpose(0, 1)?.contiguous()?.reshape((g, o / g, n * h * w))?;
        let mut taps = Vec::new();
        Taps::new(&self.window, self.input, self.out, x.device())?.each(x, 0.0, |_, values| {
            let read = values.transpose(0, 1)?.contiguous()?.reshape((g, inputs, n * h * w))?;
            taps.push(dy.matmul(&read.transpose(1, 2)?)?);
            Ok(())
        })?;
        Tensor::stack(&taps, 3)?.flatten_all()
    }
}

/// Every `step`-th position along `dim`.
fn every(x: &Tensor, dim: usize, step: usize) -> Result<Tensor> {
    if step == 1 {
        return Ok(x.clone());
    }
    let at: Vec<u32> = (0..x.dim(dim)? as u32).step_by(step).collect();
    let count = at.len();
    x.contiguous()?.index_select(&Tensor::from_vec(at, count, x.device())?, dim)
}

/// `x` with `step − 1` zeros between neighbours along the last two axes.
fn spread(x: &Tensor, step: [usize; 2]) -> Result<Tensor> {
    if step == [1, 1] {
        return Ok(x.clone());
    }
    let (n, c, h, w) = x.dims4()?;
    let x = x.reshape((n, c, h, 1, w, 1))?.pad_with_zeros(3, 0, step[0] - 1)?.pad_with_zeros(5, 0, step[1] - 1)?;
    let x = x.reshape((n, c, h * step[0], w * step[1]))?;
    crop(&x, [0, 0, step[0] - 1, step[1] - 1])
}
