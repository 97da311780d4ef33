//! Dense 2-D convolution of any shape: four patches at a time, then all filters.

use super::super::bias::Bias;
use super::super::pad::PadValue;
use super::super::requant::Requant;
use super::super::shape::{take_mut, Element, Hwc, Window};
use super::dot::{Filters, Form, GROUP, POSITIONS};
use super::gather::{gather, widen_positions, Geometry};
use super::lanes::{bytes, flip, words};

/// A convolution with at least two filters.
#[derive(Debug, Clone, Copy)]
pub struct Conv<'a> {
    /// Input shape.
    pub input: Hwc,
    /// Output shape.
    pub output: Hwc,
    /// Window.
    pub window: Window,
    /// As [`Form`] says; a filter is `[KH][KW][I]`, filled up with zeros to a multiple of four.
    pub weights: &'a [i32],
    /// How weights are stored: [`super::dot::BYTES`] or [`super::dot::LANES`].
    pub form: Form,
    /// Start of the sums.
    pub bias: Bias<'a>,
    /// Value of padded positions.
    pub pad: PadValue<'a>,
    /// Way back to `i8`.
    pub requant: Requant<'a>,
}

/// Words of one filter with `values` weights of 8 bits.
pub const fn filter_words(values: usize) -> usize {
    values.wrapping_add(3) / 4
}

/// Bytes of scratch for filters of `values` weights: four patches, and one as bytes with a word to spare.
pub const fn scratch_bytes(values: usize) -> usize {
    filter_words(values)
        .wrapping_mul(4 * GROUP + 4)
        .wrapping_add(4)
}

/// Runs the convolution; `scratch` is aligned to words and has at least [`scratch_bytes`].
#[inline(always)]
pub fn conv<T: Element>(layer: &Conv<'_>, input: &[T], output: &mut [i8], scratch: &mut [i8]) {
    band(layer, 0, input, output, scratch);
}

/// Runs the convolution for the output rows from `first` on, as many as `output` holds: any cut of the output
/// into bands of whole rows gives the same bytes.
#[inline(always)]
pub fn band<T: Element>(
    layer: &Conv<'_>,
    first: usize,
    input: &[T],
    output: &mut [i8],
    scratch: &mut [i8],
) {
    // Left to itself the compiler makes a copy of the function for each layer.
    let layer = core::hint::black_box(layer);
    run(layer, first, (bytes(input), flip::<T>()), output, scratch);
}

/// [`band`] of bytes; those with their bits in `flip` turned over are the values.
#[inline(never)]
fn run(layer: &Conv<'_>, first: usize, input: (&[i8], u32), output: &mut [i8], scratch: &mut [i8]) {
    let geometry = Geometry::new(layer, input.1);
    let values = geometry.values();
    let groups = filter_words(values);
    let (patches, stage) = words(scratch, groups.wrapping_mul(GROUP));
    // The weights of what is not a value are zeros.
    let Some(stage) = stage.get_mut(..groups.wrapping_mul(4).wrapping_add(4)) else {
        return;
    };
    let channels = layer.output.c;
    let filters = Filters::new(layer.weights, layer.form, layer.requant, groups, channels);
    let Some(filters) = filters else {
        return;
    };
    // Where every patch is one position of the input, in the same order.
    let plain = matches!(layer.bias, Bias::Channel(_)) && input.1 == 0;
    let pointwise = geometry.pointwise(layer.output.w) && plain;
    let (mut y, mut x) = (first, 0);
    let mut left = output.len() / channels;
    let mut rest = output;
    while left > 0 {
        let (bias, mut alike) = start(layer, y, x);
        let most = left.min(POSITIONS);
        let mut count = 0_usize;
        if pointwise && most == POSITIONS {
            count = most;
            let source = input.0.get(layer.input.offset(y, x)..).unwrap_or(&[]);
            widen_positions(source, values, patches);
            x = x.wrapping_add(count);
            while x >= layer.output.w {
                x = x.wrapping_sub(layer.output.w);
                y = y.wrapping_add(1);
            }
        }
        while count < most {
            let target = patches.get_mut(count..).unwrap_or(&mut []);
            let wanted = alike.min(most.wrapping_sub(count));
            let found = gather(&geometry, input.0, [y, x], wanted, stage, target);
            count = count.wrapping_add(found);
            alike = alike.wrapping_sub(found);
            x = x.wrapping_add(found);
            if x >= layer.output.w {
                x = 0;
                y = y.wrapping_add(1);
            }
            if alike == 0 && count < most {
                // Positions at a border may start from other sums.
                let (next, more) = start(layer, y, x);
                if next.as_ptr() != bias.as_ptr() {
                    break;
                }
                alike = more;
            }
        }
        left = left.wrapping_sub(count.max(1));
        let block = take_mut(&mut rest, count.wrapping_mul(channels));
        filters.dot(patches, bias, block, count);
    }
}

/// What the sums of the position start from, and how many positions of the row, from there on, start from the same.
#[inline(never)]
fn start<'a>(layer: &Conv<'a>, y: usize, x: usize) -> (&'a [i32], usize) {
    let most = layer.output.w.wrapping_sub(x);
    (
        layer.bias.at(y, x, layer.output.c),
        layer.bias.alike(x, most.min(POSITIONS)),
    )
}
