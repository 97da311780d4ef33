//! Convolution with one input channel per group: a sum over taps of channel-wise products.

use candle_core::{Device, Result, Tensor};

use crate::device::op::taps::Taps;
use crate::ir::Shape;
use crate::ir::op;

/// Filters with a channel multiplier of M: M outputs for every input channel, side by side.
#[derive(Debug)]
pub(in crate::device) struct Depthwise {
    taps: Taps,
    multiplier: usize,
    /// For every tap, `[1, C·M, 1, 1]`.
    weights: Vec<Tensor>,
    /// `[1, C·M, 1, 1]`.
    bias: Tensor,
}

impl Depthwise {
    pub(super) fn new(conv: &op::Conv, input: Shape, out: Shape, device: &Device) -> Result<Self> {
        let count = conv.window.kernel[0] * conv.window.kernel[1];
        let channels = |values: Vec<f32>| Tensor::from_vec(values, (1, conv.out_channels, 1, 1), device);
        let tap = |k: usize| channels(conv.weight.iter().skip(k).step_by(count).copied().collect());
        Ok(Self {
            taps: Taps::new(&conv.window, input, out, device)?,
            multiplier: conv.out_channels / conv.groups,
            weights: (0..count).map(tap).collect::<Result<_>>()?,
            bias: channels(conv.bias.clone())?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut sum: Option<Tensor> = None;
        self.taps.each(x, 0.0, |k, part| {
            let part = self.repeated(&part)?.broadcast_mul(&self.weights[k])?;
            sum = Some(match sum.take() {
                Some(sum) => (sum + part)?,
                None => part,
            });
            Ok(())
        })?;
        match sum {
            Some(sum) => sum.broadcast_add(&self.bias),
            None => candle_core::bail!("a convolution has no taps"),
        }
    }

    pub(super) fn backward(&self, grad: &Tensor) -> Result<Tensor> {
        self.taps.spread(|k| {
            let part = grad.broadcast_mul(&self.weights[k])?;
            if self.multiplier == 1 {
                return Ok(part);
            }
            let (n, c, h, w) = part.dims4()?;
            part.reshape((n, c / self.multiplier, self.multiplier, h, w))?.sum(2)
        })
    }

    /// Gradient with respect to the weights, `[C·M·KH·KW]`.
    pub(super) fn backward_weight(&self, x: &Tensor, grad: &Tensor) -> Result<Tensor> {
        let mut taps = Vec::new();
        self.taps.each(x, 0.0, |_, part| {
            taps.push((self.repeated(&part)? * grad)?.sum((0, 2, 3))?);
            Ok(())
        })?;
        Tensor::stack(&taps, 1)?.flatten_all()
    }

    /// `[N, C, H, W]` to `[N, C·M, H, W]`, every channel M times.
    fn repeated(&self, x: &Tensor) -> Result<Tensor> {
        if self.multiplier == 1 {
            return Ok(x.clone());
        }
        let (n, c, h, w) = x.dims4()?;
        x.unsqueeze(2)?.broadcast_as((n, c, self.multiplier, h, w))?.reshape((n, c * self.multiplier, h, w))
    }
}
