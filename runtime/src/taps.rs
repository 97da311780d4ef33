//! Depthwise convolution by the pixels under each window: what kernels with assembly share.

use super::requant::Requant;
use super::shape::{take_mut, Hwc, Window};

/// Most taps of a window.
pub const MOST: usize = 25;

/// A depthwise convolution, channel multiplier 1, with one padding value and one bias per channel.
#[derive(Debug, Clone, Copy)]
pub struct Depthwise<'a> {
    /// Input shape.
    pub input: Hwc,
    /// Output shape; the channels are the input's.
    pub output: Hwc,
    /// Window of at most [`MOST`] taps.
    pub window: Window,
    /// `[KH][KW][C]`.
    pub weights: &'a [i8],
    /// `[C]`.
    pub bias: &'a [i32],
    /// Value of padded positions.
    pub pad: i8,
    /// Way back to `i8`.
    pub requant: Requant<'a>,
}

/// Bytes of scratch for `channels`: one padded pixel.
pub const fn scratch_bytes(channels: usize) -> usize {
    channels
}

/// Whether kernels that take `at_once` channels can run a window of so many taps.
pub const fn takes(channels: usize, taps: usize, at_once: usize) -> bool {
    channels >= at_once && taps > 0 && taps <= MOST
}

/// Whether `layer` has all the constants that its shapes ask for, and kernels that take `at_once` channels can run it.
#[inline(always)]
pub fn complete(layer: &Depthwise<'_>, at_once: usize) -> bool {
    let channels = layer.input.c;
    let taps = layer.window.kernel[0].wrapping_mul(layer.window.kernel[1]);
    takes(channels, taps, at_once)
        && layer.output.c == channels
        && layer.bias.len() >= channels
        && layer.requant.multipliers.len() >= channels
        && taps
            .checked_mul(channels)
            .is_some_and(|needed| layer.weights.len() >= needed)
}

/// Calls `position` for the output pixels in turn, with what `tap` makes of each of the pixels under the window, row by
/// row: slices of exactly `C` values, of `input` or, outside of it, of `scratch`, which holds at least
/// [`scratch_bytes`]. They are as many as the window has taps, and output pixels have exactly `C` bytes. For a window of
/// more than [`MOST`] taps it is never called.
#[inline(always)]
pub fn run<'a, P: Copy>(
    layer: &Depthwise<'_>,
    input: &'a [i8],
    output: &mut [i8],
    scratch: &'a mut [i8],
    tap: impl Fn(&'a [i8]) -> P,
    mut position: impl FnMut(&[P], &mut [i8]),
) {
    let channels = layer.input.c;
    let Some(blank) = scratch.get_mut(..channels) else {
        return;
    };
    blank.fill(layer.pad);
    let blank: &'a [i8] = blank;
    let mut pixels = [tap(blank); MOST];
    let [kh, kw] = layer.window.kernel;
    let Some(pixels) = pixels.get_mut(..kh.wrapping_mul(kw)) else {
        return;
    };
    let width = layer.input.w.wrapping_mul(channels);
    let step = layer.window.dilation[1].wrapping_mul(channels);
    let mut rest = output;
    for y in 0..layer.output.h {
        for x in 0..layer.output.w {
            let pixel = take_mut(&mut rest, channels);
            if pixel.len() != channels || channels == 0 {
                return;
            }
            let [top, left] = layer.window.origin(y, x);
            let mut places = pixels.iter_mut();
            let mut iy = top;
            for _ in 0..kh {
                // A loop that is not unrolled.
                core::hint::black_box(());
                let start = layer.input.offset(iy, 0);
                let row = input.get(start..start.wrapping_add(width));
                let row = row.filter(|_| iy < layer.input.h).unwrap_or(&[]);
                // In the padding on the left it wraps, and is outside of the row too.
                let mut start = left.wrapping_mul(channels);
                for place in places.by_ref().take(kw) {
                    let values = row.get(start..start.wrapping_add(channels));
                    *place = tap(values.unwrap_or(blank));
                    start = start.wrapping_add(step);
                }
                iy = iy.wrapping_add(layer.window.dilation[0]);
            }
            position(pixels, pixel);
        }
    }
}

/// The first channel of the group of `at_once` channels behind the one that starts at `first`: the last group ends with
/// the last channel, over the one before it if need be. `None` behind the last.
#[inline(always)]
pub fn next(first: usize, channels: usize, at_once: usize) -> Option<usize> {
    let last = channels.wrapping_sub(at_once);
    (first < last).then(|| first.wrapping_add(at_once).min(last))
}
