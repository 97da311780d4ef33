//! Dense 2-D convolution.

use super::bias::Bias;
use super::pad::PadValue;
use super::requant::{requantize, Requant};
use super::shape::{take, take_pixel, Element, Hwc, Window};

/// A convolution: `acc[o] = bias[o] + Σ weights[o, ky, kx, i] · x[i]`.
#[derive(Debug, Clone, Copy)]
pub struct Conv2d<'a> {
    /// Input shape.
    pub input: Hwc,
    /// Output shape; its channels may be more than the filters, whose outputs are then the first of each position.
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
#[inline(never)]
pub fn conv2d<T: Element>(layer: &Conv2d<'_>, input: &[T], output: &mut [i8]) {
    let [kh, kw] = layer.window.kernel;
    let tap_row = kw.wrapping_mul(layer.input.c);
    let filters = layer.requant.multipliers.len();
    let mut rest = output;
    for y in 0..layer.output.h {
        for x in 0..layer.output.w {
            let pixel = take_pixel(&mut rest, layer.output.c, filters);
            if pixel.is_empty() {
                return;
            }
            let [top, left] = layer.window.origin(y, x);
            let contiguous = layer.window.columns_contiguous(left, layer.input.w);
            let bias = layer.bias.at(y, x, filters);
            let mut weights = layer.weights;
            let outputs = pixel.iter_mut().zip(bias).zip(layer.requant.multipliers);
            for ((out, &bias), &multiplier) in outputs {
                let mut acc = bias;
                let mut iy = top;
                for _ in 0..kh {
                    let taps = take(&mut weights, tap_row);
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
#[inline(never)]
fn border_row<T: Element>(
    layer: &Conv2d<'_>,
    input: &[T],
    mut acc: i32,
    mut taps: &[i8],
    iy: usize,
    left: usize,
) -> i32 {
    let mut ix = left;
    for _ in 0..layer.window.kernel[1] {
        let tap = take(&mut taps, layer.input.c);
        if iy < layer.input.h && ix < layer.input.w {
            let start = layer.input.offset(iy, ix);
            let source = input.get(start..start.wrapping_add(tap.len()));
            acc = dot(acc, source.unwrap_or(&[]), tap);
        } else {
            acc = layer.pad.add_products(0, tap, acc);
        }
        ix = ix.wrapping_add(layer.window.dilation[1]);
    }
    acc
}

/// `acc + Σ values · weights`.
#[inline(always)]
fn dot<T: Element>(acc: i32, values: &[T], weights: &[i8]) -> i32 {
    let products = values.iter().zip(weights);
    let products = products.map(|(&x, &w)| x.quantized().wrapping_mul(i32::from(w)));
    products.fold(acc, i32::wrapping_add)
}
