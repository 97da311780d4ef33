//! Dense 2-D convolution of any shape: two patches at a time, then all filters.

use super::super::requant::Requant;
use super::super::shape::{take_mut, Element, Hwc, Window};
use super::copy::{bytes, copy};
use super::dot::{dot, Filters, FILTERS, PATCHES, VECTOR};

/// A convolution with one padding value and one bias per channel.
#[derive(Debug, Clone, Copy)]
pub struct Conv<'a> {
    /// Input shape.
    pub input: Hwc,
    /// Output shape; its channels may be more than the filters, whose outputs are then the first of each position.
    pub output: Hwc,
    /// Window.
    pub window: Window,
    /// `[O / 4][KH · KW · I / 16][4][16]`, four values in a word, the first in the low byte; zeros fill up.
    pub weights: &'a [i32],
    /// `[O]`.
    pub bias: &'a [i32],
    /// Value of padded positions.
    pub pad: i8,
    /// Way back to `i8`.
    pub requant: Requant<'a>,
}

/// Values of a patch of `values`, filled up to whole vectors.
pub const fn padded(values: usize) -> usize {
    (values.wrapping_add(VECTOR - 1) / VECTOR).wrapping_mul(VECTOR)
}

/// Words of `filters` filters of `values` weights.
pub const fn filter_words(filters: usize, values: usize) -> usize {
    let groups = filters.wrapping_add(FILTERS - 1) / FILTERS;
    groups
        .wrapping_mul(FILTERS / 4)
        .wrapping_mul(padded(values))
}

/// Bytes of scratch for filters of `values` weights: two patches.
pub const fn scratch_bytes(values: usize) -> usize {
    padded(values).wrapping_mul(PATCHES)
}

/// Runs the convolution; `scratch` has at least [`scratch_bytes`].
#[inline(always)]
pub fn conv<T: Element>(layer: &Conv<'_>, input: &[T], output: &mut [i8], scratch: &mut [i8]) {
    of_bytes(layer, (bytes(input), T::FLIP), output, scratch);
}

/// [`conv`] of bytes; those with these bits turned over are the values.
#[inline(never)]
fn of_bytes(layer: &Conv<'_>, input: (&[i8], u8), output: &mut [i8], scratch: &mut [i8]) {
    let Conv {
        weights,
        bias,
        requant,
        ..
    } = *layer;
    let pitch = layer.output.c;
    let filters = Filters {
        weights,
        bias,
        requant,
        pitch,
    };
    let [kh, kw] = layer.window.kernel;
    let values = padded(kh.wrapping_mul(kw).wrapping_mul(layer.input.c));
    let Some((first, rest)) = scratch.split_at_mut_checked(values) else {
        return;
    };
    let second = rest.get_mut(..values).unwrap_or(&mut []);
    let gap = pitch.wrapping_sub(bias.len());
    let mut at = (0, 0);
    let mut rest = output;
    while !rest.is_empty() {
        // Of the last position there may be no more than its filters' outputs.
        let all = pitch.wrapping_mul(PATCHES);
        let count = if rest.len() < all.wrapping_sub(gap) {
            1
        } else {
            PATCHES
        };
        let bytes = pitch.wrapping_mul(count).min(rest.len());
        let out = take_mut(&mut rest, bytes);
        if out.is_empty() {
            return;
        }
        for patch in [&mut *first, &mut *second].into_iter().take(count) {
            gather(layer, input, layer.window.origin(at.0, at.1), patch);
            at.1 = at.1.wrapping_add(1);
            if at.1 == layer.output.w {
                at = (at.0.wrapping_add(1), 0);
            }
        }
        dot([first, second], &filters, out);
    }
}

/// Copies the patch at `origin`. What fills the last vector up stays: its weights are zeros.
#[inline(always)]
fn gather(layer: &Conv<'_>, (input, flip): (&[i8], u8), [top, left]: [usize; 2], patch: &mut [i8]) {
    let [kh, kw] = layer.window.kernel;
    let contiguous = layer.window.columns_contiguous(left, layer.input.w);
    // A whole kernel row at once where it lies side by side.
    let (pieces, piece) = if contiguous { (1, kw) } else { (kw, 1) };
    let piece = piece.wrapping_mul(layer.input.c);
    let mut rest = patch;
    let mut iy = top;
    for _ in 0..kh {
        let mut ix = left;
        for _ in 0..pieces {
            let target = take_mut(&mut rest, piece);
            if iy < layer.input.h && ix < layer.input.w {
                let start = layer.input.offset(iy, ix);
                let source = input.get(start..start.wrapping_add(piece)).unwrap_or(&[]);
                copy(source, flip, target);
            } else {
                target.fill(layer.pad);
            }
            ix = ix.wrapping_add(layer.window.dilation[1]);
        }
        iy = iy.wrapping_add(layer.window.dilation[0]);
    }
}
