//! Dense 2-D convolution of any shape: four patches at a time, then all filters.
//!
//! A patch's values are widened to words once, so that one instruction loads those of four positions.

use super::super::requant::{requantize, Requant};
use super::super::shape::{take, take_mut, Element, Hwc, Window};

/// Positions worked on at once.
pub const POSITIONS: usize = 4;

/// The length of patches and filters is a multiple of it.
pub const STEP: usize = 16;

/// A convolution with one padding value and one bias per channel.
#[derive(Debug, Clone, Copy)]
pub struct Conv<'a> {
    /// Input shape.
    pub input: Hwc,
    /// Output shape; its channels may be more than the filters, whose outputs are then the first of each position.
    pub output: Hwc,
    /// Window.
    pub window: Window,
    /// As the core's kernel reads them, see there; zeros fill up.
    pub weights: &'a [i32],
    /// `[O]`.
    pub bias: &'a [i32],
    /// Value of padded positions.
    pub pad: i8,
    /// Way back to `i8`.
    pub requant: Requant<'a>,
}

/// `values`, filled up to a multiple of [`STEP`].
pub const fn padded(values: usize) -> usize {
    (values.wrapping_add(STEP - 1) / STEP).wrapping_mul(STEP)
}

/// Bytes of scratch for filters of `values` weights.
pub const fn scratch_bytes(values: usize) -> usize {
    padded(values).wrapping_mul(4 * POSITIONS)
}

/// Widens the patch of the output at a row and column to one of four positions. What fills the patch up stays: its
/// weights are zeros.
pub(super) type Gather<'a> = dyn Fn([usize; 2], usize, &mut [[i32; POSITIONS]]) + 'a;

/// Runs the convolution with `F` filters at a time. `dot` adds, to the biases that it is given, the products of patches
/// `[values][4]` with the words of `F` filters. `scratch` is aligned to words and has at least [`scratch_bytes`].
#[inline(always)]
pub(super) fn run<const F: usize>(
    layer: &Conv<'_>,
    gather: &Gather<'_>,
    output: &mut [i8],
    scratch: &mut [i8],
    dot: impl Fn(&[[i32; POSITIONS]], &[i32], [i32; F]) -> [[i32; POSITIONS]; F],
) {
    let [kh, kw] = layer.window.kernel;
    let values = padded(kh.wrapping_mul(kw).wrapping_mul(layer.input.c));
    let patches = groups(scratch);
    let Some(patches) = patches.get_mut(..values) else {
        return;
    };
    let (pitch, channels) = (layer.output.c, layer.bias.len());
    let (mut y, mut x) = (0, 0);
    let mut rest = output;
    while !rest.is_empty() {
        let mut count = POSITIONS;
        // Of the last position there may be no more than its filters' outputs.
        let gap = pitch.wrapping_sub(channels);
        while count > 1 && pitch.wrapping_mul(count).wrapping_sub(gap) > rest.len() {
            count = count.wrapping_sub(1);
        }
        let bytes = pitch.wrapping_mul(count).min(rest.len());
        let block = take_mut(&mut rest, bytes);
        if block.is_empty() {
            return;
        }
        for position in 0..count {
            gather([y, x], position, patches);
            x = x.wrapping_add(1);
            if x == layer.output.w {
                (y, x) = (y.wrapping_add(1), 0);
            }
        }
        filters(layer, patches, block, (values / 4).wrapping_mul(F), &dot);
    }
}

/// All filters on the patches; `words` is what `F` filters take.
#[inline(always)]
fn filters<const F: usize>(
    layer: &Conv<'_>,
    patches: &[[i32; POSITIONS]],
    block: &mut [i8],
    words: usize,
    dot: &impl Fn(&[[i32; POSITIONS]], &[i32], [i32; F]) -> [[i32; POSITIONS]; F],
) {
    let channels = layer.bias.len();
    let (mut weights, mut biases) = (layer.weights, layer.bias);
    let mut multipliers = layer.requant.multipliers.iter();
    let mut channel = 0;
    while channel < channels {
        let mut start = [0; F];
        for start in &mut start {
            if let Some((bias, next)) = biases.split_first() {
                (*start, biases) = (*bias, next);
            }
        }
        let group = take(&mut weights, words);
        if group.is_empty() {
            return;
        }
        let sums = dot(patches, group, start);
        for sums in &sums {
            let Some(&multiplier) = multipliers.next() else {
                return;
            };
            let mut at = channel;
            for &sum in sums {
                if let Some(out) = block.get_mut(at) {
                    *out = requantize(sum, multiplier, &layer.requant);
                }
                at = at.wrapping_add(layer.output.c);
            }
            channel = channel.wrapping_add(1);
        }
    }
}

/// A [`Gather`] of `input`.
#[inline(never)]
pub(super) fn gather<T: Element>(
    layer: &Conv<'_>,
    input: &[T],
    [y, x]: [usize; 2],
    position: usize,
    patches: &mut [[i32; POSITIONS]],
) {
    let [kh, kw] = layer.window.kernel;
    let [top, left] = layer.window.origin(y, x);
    let contiguous = layer.window.columns_contiguous(left, layer.input.w);
    // A whole kernel row at once where it lies side by side.
    let (pieces, piece) = if contiguous { (1, kw) } else { (kw, 1) };
    let piece = piece.wrapping_mul(layer.input.c);
    let position = position % POSITIONS;
    let mut rest = patches;
    let mut iy = top;
    for _ in 0..kh {
        let mut ix = left;
        for _ in 0..pieces {
            let target = take_mut(&mut rest, piece);
            if iy < layer.input.h && ix < layer.input.w {
                let start = layer.input.offset(iy, ix);
                let source = input.get(start..start.wrapping_add(piece)).unwrap_or(&[]);
                for (values, x) in target.iter_mut().zip(source) {
                    values[position] = x.quantized();
                }
            } else {
                fill(target, position, layer.pad);
            }
            ix = ix.wrapping_add(layer.window.dilation[1]);
        }
        iy = iy.wrapping_add(layer.window.dilation[0]);
    }
}

/// Writes padding to one position.
#[inline(never)]
fn fill(target: &mut [[i32; POSITIONS]], position: usize, pad: i8) {
    for values in target {
        values[position % POSITIONS] = i32::from(pad);
    }
}

/// `bytes` as groups of words; none where they are not aligned.
#[inline(always)]
fn groups(bytes: &mut [i8]) -> &mut [[i32; POSITIONS]] {
    // SAFETY: every bit pattern is an `i8` and an `i32`, and `align_to_mut` keeps to alignment and length.
    let (before, words, _) = unsafe { bytes.align_to_mut::<[i32; POSITIONS]>() };
    if before.is_empty() {
        words
    } else {
        &mut []
    }
}

/// The products of one filter's word of four weights with four values of each patch, added to `sums`.
#[allow(dead_code, reason = "for the twins, which only other processors have")]
pub(super) fn multiply_add(
    sums: &mut [i32; POSITIONS],
    values: &[[i32; POSITIONS]],
    weights: impl Iterator<Item = i8>,
) {
    for (values, weight) in values.iter().zip(weights) {
        for (sum, x) in sums.iter_mut().zip(values) {
            *sum = sum.wrapping_add(x.wrapping_mul(i32::from(weight)));
        }
    }
}
