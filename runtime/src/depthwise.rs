//! Depthwise 2-D convolution, channel multiplier 1.

use super::bias::Bias;
use super::pad::PadValue;
use super::requant::{requantize, Requant};
use super::shape::{take_mut, Element, Hwc, Window};

/// Channels whose accumulators are held at once.
const BLOCK: usize = 8;

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
#[inline(never)]
pub fn depthwise<T: Element>(layer: &Depthwise<'_>, input: &[T], output: &mut [i8]) {
    let channels = layer.input.c;
    let mut rest = output;
    for y in 0..layer.output.h {
        for x in 0..layer.output.w {
            let mut pixel = take_mut(&mut rest, layer.output.c);
            if pixel.is_empty() {
                return;
            }
            let origin = layer.window.origin(y, x);
            let bias = layer.bias.at(y, x, channels);
            let mut first = 0;
            while !pixel.is_empty() {
                let count = pixel.len().min(BLOCK);
                let block = take_mut(&mut pixel, count);
                let bias = bias.get(first..).unwrap_or(&[]);
                let multipliers = layer.requant.multipliers.get(first..).unwrap_or(&[]);
                let mut acc = [0; BLOCK];
                acc.iter_mut()
                    .zip(bias)
                    .for_each(|(acc, &bias)| *acc = bias);
                accumulate(layer, input, origin, first, block.len(), &mut acc);
                for ((out, &acc), &multiplier) in block.iter_mut().zip(&acc).zip(multipliers) {
                    *out = requantize(acc, multiplier, &layer.requant);
                }
                first = first.wrapping_add(BLOCK);
            }
        }
    }
}

/// Adds all taps of the channels `first..first + count` to `acc`.
#[inline(never)]
fn accumulate<T: Element>(
    layer: &Depthwise<'_>,
    input: &[T],
    [top, left]: [usize; 2],
    first: usize,
    count: usize,
    acc: &mut [i32; BLOCK],
) {
    let [kh, kw] = layer.window.kernel;
    let mut tap = first;
    let mut iy = top;
    for _ in 0..kh {
        let mut ix = left;
        for _ in 0..kw {
            let weights = layer
                .weights
                .get(tap..tap.wrapping_add(count))
                .unwrap_or(&[]);
            if iy < layer.input.h && ix < layer.input.w {
                let start = layer.input.offset(iy, ix).wrapping_add(first);
                let values = input.get(start..start.wrapping_add(count)).unwrap_or(&[]);
                multiply_add(acc, values, weights);
            } else {
                outside(layer.pad, first, acc, weights);
            }
            tap = tap.wrapping_add(layer.input.c);
            ix = ix.wrapping_add(layer.window.dilation[1]);
        }
        iy = iy.wrapping_add(layer.window.dilation[0]);
    }
}

/// Adds the products of one tap's weights with padding, of the channels from `first` on, to `acc`.
#[inline(never)]
fn outside(pad: PadValue<'_>, first: usize, acc: &mut [i32; BLOCK], weights: &[i8]) {
    match pad {
        PadValue::Uniform(value) => multiply_add(acc, &[value; BLOCK], weights),
        PadValue::Channel(values) => {
            multiply_add(acc, values.get(first..).unwrap_or(&[]), weights);
        }
    }
}

/// `acc[c] += values[c] · weights[c]`.
#[inline(always)]
fn multiply_add<T: Element>(acc: &mut [i32; BLOCK], values: &[T], weights: &[i8]) {
    for ((acc, &x), &w) in acc.iter_mut().zip(values).zip(weights) {
        *acc = acc.wrapping_add(x.quantized().wrapping_mul(i32::from(w)));
    }
}
