//! Patches of the input as [`super::dot`] wants them: four side by side, widened to 16 bits.

use super::super::pad::PadValue;
use super::super::shape::{Hwc, Window};
use super::conv::Conv;
use super::dot::{GROUP, POSITIONS};
use super::gather_loops::widen;
use super::stage::border;

/// What patches are made of.
#[derive(Debug, Clone, Copy)]
pub struct Geometry<'a> {
    pub(super) input: Hwc,
    pub(super) window: Window,
    pub(super) pad: PadValue<'a>,
    /// Bits of the input's bytes that are turned over.
    pub(super) flip: u32,
    /// The first output column whose window's columns lie side by side inside the input, and the one past the last.
    pub(super) inside: [usize; 2],
    /// Bytes of a row of the window.
    pub(super) run: usize,
    /// Bytes from one row of the window to the next.
    pub(super) pitch: usize,
    /// Bytes from one position to the next.
    pub(super) step: usize,
}

impl<'a> Geometry<'a> {
    /// Of `layer`, with an input of this shape and padding, which has its bits in `flip` turned over.
    #[inline(never)]
    pub fn new(layer: &Conv<'a>, input: Hwc, pad: [usize; 2], flip: u32) -> Self {
        let window = Window {
            pad,
            ..layer.window
        };
        let Window {
            kernel: [_, kw],
            stride: [_, right],
            dilation: [down, apart],
            pad: [_, left],
        } = window;
        let right = right.max(1);
        let room = input.w.wrapping_add(left).wrapping_sub(kw);
        let whole = (apart == 1 || kw == 1) && room <= input.w.wrapping_add(left);
        let first = left.wrapping_add(right).wrapping_sub(1) / right;
        let end = (room / right).wrapping_add(1).min(layer.output.w);
        Self {
            input,
            window,
            pad: layer.pad,
            flip,
            inside: if whole { [first, end] } else { [0; 2] },
            run: kw.wrapping_mul(input.c),
            pitch: input.w.wrapping_mul(input.c).wrapping_mul(down),
            step: right.wrapping_mul(input.c),
        }
    }

    /// Values of a patch.
    pub fn values(&self) -> usize {
        self.run.wrapping_mul(self.window.kernel[0])
    }
}

/// Writes patches from output position `[y, x]` on to `target`, each to every fourth word: at most `wanted` of one row,
/// one at least. `stage` has room for one patch as bytes, filled up to whole words. Returns how many.
#[inline(never)]
pub fn gather(
    geometry: &Geometry<'_>,
    input: &[i8],
    [y, x]: [usize; 2],
    wanted: usize,
    stage: &mut [i8],
    target: &mut [u32],
) -> usize {
    let Geometry {
        run, pitch, step, ..
    } = *geometry;
    let [rows, _] = geometry.window.kernel;
    let h = geometry.input.h;
    let [top, left] = geometry.window.origin(y, x);
    let between = rows.wrapping_sub(1);
    let tall = between.wrapping_mul(geometry.window.dilation[0]);
    let [first, end] = geometry.inside;
    // Rows are copied by whole words: what is too much is overwritten by the next row, or meets weights of zero.
    let len = run.wrapping_add(3) & !3;
    let fours = geometry.values().wrapping_add(3) / 4;
    let bytes = fours.wrapping_mul(4);
    if stage.len() < bytes.wrapping_add(4) || bytes == 0 {
        return wanted;
    }
    let mut count = wanted.min(end.wrapping_sub(x));
    let reach = step
        .wrapping_mul(count.wrapping_sub(1))
        .wrapping_add(pitch.wrapping_mul(between))
        .wrapping_add(len);
    let start = geometry.input.offset(top, left);
    let mut source = input.get(start..).unwrap_or(&[]);
    let inside =
        top < h && tall < h.wrapping_sub(top) && x >= first && x < end && source.len() >= reach;
    let mut stretch = Stretch {
        step,
        pitch,
        run,
        rows,
        flip: geometry.flip,
    };
    if !inside {
        border(geometry, input, [top, left], stage);
        count = 1;
        source = &[];
        stretch.rows = 0;
    }
    let room = fours.wrapping_mul(GROUP).wrapping_add(count);
    if target.len().wrapping_add(POSITIONS) >= room {
        widen(&stretch, source, count, bytes, stage, target);
    }
    count
}

/// Some patches of the input, inside it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    /// Bytes from one patch to the next.
    pub step: usize,
    /// Bytes from one row of a patch to the next.
    pub pitch: usize,
    /// Bytes of a row.
    pub run: usize,
    /// Rows; none where the stage already has the patch.
    pub rows: usize,
    /// Bits that are turned over.
    pub flip: u32,
}
