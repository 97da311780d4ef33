//! Mean of each window, global pooling included (a window as large as the input).

use super::requant::{requantize, Requant};
use super::shape::{take_mut, Element, Hwc, Window};

/// Channels whose accumulators are held at once.
const BLOCK: usize = 8;

/// `acc = Σ (q − input_zero_point)` over the positions inside the input; the divisor is in the multiplier.
#[derive(Debug, Clone, Copy)]
pub struct AvgPool<'a> {
    /// Input shape.
    pub input: Hwc,
    /// Output shape.
    pub output: Hwc,
    /// Window.
    pub window: Window,
    /// Zero point of the input.
    pub input_zero_point: i32,
    /// `multipliers` has one entry for every window, or one per number of positions inside the input
    /// (index `positions − 1`), for pools that do not count padding.
    pub requant: Requant<'a>,
}

/// Runs the pool.
#[inline(never)]
pub fn avg_pool<T: Element>(layer: &AvgPool<'_>, input: &[T], output: &mut [i8]) {
    let mut rest = output;
    for y in 0..layer.output.h {
        for x in 0..layer.output.w {
            let mut pixel = take_mut(&mut rest, layer.output.c);
            if pixel.is_empty() {
                return;
            }
            let origin = layer.window.origin(y, x);
            let mut first = 0;
            while !pixel.is_empty() {
                let count = pixel.len().min(BLOCK);
                let block = take_mut(&mut pixel, count);
                let mut acc = [0; BLOCK];
                let positions = accumulate(layer, input, origin, first, block.len(), &mut acc);
                let multiplier = match *layer.requant.multipliers {
                    [one] => one,
                    ref each => each.get(positions.wrapping_sub(1)).copied().unwrap_or(0),
                };
                finish(layer, positions, multiplier, &acc, block);
                first = first.wrapping_add(BLOCK);
            }
        }
    }
}

/// Adds the channels `first..first + count` of all positions inside the input; returns their number.
#[inline(never)]
fn accumulate<T: Element>(
    layer: &AvgPool<'_>,
    input: &[T],
    [top, left]: [usize; 2],
    first: usize,
    count: usize,
    acc: &mut [i32; BLOCK],
) -> usize {
    let [kh, kw] = layer.window.kernel;
    let mut positions = 0_usize;
    let mut iy = top;
    for _ in 0..kh {
        let mut ix = left;
        for _ in 0..kw {
            if iy < layer.input.h && ix < layer.input.w {
                positions = positions.wrapping_add(1);
                let start = layer.input.offset(iy, ix).wrapping_add(first);
                let values = input.get(start..start.wrapping_add(count));
                add(acc, values.unwrap_or(&[]));
            }
            ix = ix.wrapping_add(layer.window.dilation[1]);
        }
        iy = iy.wrapping_add(layer.window.dilation[0]);
    }
    positions
}

/// Adds `values` to the sums.
#[inline(never)]
fn add<T: Element>(acc: &mut [i32; BLOCK], values: &[T]) {
    for (acc, &x) in acc.iter_mut().zip(values) {
        *acc = acc.wrapping_add(x.quantized());
    }
}

/// Sums of `positions` values to outputs.
#[inline(never)]
fn finish(layer: &AvgPool<'_>, positions: usize, multiplier: i32, acc: &[i32], block: &mut [i8]) {
    let zero = layer.input_zero_point.wrapping_mul(positions as i32);
    for (out, &acc) in block.iter_mut().zip(acc) {
        *out = requantize(acc.wrapping_sub(zero), multiplier, &layer.requant);
    }
}
