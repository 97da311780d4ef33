//! Convolution and the sliding window it shares with pooling.

use crate::diag::Diag;
use crate::ir::Shape;
use crate::ir::op::finite;

/// A window sliding over rows and columns. Pairs are `[vertical, horizontal]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Window {
    /// Taps per axis.
    pub kernel: [usize; 2],
    /// Step per axis.
    pub stride: [usize; 2],
    /// Distance between taps per axis.
    pub dilation: [usize; 2],
    /// Padding `[top, left, bottom, right]`; `bottom` and `right` may exceed the source model's where its
    /// pooling rounded the output size up.
    pub pad: [usize; 4],
}

impl Window {
    /// A window of `kernel` taps, stride 1, no padding.
    pub fn new(kernel: [usize; 2]) -> Self {
        Self { kernel, stride: [1, 1], dilation: [1, 1], pad: [0; 4] }
    }

    /// Rows and columns that one output position spans.
    pub fn extent(&self) -> [usize; 2] {
        [self.dilation[0] * (self.kernel[0] - 1) + 1, self.dilation[1] * (self.kernel[1] - 1) + 1]
    }

    /// `floor((in + pads − extent) / stride) + 1` per axis, channels unchanged.
    pub fn infer_shape(&self, input: Shape) -> Result<Shape, Diag> {
        self.verify()?;
        let [eh, ew] = self.extent();
        let (ph, pw) = (input.h + self.pad[0] + self.pad[2], input.w + self.pad[1] + self.pad[3]);
        if ph < eh || pw < ew {
            return Err(Diag::new("ir/shape", "window larger than the padded input")
                .expected(format!("at least {eh}×{ew}"), format!("{ph}×{pw}")));
        }
        Ok(Shape::new(input.c, (ph - eh) / self.stride[0] + 1, (pw - ew) / self.stride[1] + 1))
    }

    /// The source row (axis 0) or column (axis 1) that tap `k` of output `o` reads, if inside `0..size`.
    pub fn source(&self, axis: usize, o: usize, k: usize, size: usize) -> Option<usize> {
        (o * self.stride[axis] + k * self.dilation[axis]).checked_sub(self.pad[axis]).filter(|&i| i < size)
    }

    /// Rejects zero sizes.
    pub fn verify(&self) -> Result<(), Diag> {
        if self.kernel.contains(&0) || self.stride.contains(&0) || self.dilation.contains(&0) {
            return Err(Diag::new("ir/window", "kernel, stride and dilation must be at least 1"));
        }
        Ok(())
    }
}

/// `y[o] = bias[o] + Σ weight[o, i, ky, kx] · x[group(o)·I/g + i]`, zero padding.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Conv {
    /// Output channels.
    pub out_channels: usize,
    /// Input channels of the whole layer.
    pub in_channels: usize,
    /// Groups; `groups = in_channels = out_channels` is depthwise.
    pub groups: usize,
    /// Kernel, stride, dilation, padding.
    pub window: Window,
    /// `[O, I/g, KH, KW]`.
    pub weight: Vec<f32>,
    /// `[O]`.
    pub bias: Vec<f32>,
}

impl Conv {
    /// Whether each channel has its own filter and nothing else.
    pub fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.in_channels && self.groups == self.out_channels
    }

    /// Weights of one output channel: `I/g · KH · KW`.
    pub fn fan_in(&self) -> usize {
        self.in_channels / self.groups * self.window.kernel[0] * self.window.kernel[1]
    }

    pub(super) fn infer_shape(&self, input: Shape) -> Result<Shape, Diag> {
        if input.c != self.in_channels {
            return Err(Diag::new("ir/shape", "wrong number of input channels").expected(self.in_channels, input.c));
        }
        Ok(Shape { c: self.out_channels, ..self.window.infer_shape(input)? })
    }

    pub(super) fn verify(&self) -> Result<(), Diag> {
        self.window.verify()?;
        if self.groups == 0
            || !self.in_channels.is_multiple_of(self.groups)
            || !self.out_channels.is_multiple_of(self.groups)
        {
            return Err(Diag::new("ir/groups", "groups must divide the input and output channels").expected(
                "a common divisor",
                format!("{} of {} and {}", self.groups, self.in_channels, self.out_channels),
            ));
        }
        let want = self.out_channels * self.fan_in();
        if self.weight.len() != want || self.bias.len() != self.out_channels {
            return Err(Diag::new("ir/length", "weight or bias length does not match the channels").expected(
                format!("{want} and {}", self.out_channels),
                format!("{} and {}", self.weight.len(), self.bias.len()),
            ));
        }
        finite("weight", &self.weight)?;
        finite("bias", &self.bias)
    }
}
