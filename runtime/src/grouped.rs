//! Convolution in groups: each group of outputs sees its own group of inputs only.

use super::bias::Bias;
use super::pad::PadValue;
use super::requant::{requantize, Requant};
use super::shape::{take, take_mut, Element, Hwc, Window};

/// A convolution: `acc[o] = bias[o] + Σ weights[o, ky, kx, i] · x[group(o) · I + i]`.
#[derive(Debug, Clone, Copy)]
pub struct Grouped<'a> {
    /// Input shape.
    pub input: Hwc,
    /// Output shape.
    pub output: Hwc,
    /// Window.
    pub window: Window,
    /// Inputs and outputs of one group.
    pub group: [usize; 2],
    /// `[O][KH][KW][I]`, `I` the inputs of one group.
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
pub fn grouped<T: Element>(layer: &Grouped<'_>, input: &[T], output: &mut [i8]) {
    let [inputs, outputs] = layer.group;
    let mut rest = output;
    for y in 0..layer.output.h {
        for x in 0..layer.output.w {
            let mut pixel = take_mut(&mut rest, layer.output.c);
            let origin = layer.window.origin(y, x);
            let mut bias = layer.bias.at(y, x, layer.output.c).iter();
            let mut multipliers = layer.requant.multipliers.iter();
            let mut weights = layer.weights;
            let mut first = 0;
            while !pixel.is_empty() {
                let block = take_mut(&mut pixel, outputs);
                if block.is_empty() {
                    return;
                }
                for ((out, &bias), &multiplier) in
                    block.iter_mut().zip(&mut bias).zip(&mut multipliers)
                {
                    let acc = filter(layer, input, &mut weights, origin, first, bias);
                    *out = requantize(acc, multiplier, &layer.requant);
                }
                first = first.wrapping_add(inputs);
            }
        }
    }
}

/// Takes one filter off `weights` and adds its products with the channels from `first` on to `acc`.
#[inline(never)]
fn filter<T: Element>(
    layer: &Grouped<'_>,
    input: &[T],
    weights: &mut &[i8],
    [top, left]: [usize; 2],
    first: usize,
    mut acc: i32,
) -> i32 {
    let [kh, kw] = layer.window.kernel;
    let mut iy = top;
    for _ in 0..kh {
        let mut ix = left;
        for _ in 0..kw {
            let taps = take(weights, layer.group[0]);
            if iy < layer.input.h && ix < layer.input.w {
                let start = layer.input.offset(iy, ix).wrapping_add(first);
                acc = dot(acc, input.get(start..).unwrap_or(&[]), taps);
            } else {
                acc = layer.pad.add_products(first, taps, acc);
            }
            ix = ix.wrapping_add(layer.window.dilation[1]);
        }
        iy = iy.wrapping_add(layer.window.dilation[0]);
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
