//! Dense 2-D convolution.

use crate::requant::Requant;
use crate::shape::{Element, Hwc, Window};

/// What stands where the window leaves the input.
#[derive(Debug, Clone, Copy)]
pub enum PadValue<'a> {
    /// One quantized value for all channels (the input's zero point).
    Uniform(i8),
    /// One quantized value per input channel (raw pixels, whose zero differs by channel).
    Channel(&'a [i8]),
}

/// Biases: accumulators start here. They hold the layer's bias and `−zero_point · Σ weights`.
#[derive(Debug, Clone, Copy)]
pub enum Bias<'a> {
    /// One per output channel.
    Channel(&'a [i32]),
    /// One per border class and output channel, where padding is not an integer in the input's terms.
    Border {
        /// Class of each output row.
        rows: &'a [u8],
        /// Class of each output column.
        cols: &'a [u8],
        /// Number of column classes.
        col_classes: usize,
        /// `[row class][column class][output channel]`.
        table: &'a [i32],
    },
}

/// A convolution: `acc[o] = bias[o] + Σ weights[o, ky, kx, i] · x[i]`.
#[derive(Debug, Clone, Copy)]
pub struct Conv2d<'a> {
    /// Input shape.
    pub input: Hwc,
    /// Output shape.
    pub output: Hwc,
    /// Window.
    pub window: Window,
    /// `[O][KH][KW][I]`.
    pub weights: &'a [i8],
    /// Start of the accumulators.
    pub bias: Bias<'a>,
    /// Value of padded positions.
    pub pad: PadValue<'a>,
    /// Way back to `i8`.
    pub requant: Requant<'a>,
}

/// Runs the convolution.
pub fn conv2d<T: Element>(layer: &Conv2d<'_>, input: &[T], output: &mut [i8]) {
    let _ = (layer, input, output);
}
