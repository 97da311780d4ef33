//! Fully connected layer.

use crate::requant::Requant;
use crate::shape::Element;

/// `acc[o] = bias[o] + Σ weights[o, i] · x[i]`; `x` in the memory order of its tensor, `[H, W, C]`.
#[derive(Debug, Clone, Copy)]
pub struct Dense<'a> {
    /// `[O][I]`.
    pub weights: &'a [i8],
    /// `[O]`.
    pub bias: &'a [i32],
    /// Way back to `i8`.
    pub requant: Requant<'a>,
}

/// Runs the layer; `input.len()` is `I`, `output.len()` is `O`.
pub fn dense<T: Element>(layer: &Dense<'_>, input: &[T], output: &mut [i8]) {
    let _ = (layer, input, output);
}
