//! Fully connected layer.

use super::requant::{requantize, Requant};
use super::shape::Element;

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
    let filters = layer.weights.chunks_exact(input.len().max(1));
    let outputs = output
        .iter_mut()
        .zip(filters)
        .zip(layer.bias)
        .zip(layer.requant.multipliers);
    for (((out, filter), &bias), &multiplier) in outputs {
        let products = input.iter().zip(filter);
        let products = products.map(|(&x, &w)| x.quantized().wrapping_mul(i32::from(w)));
        let acc = products.fold(bias, i32::wrapping_add);
        *out = requantize(acc, multiplier, &layer.requant);
    }
}
