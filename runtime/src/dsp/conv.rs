//! Dense 2-D convolution of any shape: four patches at a time, then all filters.

use super::super::bias::Bias;
use super::super::pad::PadValue;
use super::super::requant::Requant;
use super::super::shape::{positions, Element, Hwc, Window};
use super::dot::{Filters, Form, GROUP, POSITIONS};
use super::gather::{gather, Geometry};
use super::gather_loops::widen_positions;
use super::lanes::{bytes, flip, words};
use super::stage::paste;

/// A convolution with at least two filters.
#[derive(Debug, Clone, Copy)]
pub struct Conv<'a> {
    /// Input shape.
    pub input: Hwc,
    /// Output shape; its channels may be more than the filters, whose outputs are then the first of each position.
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

/// Bytes of four patches of filters of `values` weights, and of one as bytes with a word to spare.
const fn patch_bytes(values: usize) -> usize {
    filter_words(values)
        .wrapping_mul(4 * GROUP + 4)
        .wrapping_add(4)
}

/// Bytes of padded input that are worth it.
const PADDED: usize = 1024;

/// The shape of the input with all padding that the output looks at.
const fn padded(input: Hwc, output: Hwc, window: &Window) -> Hwc {
    let Window {
        kernel: [kh, kw],
        stride: [down, right],
        dilation: [far, wide],
        ..
    } = *window;
    let h = output.h.wrapping_sub(1).wrapping_mul(down);
    let w = output.w.wrapping_sub(1).wrapping_mul(right);
    Hwc {
        h: h.wrapping_add(kh.wrapping_sub(1).wrapping_mul(far))
            .wrapping_add(1),
        w: w.wrapping_add(kw.wrapping_sub(1).wrapping_mul(wide))
            .wrapping_add(1),
        c: input.c,
    }
}

/// Bytes of scratch: what patches need, and a small input with its padding, if it has any.
pub const fn scratch_bytes(input: Hwc, output: Hwc, window: &Window) -> usize {
    let [kh, kw] = window.kernel;
    let patches = patch_bytes(kh.wrapping_mul(kw).wrapping_mul(input.c));
    let Hwc { h, w, c } = padded(input, output, window);
    let [top, left] = window.pad;
    let bytes = h.wrapping_mul(w).wrapping_mul(c);
    let all_inside = top == 0 && left == 0 && h <= input.h && w <= input.w;
    if all_inside || bytes > PADDED {
        patches
    } else {
        patches.wrapping_add(bytes)
    }
}

/// Runs the convolution; `scratch` is aligned to words and has at least [`scratch_bytes`].
#[inline(always)]
pub fn conv<T: Element>(layer: &Conv<'_>, input: &[T], output: &mut [i8], scratch: &mut [i8]) {
    band(layer, 0, input, output, scratch);
}

/// Whether the output may lie over the input: each position is read before its outputs are written.
pub const fn takes_in_place(input: Hwc, output: Hwc, window: &Window) -> bool {
    input.c == output.c && pointwise(input, output, window)
}

/// Runs the convolution with its output over its input; see [`takes_in_place`].
#[inline(always)]
pub fn conv_in_place(layer: &Conv<'_>, values: &mut [i8], scratch: &mut [i8]) {
    run(layer, 0, (None, 0), values, scratch);
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
    let input = (Some(bytes(input)), flip::<T>());
    run(layer, first, input, output, scratch);
}

/// Whether patches are whole words, each one position of the input, in the same order.
const fn pointwise(input: Hwc, output: Hwc, window: &Window) -> bool {
    let Window {
        kernel: [kh, kw],
        stride: [down, right],
        pad: [top, left],
        ..
    } = *window;
    let one = kh == 1 && kw == 1 && down == 1 && right == 1 && top == 0 && left == 0;
    one && input.w == output.w && input.c % 4 == 0
}

/// [`band`] of bytes; those with their bits in `flip` turned over are the values. Without an input, that is where the
/// output goes.
#[inline(never)]
fn run(
    layer: &Conv<'_>,
    first: usize,
    input: (Option<&[i8]>, u32),
    output: &mut [i8],
    scratch: &mut [i8],
) {
    // Left to itself the compiler makes a copy of the function for each layer.
    let arguments = core::hint::black_box((layer, first, input, output, scratch));
    let (layer, first, (mut input, flip), output, scratch) = arguments;
    let mut geometry = Geometry::new(layer, layer.input, layer.window.pad, flip);
    let values = geometry.values();
    let groups = filter_words(values);
    let (patches, rest) = words(scratch, groups.wrapping_mul(GROUP));
    // The weights of what is not a value are zeros.
    let stage = groups.wrapping_mul(4).wrapping_add(4);
    let Some((stage, room)) = rest.split_at_mut_checked(stage) else {
        return;
    };
    let pitch = layer.output.c;
    let filters = Filters::new(layer.weights, layer.form, layer.requant, groups, pitch);
    let Some(filters) = filters else {
        return;
    };
    let whole = padded(layer.input, layer.output, &layer.window);
    let room = room.get_mut(..whole.h.wrapping_mul(whole.w).wrapping_mul(whole.c));
    if let (Some(values), Some(room)) = (input, room) {
        let corner = layer.window.pad.map(|pad| 0_usize.wrapping_sub(pad));
        paste(&geometry, values, corner, [whole.h, whole.w], whole.w, room);
        geometry = Geometry::new(layer, whole, [0, 0], flip);
        input = Some(room);
    }
    let mut left = positions(output.len(), pitch, layer.requant.multipliers.len());
    let mut done = 0_usize;
    let mut x = 0_usize;
    if let Bias::Channel(bias) = layer.bias {
        let plain = flip == 0 && pointwise(layer.input, layer.output, &layer.window);
        let mut at = layer.input.offset(first, 0);
        while plain && left >= POSITIONS {
            let source = input.unwrap_or(output).get(at..).unwrap_or(&[]);
            widen_positions(source, values, patches);
            let block = output.get_mut(done..).unwrap_or(&mut []);
            filters.dot(patches, bias, block, POSITIONS);
            at = at.wrapping_add(values.wrapping_mul(POSITIONS));
            done = done.wrapping_add(pitch.wrapping_mul(POSITIONS));
            x = x.wrapping_add(POSITIONS);
            left = left.wrapping_sub(POSITIONS);
        }
    }
    let mut y = first;
    while x >= layer.output.w && layer.output.w > 0 {
        // A loop that is not unrolled.
        core::hint::black_box(());
        x = x.wrapping_sub(layer.output.w);
        y = y.wrapping_add(1);
    }
    while left > 0 {
        let most = left.min(POSITIONS);
        let mut bias: &[i32] = &[];
        let mut count = 0_usize;
        while count < most {
            let (next, alike) = start(layer, y, x);
            if count == 0 {
                bias = next;
            } else if next.as_ptr() != bias.as_ptr() {
                // Positions at a border may start from other sums.
                break;
            }
            let target = patches.get_mut(count..).unwrap_or(&mut []);
            let wanted = alike.min(most.wrapping_sub(count));
            let source = input.unwrap_or(output);
            let found = gather(&geometry, source, [y, x], wanted, stage, target);
            count = count.wrapping_add(found);
            x = x.wrapping_add(found);
            if x >= layer.output.w {
                x = 0;
                y = y.wrapping_add(1);
            }
        }
        left = left.wrapping_sub(count.max(1));
        let block = output.get_mut(done..).unwrap_or(&mut []);
        filters.dot(patches, bias, block, count);
        done = done.wrapping_add(count.wrapping_mul(pitch));
    }
}

/// What the sums of the position start from, and how many positions of the row, from there on, start from the same.
#[inline(never)]
fn start<'a>(layer: &Conv<'a>, y: usize, x: usize) -> (&'a [i32], usize) {
    let most = layer.output.w.wrapping_sub(x);
    (
        layer.bias.at(y, x, layer.requant.multipliers.len()),
        layer.bias.alike(x, most.min(POSITIONS)),
    )
}
