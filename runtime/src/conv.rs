//! Dense 2-D convolution.

use super::bias::Bias;
use super::pad::PadValue;
use super::requant::{requantize, Requant};
use super::shape::{Element, Hwc, Window};

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
///
/// Where the window's columns are all inside the input and undilated, a kernel row is one contiguous dot
/// product over `KW · I` values; only the border goes tap by tap.
pub fn conv2d<T: Element>(layer: &Conv2d<'_>, input: &[T], output: &mut [i8]) {
    let [_, kw] = layer.window.kernel;
    let channels = layer.output.c;
    let tap_row = kw.wrapping_mul(layer.input.c).max(1);
    let filter = layer.window.kernel[0].wrapping_mul(tap_row).max(1);
    let row = layer.output.w.wrapping_mul(channels).max(1);
    for (y, row) in output
        .chunks_exact_mut(row)
        .take(layer.output.h)
        .enumerate()
    {
        for (x, pixel) in row.chunks_exact_mut(channels.max(1)).enumerate() {
            let [top, left] = layer.window.origin(y, x);
            let contiguous = layer.window.columns_contiguous(left, layer.input.w);
            let bias = layer.bias.at(y, x, channels).iter();
            let filters = layer.weights.chunks_exact(filter);
            let outputs = pixel
                .iter_mut()
                .zip(filters)
                .zip(bias)
                .zip(layer.requant.multipliers);
            for (((out, filter), &bias), &multiplier) in outputs {
                let mut acc = bias;
                let mut iy = top;
                for taps in filter.chunks_exact(tap_row) {
                    acc = if contiguous && iy < layer.input.h {
                        let start = layer.input.offset(iy, left);
                        let source = input.get(start..start.wrapping_add(tap_row));
                        dot(acc, source.unwrap_or(&[]), taps)
                    } else {
                        border_row(layer, input, acc, taps, iy, left)
                    };
                    iy = iy.wrapping_add(layer.window.dilation[0]);
                }
                *out = requantize(acc, multiplier, &layer.requant);
            }
        }
    }
}

/// One kernel row that leaves the input somewhere, or is dilated: tap by tap.
fn border_row<T: Element>(
    layer: &Conv2d<'_>,
    input: &[T],
    mut acc: i32,
    taps: &[i8],
    iy: usize,
    left: usize,
) -> i32 {
    let mut ix = left;
    for tap in taps.chunks_exact(layer.input.c.max(1)) {
        if iy < layer.input.h && ix < layer.input.w {
            let start = layer.input.offset(iy, ix);
            let source = input.get(start..start.wrapping_add(tap.len()));
            acc = dot(acc, source.unwrap_or(&[]), tap);
        } else {
            match layer.pad {
                PadValue::Uniform(value) => {
                    let sum = tap
                        .iter()
                        .fold(0_i32, |sum, &w| sum.wrapping_add(i32::from(w)));
                    acc = acc.wrapping_add(sum.wrapping_mul(i32::from(value)));
                }
                PadValue::Channel(values) => acc = dot(acc, values, tap),
            }
        }
        ix = ix.wrapping_add(layer.window.dilation[1]);
    }
    acc
}

/// `acc + Σ values · weights`.
#[inline(always)]
fn dot<T: Element>(acc: i32, values: &[T], weights: &[i8]) -> i32 {
    let products = values
        .iter()
        .zip(weights)
        .map(|(&x, &w)| x.quantized().wrapping_mul(i32::from(w)));
    products.fold(acc, i32::wrapping_add)
}
