//! Product of a tensor with one value per channel (squeeze-excite).

use super::requant::{requantize, Requant};
use super::shape::{take, take_mut};

/// `q = requantize((x − zero_points[0]) · (g − zero_points[1]))`: one rounding. A product is at most 255².
#[derive(Debug, Clone, Copy)]
pub struct Gate<'a> {
    /// Zero points of the features and of the gate.
    pub zero_points: [i32; 2],
    /// Way back to `i8`; one multiplier.
    pub requant: Requant<'a>,
}

/// `output[p, c] = features[p, c] · gate[c]`.
#[inline(never)]
pub fn gate(layer: &Gate<'_>, features: &[i8], gate: &[i8], output: &mut [i8]) {
    let (mut features, mut rest) = (features, output);
    while !rest.is_empty() {
        let pixel = take_mut(&mut rest, gate.len());
        if pixel.is_empty() {
            return;
        }
        let values = take(&mut features, gate.len());
        for ((out, &x), &g) in pixel.iter_mut().zip(values).zip(gate) {
            *out = product(layer, x, g);
        }
    }
}

/// The same in place of the features.
#[inline(never)]
pub fn gate_in_place(layer: &Gate<'_>, features: &mut [i8], gate: &[i8]) {
    let mut rest = features;
    while !rest.is_empty() {
        let pixel = take_mut(&mut rest, gate.len());
        if pixel.is_empty() {
            return;
        }
        for (x, &g) in pixel.iter_mut().zip(gate) {
            *x = product(layer, *x, g);
        }
    }
}

/// One value.
#[inline(always)]
fn product(layer: &Gate<'_>, x: i8, g: i8) -> i8 {
    let multiplier = layer.requant.multipliers.first().copied().unwrap_or(0);
    let value = i32::from(x).wrapping_sub(layer.zero_points[0]);
    let factor = i32::from(g).wrapping_sub(layer.zero_points[1]);
    requantize(value.wrapping_mul(factor), multiplier, &layer.requant)
}
