//! Dense 2-D convolution of any shape: eight patches at a time, then all filters.

use super::super::requant::Requant;
use super::super::shape::{take_mut, Element, Hwc, Window};
use super::dot::{dot, Filters, GROUP, POSITIONS};
use super::lanes::{both, even_bytes, odd_bytes, words};

/// A convolution with one padding value and one bias per channel.
#[derive(Debug, Clone, Copy)]
pub struct Conv<'a> {
    /// Input shape.
    pub input: Hwc,
    /// Output shape.
    pub output: Hwc,
    /// Window.
    pub window: Window,
    /// `[O][KH · KW · I / 4]`, four values in a word, the first in the low byte; zeros fill up the last word.
    pub weights: &'a [i32],
    /// `[O]`.
    pub bias: &'a [i32],
    /// Value of padded positions.
    pub pad: i8,
    /// Way back to `i8`.
    pub requant: Requant<'a>,
}

/// Words of one filter with `values` weights.
pub const fn filter_words(values: usize) -> usize {
    values.wrapping_add(3) / 4
}

/// Bytes of scratch for filters of `values` weights: eight patches, and one as bytes.
pub const fn scratch_bytes(values: usize) -> usize {
    filter_words(values).wrapping_mul(4 * GROUP + 4)
}

/// Runs the convolution; `scratch` is aligned to words and has at least [`scratch_bytes`].
pub fn conv<T: Element>(layer: &Conv<'_>, input: &[T], output: &mut [i8], scratch: &mut [i8]) {
    let Conv {
        weights,
        bias,
        requant,
        ..
    } = *layer;
    let filters = Filters {
        weights,
        bias,
        requant,
    };
    let [kh, kw] = layer.window.kernel;
    let values = kh.wrapping_mul(kw).wrapping_mul(layer.input.c);
    let (patches, stage) = words(scratch, filter_words(values).wrapping_mul(GROUP));
    let stage = stage
        .get_mut(..filter_words(values).wrapping_mul(4))
        .unwrap_or(&mut []);
    let channels = layer.output.c;
    let (mut y, mut x) = (0, 0);
    let mut rest = output;
    while !rest.is_empty() {
        let left = rest.len() / channels.max(1);
        let count = if left < POSITIONS { left } else { POSITIONS };
        let block = take_mut(&mut rest, count.wrapping_mul(channels));
        if block.is_empty() {
            return;
        }
        for position in 0..count {
            let origin = layer.window.origin(y, x);
            if layer.input.c % 4 == 0 {
                gather_words(layer, input, origin, position, patches);
            } else {
                gather_bytes(layer, input, origin, stage);
                widen(stage, position, patches);
            }
            x = x.wrapping_add(1);
            if x == layer.output.w {
                x = 0;
                y = y.wrapping_add(1);
            }
        }
        dot(patches, &filters, block, channels, count);
    }
}

/// Writes the patch at `origin` as patch `position`: channels by fours.
#[inline(always)]
fn gather_words<T: Element>(
    layer: &Conv<'_>,
    input: &[T],
    [top, left]: [usize; 2],
    position: usize,
    patches: &mut [u32],
) {
    let [kh, kw] = layer.window.kernel;
    let contiguous = layer.window.columns_contiguous(left, layer.input.w);
    // A whole kernel row at once where it lies side by side.
    let (pieces, piece) = if contiguous { (1, kw) } else { (kw, 1) };
    let piece = piece.wrapping_mul(layer.input.c);
    let pad = both(layer.pad);
    let mut rest = patches;
    let mut iy = top;
    for _ in 0..kh {
        let mut ix = left;
        for _ in 0..pieces {
            let mut target = take_mut(&mut rest, piece.wrapping_mul(GROUP / 4));
            if iy < layer.input.h && ix < layer.input.w {
                let start = layer.input.offset(iy, ix);
                let source = input.get(start..start.wrapping_add(piece)).unwrap_or(&[]);
                widen(source, position, target);
            } else {
                while let Some((group, groups)) = target.split_first_chunk_mut() {
                    put(group, position, pad, pad);
                    target = groups;
                }
            }
            ix = ix.wrapping_add(layer.window.dilation[1]);
        }
        iy = iy.wrapping_add(layer.window.dilation[0]);
    }
}

/// Copies the patch at `origin`.
#[inline(always)]
fn gather_bytes<T: Element>(
    layer: &Conv<'_>,
    input: &[T],
    [top, left]: [usize; 2],
    stage: &mut [i8],
) {
    let [kh, kw] = layer.window.kernel;
    let contiguous = layer.window.columns_contiguous(left, layer.input.w);
    let (pieces, piece) = if contiguous { (1, kw) } else { (kw, 1) };
    let piece = piece.wrapping_mul(layer.input.c);
    let mut rest = stage;
    let mut iy = top;
    for _ in 0..kh {
        let mut ix = left;
        for _ in 0..pieces {
            let target = take_mut(&mut rest, piece);
            if iy < layer.input.h && ix < layer.input.w {
                let start = layer.input.offset(iy, ix);
                let source = input.get(start..start.wrapping_add(piece)).unwrap_or(&[]);
                for (value, x) in target.iter_mut().zip(source) {
                    *value = x.quantized() as i8;
                }
            } else {
                target.fill(layer.pad);
            }
            ix = ix.wrapping_add(layer.window.dilation[1]);
        }
        iy = iy.wrapping_add(layer.window.dilation[0]);
    }
    // The weights of these are zeros.
    rest.fill(0);
}

/// Values by fours to pairs of lanes.
#[inline(always)]
fn widen<T: Element>(source: &[T], position: usize, target: &mut [u32]) {
    let (mut source, mut target) = (source, target);
    while let (Some((four, values)), Some((group, groups))) = (
        source.split_first_chunk::<4>(),
        core::mem::take(&mut target).split_first_chunk_mut(),
    ) {
        let word = u32::from_le_bytes(four.map(|x| x.quantized() as u8));
        put(group, position, even_bytes(word), odd_bytes(word));
        (source, target) = (values, groups);
    }
}

/// Writes one patch's words of a group.
#[inline(always)]
fn put(group: &mut [u32; GROUP], position: usize, even: u32, odd: u32) {
    let position = position % POSITIONS;
    group[position] = even;
    group[position + POSITIONS] = odd;
}
