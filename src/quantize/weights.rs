//! Filters as `i8`, one scale per output channel, and the biases that go with them.
//!
//! A filter's scale is the one with the least squared error among clip points from its largest weight down.
//! Two filters need care. One that cannot move its output by a visible part of a step (a dead channel, whose
//! weights are about 1e-30 after training) becomes zero, so that its channel is constant by construction.
//! One whose bias is huge beside its weights gets a coarser scale, so that the bias fits an `i32`; a bias that
//! saturates the output whatever the input is cut to one that just does.

use crate::diag::{Diag, Result};
use crate::qir::{Quant, Requant};
use crate::quantize::fuse::Bounds;
use crate::quantize::requant::{clamp, multipliers};

/// A filter whose largest possible effect is below this share of an output step is zero.
const DEAD: f64 = 1.0 / 64.0;

/// Clip points tried per filter, each 2 % of the largest weight below the last.
const CLIPS: u32 = 16;

/// Steps of bias beyond a filter's reach that saturate any output: more than twice the 8-bit range.
const SATURATED: f64 = 1024.0;

/// Span of stored input values.
const INPUT_SPAN: f64 = 255.0;

/// A convolution or dense layer in floats, in terms of stored integers:
/// `y[o] = bias[class][o] + Σ weight[o, f] · (q[f] − zero(o, f))`.
pub(super) struct Linear<'a> {
    /// `[O, F]`.
    pub weight: &'a [f64],
    /// `[class][O]`.
    pub bias: &'a [f64],
    /// Outputs `O`.
    pub outputs: usize,
    /// Zero point of feature `f` of filter `o`.
    pub zero: &'a dyn Fn(usize, usize) -> i8,
    /// Name, for errors.
    pub name: &'a str,
}

/// The same in integers.
pub(super) struct Quantized {
    /// `[O, F]`.
    pub weights: Vec<i8>,
    /// `[class][O]`, zero points included.
    pub bias: Vec<i32>,
    /// Back to `i8`.
    pub requant: Requant,
}

/// Quantizes `layer` for a result stored as `output` and clamped to `bounds`.
///
/// Guarantee: whatever the input, every partial sum of the accumulator, shifted, fits an `i32`.
pub(super) fn quantize_linear(layer: &Linear<'_>, output: Quant, bounds: Bounds) -> Result<Quantized> {
    // Fewer bias bits leave room for a shift, which only layers with extreme multipliers have.
    for bias_bits in [28, 24, 20, 16] {
        if let Some(quantized) = attempt(layer, output, bounds, bias_bits)? {
            return Ok(quantized);
        }
    }
    Diag::new("quantize/overflow", "the layer's sums do not fit 32 bits")
        .at(format!("layer \"{}\"", layer.name))
        .expected("sums below 2^31", "larger ones for some input")
        .help(
            "its outputs are tiny beside its weights; check that the model was trained and the input contract is right",
        )
        .err()
}

fn attempt(layer: &Linear<'_>, output: Quant, bounds: Bounds, bias_bits: i32) -> Result<Option<Quantized>> {
    let features = layer.weight.len() / layer.outputs;
    let step = f64::from(output.scale);
    let mut weights = Vec::with_capacity(layer.weight.len());
    let mut scales = Vec::with_capacity(layer.outputs);
    let mut limits = Vec::with_capacity(layer.outputs);
    for (o, filter) in layer.weight.chunks_exact(features).enumerate() {
        let reach: f64 = filter.iter().map(|w| w.abs()).sum::<f64>() * INPUT_SPAN;
        let limit = reach + SATURATED * step;
        let biases = layer.bias.iter().skip(o).step_by(layer.outputs);
        let floor = biases.fold(0.0f64, |m, b| m.max(b.abs())).min(limit) / 2f64.powi(bias_bits);
        let dead = reach < DEAD * step;
        let scale = if dead { step / 256.0 } else { filter_scale(filter) }.max(floor);
        limits.push(limit);
        weights.extend(filter.iter().map(|&w| if dead { 0 } else { round_weight(w, scale) }));
        scales.push(scale);
    }
    let factors: Vec<f64> = scales.iter().map(|s| s / step).collect();
    let (multipliers, shift) = multipliers(&factors, layer.name)?;
    let mut bias = Vec::with_capacity(layer.bias.len());
    for (i, &b) in layer.bias.iter().enumerate() {
        let o = i % layer.outputs;
        let filter = &weights[o * features..(o + 1) * features];
        let zeros: i64 = filter.iter().enumerate().map(|(f, &w)| i64::from(w) * i64::from((layer.zero)(o, f))).sum();
        let value = (b.clamp(-limits[o], limits[o]) / scales[o]).round() as i64 - zeros;
        if value.abs() + reach_of(filter) > i64::from(i32::MAX) >> shift {
            return Ok(None);
        }
        bias.push(value as i32);
    }
    let (min, max) = clamp(output, bounds);
    let requant = Requant { multipliers, shift, zero_point: output.zero_point, min, max };
    Ok(Some(Quantized { weights, bias, requant }))
}

/// The largest sum that a filter's products can reach: `Σ |w| · 128`.
pub(super) fn reach_of(filter: &[i8]) -> i64 {
    filter.iter().map(|&w| i64::from(w).abs() * 128).sum()
}

fn round_weight(w: f64, scale: f64) -> i8 {
    (w / scale).round().clamp(-127.0, 127.0) as i8
}

/// The scale with the least squared error.
fn filter_scale(filter: &[f64]) -> f64 {
    let largest = filter.iter().fold(0.0f64, |m, w| m.max(w.abs()));
    let mut best = (f64::INFINITY, 1.0);
    for clip in 0..CLIPS {
        let scale = largest * (1.0 - 0.02 * f64::from(clip)) / 127.0;
        let error: f64 = filter.iter().map(|&w| (f64::from(round_weight(w, scale)) * scale - w).powi(2)).sum();
        if error < best.0 {
            best = (error, scale);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linear(weight: &[f64], bias: &[f64], output: Quant) -> Quantized {
        let layer = Linear { weight, bias, outputs: bias.len(), zero: &|_, _| -128, name: "layer" };
        quantize_linear(&layer, output, Bounds::NONE).expect("quantizes")
    }

    /// The layer's result for stored inputs `q`.
    fn run(layer: &Quantized, q: &[i32]) -> Vec<f64> {
        let features = q.len();
        (0..layer.bias.len())
            .map(|o| {
                let filter = &layer.weights[o * features..(o + 1) * features];
                let acc = filter.iter().zip(q).fold(layer.bias[o], |acc, (&w, &q)| acc + i32::from(w) * q);
                let m = i64::from(layer.requant.multipliers[o]);
                let scaled = ((i64::from(acc << layer.requant.shift) * m) + (1 << 31)) >> 32;
                f64::from(scaled as i32)
            })
            .collect()
    }

    #[test]
    fn a_dead_filter_is_constant_and_leaves_its_neighbours_alone() {
        let output = Quant { scale: 0.05, zero_point: 0 };
        let layer = linear(&[1e-30, -2e-30, 0.01, 0.02], &[1.0, 0.5], output);
        assert_eq!(layer.weights[..2], [0, 0]);
        assert_eq!(layer.weights[3], 127);
        assert_eq!(run(&layer, &[127, -128]).first(), Some(&20.0));
        assert_eq!(run(&layer, &[-128, 127]).first(), Some(&20.0));
    }

    #[test]
    fn a_bias_far_above_the_weights_still_fits() {
        let output = Quant { scale: 1e-6, zero_point: 0 };
        let layer = linear(&[3e-8, 1e-8], &[1e6], output);
        assert!(run(&layer, &[0, 0])[0] > 127.0);
    }

    #[test]
    fn large_factors_get_a_shift_and_stay_close() {
        let output = Quant { scale: 0.001, zero_point: 0 };
        let layer = linear(&[0.5, -0.25], &[0.0], output);
        assert!(layer.requant.shift > 1);
        let want = (0.5 * 129.0 - 0.25 * 126.0) / 0.001;
        let got = run(&layer, &[1, -2])[0];
        assert!((got - want).abs() < want * 0.01, "{got} against {want}");
    }
}
