//! Fully connected layer.

use super::requant::{requantize, Requant};
use super::shape::{take, Element};

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
#[inline(never)]
pub fn dense<T: Element>(layer: &Dense<'_>, input: &[T], output: &mut [i8]) {
    let mut weights = layer.weights;
    let biases = layer.bias.iter().zip(layer.requant.multipliers);
    for (out, (&bias, &multiplier)) in output.iter_mut().zip(biases) {
        let products = input.iter().zip(take(&mut weights, input.len()));
        let products = products.map(|(&x, &w)| x.quantized().wrapping_mul(i32::from(w)));
        let acc = products.fold(bias, i32::wrapping_add);
        *out = requantize(acc, multiplier, &layer.requant);
    }
}
