//! Dense 2-D convolution of any shape: four patches at a time, then all filters.

use super::super::bias::Bias;
use super::super::pad::PadValue;
use super::super::requant::Requant;
use super::super::shape::{take_mut, Element, Hwc, Window};
use super::dot::{dot, Filters, GROUP, POSITIONS};
use super::lanes::{bytes, copy_words, flip, widen, words};

/// A convolution with at least two filters.
#[derive(Debug, Clone, Copy)]
pub struct Conv<'a> {
    /// Input shape.
    pub input: Hwc,
    /// Output shape.
    pub output: Hwc,
    /// Window.
    pub window: Window,
    /// See [`Filters`]; a filter is `[KH][KW][I]`, filled up with zeros to a multiple of four.
    pub weights: &'a [i32],
    /// Whether weights are 16-bit lanes.
    pub wide: bool,
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
    let [kh, kw] = layer.window.kernel;
    let values = kh.wrapping_mul(kw).wrapping_mul(layer.input.c);
    let groups = filter_words(values);
    let (patches, stage) = words(scratch, groups.wrapping_mul(GROUP));
    let stage = stage
        .get_mut(..groups.wrapping_mul(4).wrapping_add(4))
        .unwrap_or(&mut []);
    // The weights of what is not a value are zeros.
    stage.fill(0);
    let channels = layer.output.c;
    if channels == 0 || output.is_empty() {
        return;
    }
    // Where every patch is one position of the input, in the same order.
    let pointwise = kh == 1
        && kw == 1
        && layer.window.stride == [1, 1]
        && layer.window.pad == [0, 0]
        && layer.input.w == layer.output.w
        && values % 4 == 0
        && matches!(layer.bias, Bias::Channel(_));
    let mut at = layer.input.offset(first, 0);
    let (mut y, mut x) = (first, 0);
    let mut left = output.len() / channels;
    let mut rest = output;
    while left > 0 {
        let bias = layer.bias.at(y, x, channels);
        let mut count = 0_usize;
        while count < POSITIONS && count < left {
            let target = patches.get_mut(count..).unwrap_or(&mut []);
            if pointwise {
                let source = input.0.get(at..at.wrapping_add(values));
                widen(source.unwrap_or(&[]), input.1, target);
                at = at.wrapping_add(values);
                count = count.wrapping_add(1);
                continue;
            }
            // Positions at a border may start from other sums.
            let same = layer.bias.at(y, x, channels).as_ptr() == bias.as_ptr();
            if !same {
                break;
            }
            gather(layer, input, layer.window.origin(y, x), stage, target);
            count = count.wrapping_add(1);
            x = x.wrapping_add(1);
            if x == layer.output.w {
                x = 0;
                y = y.wrapping_add(1);
            }
        }
        left = left.wrapping_sub(count.max(1));
        let block = take_mut(&mut rest, count.wrapping_mul(channels));
        let filters = Filters {
            weights: layer.weights,
            wide: layer.wide,
            bias,
            requant: layer.requant,
        };
        dot(patches, &filters, block, count);
    }
}

/// Writes the patch at `origin` to every fourth word of `target`.
#[inline(always)]
fn gather(
    layer: &Conv<'_>,
    (input, flip): (&[i8], u32),
    [top, left]: [usize; 2],
    stage: &mut [i8],
    target: &mut [u32],
) {
    let Hwc { h, w, c } = layer.input;
    let [kh, kw] = layer.window.kernel;
    let [down, right] = layer.window.dilation;
    let run = kw.wrapping_mul(c);
    let pitch = w.wrapping_mul(c);
    let last = kh.wrapping_sub(1).wrapping_mul(down);
    let inside = top < h && last < h.wrapping_sub(top) && layer.window.columns_contiguous(left, w);
    if inside && run % 4 == 0 {
        // Kernel rows lie side by side, whole words each.
        let mut start = layer.input.offset(top, left);
        let mut target = target;
        for _ in 0..kh {
            let source = input.get(start..start.wrapping_add(run)).unwrap_or(&[]);
            let room = run.wrapping_mul(GROUP / 4).min(target.len());
            widen(source, flip, take_mut(&mut target, room));
            start = start.wrapping_add(pitch.wrapping_mul(down));
        }
        return;
    }
    if inside
        && copy_rows(
            input,
            layer.input.offset(top, left),
            [pitch.wrapping_mul(down), run, kh],
            stage,
        )
    {
        widen(stage, flip, target);
        return;
    }
    let mut rest = &mut *stage;
    let mut iy = top;
    for _ in 0..kh {
        let row = take_mut(&mut rest, run);
        if right == 1 {
            // Columns before the input's first, then those inside.
            let before = if left < w {
                0
            } else {
                kw.min(0_usize.wrapping_sub(left))
            };
            let begin = if left < w { left } else { 0 };
            let many = kw.wrapping_sub(before).min(w.wrapping_sub(begin));
            let many = if iy < h { many } else { 0 };
            let start = layer.input.offset(iy, begin);
            let len = many.wrapping_mul(c);
            let source = input.get(start..start.wrapping_add(len)).unwrap_or(&[]);
            let (head, tail) = row
                .split_at_mut_checked(before.wrapping_mul(c))
                .unwrap_or((&mut [], &mut []));
            let (middle, tail) = tail.split_at_mut_checked(len).unwrap_or((&mut [], &mut []));
            if !head.is_empty() {
                fill(head, layer.pad, c, flip);
            }
            copy(source, middle);
            if !tail.is_empty() {
                fill(tail, layer.pad, c, flip);
            }
        } else {
            let mut row = row;
            let mut ix = left;
            for _ in 0..kw {
                let tap = take_mut(&mut row, c);
                let start = layer.input.offset(iy, ix);
                match input.get(start..start.wrapping_add(c)) {
                    Some(source) if iy < h && ix < w => copy(source, tap),
                    _ => fill(tap, layer.pad, c, flip),
                }
                ix = ix.wrapping_add(right);
            }
        }
        iy = iy.wrapping_add(down);
    }
    widen(stage, flip, target);
}

/// Writes positions of `channels` values of padding, so that they are right once turned over by `flip`.
#[inline(never)]
fn fill(target: &mut [i8], pad: PadValue<'_>, channels: usize, flip: u32) {
    let flip = flip as i8;
    match pad {
        PadValue::Uniform(value) => target.fill(value ^ flip),
        PadValue::Channel(values) => {
            let mut target = target;
            while !target.is_empty() && channels > 0 {
                let position = take_mut(&mut target, channels);
                for (target, value) in position.iter_mut().zip(values) {
                    *target = *value ^ flip;
                }
            }
        }
    }
}

/// Copies `rows` rows of `run` bytes, `pitch` apart from `start` on, one behind the other. By whole words: what is
/// copied too much is overwritten by the next row, or meets weights of zero. Whether all of it can be read and written.
#[inline(always)]
fn copy_rows(input: &[i8], start: usize, [pitch, run, rows]: [usize; 3], stage: &mut [i8]) -> bool {
    let len = run.wrapping_add(3) & !3;
    let last = rows.wrapping_sub(1);
    let read = start
        .wrapping_add(pitch.wrapping_mul(last))
        .wrapping_add(len);
    let written = run.wrapping_mul(last).wrapping_add(len);
    if run == 0 || rows == 0 || input.len() < read || stage.len() < written {
        return false;
    }
    let (mut from, mut to) = (start, 0_usize);
    for _ in 0..rows {
        let source = input.get(from..from.wrapping_add(len));
        let target = stage.get_mut(to..to.wrapping_add(len));
        copy_words(source.unwrap_or(&[]), target.unwrap_or(&mut []));
        from = from.wrapping_add(pitch);
        to = to.wrapping_add(run);
    }
    true
}

/// Copies bytes.
#[inline(never)]
fn copy(source: &[i8], target: &mut [i8]) {
    for (target, x) in target.iter_mut().zip(source) {
        *target = *x;
    }
}
