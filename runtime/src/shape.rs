//! Shapes, windows and the element types a kernel can read.

use core::ops::Range;

/// Shape of a tensor: rows, columns, channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hwc {
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
    /// Channels.
    pub c: usize,
}

impl Hwc {
    /// Index of the first channel at row `y`, column `x`.
    #[inline(always)]
    pub fn offset(&self, y: usize, x: usize) -> usize {
        y.wrapping_mul(self.w).wrapping_add(x).wrapping_mul(self.c)
    }
}

/// A sliding window; pairs are `[vertical, horizontal]`. Bottom and right padding follow from the output's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Taps.
    pub kernel: [usize; 2],
    /// Step.
    pub stride: [usize; 2],
    /// Distance between taps.
    pub dilation: [usize; 2],
    /// Padding above and to the left.
    pub pad: [usize; 2],
}

impl Window {
    /// Row and column of the first tap at output position `(y, x)`. In the padding above or to the left they
    /// wrap, so that `row < h` alone says whether a row is inside.
    #[inline(always)]
    pub fn origin(&self, y: usize, x: usize) -> [usize; 2] {
        [
            y.wrapping_mul(self.stride[0]).wrapping_sub(self.pad[0]),
            x.wrapping_mul(self.stride[1]).wrapping_sub(self.pad[1]),
        ]
    }

    /// Rows of an input of `height` rows that the output rows `rows` read, from the first to the last.
    #[inline(always)]
    pub fn rows_read(&self, rows: &Range<usize>, height: usize) -> Range<usize> {
        let extent = self.kernel[0]
            .saturating_sub(1)
            .wrapping_mul(self.dilation[0])
            .wrapping_add(1);
        let last = rows.end.saturating_sub(1).wrapping_mul(self.stride[0]);
        let start = rows
            .start
            .wrapping_mul(self.stride[0])
            .saturating_sub(self.pad[0]);
        let end = last
            .wrapping_add(extent)
            .saturating_sub(self.pad[0])
            .min(height);
        start.min(end)..end
    }

    /// The output rows `rows` as a layer of their own: the shapes of its input, which are the rows that
    /// [`Window::rows_read`] says, and of its output, and its window.
    #[inline(always)]
    pub fn band(&self, input: Hwc, output: Hwc, rows: &Range<usize>) -> (Hwc, Hwc, Window) {
        let read = self.rows_read(rows, input.h);
        let above = rows.start.wrapping_mul(self.stride[0]);
        let mut window = *self;
        window.pad[0] = self.pad[0].saturating_sub(above);
        (
            Hwc {
                h: read.end.wrapping_sub(read.start),
                ..input
            },
            Hwc {
                h: rows.end.wrapping_sub(rows.start),
                ..output
            },
            window,
        )
    }

    /// Whether all columns of a window that starts at column `left` are inside `width` and side by side.
    #[inline(always)]
    pub fn columns_contiguous(&self, left: usize, width: usize) -> bool {
        let end = left.wrapping_add(self.kernel[1]);
        (self.dilation[1] == 1 || self.kernel[1] == 1) && left < width && end <= width && left < end
    }
}

/// Of `count` places from `first` on, which may have wrapped: those before the first of `size`, the first inside, and
/// the number inside.
#[inline(never)]
pub fn clip(first: usize, count: usize, size: usize) -> (usize, usize, usize) {
    let before = if first < size {
        0
    } else {
        count.min(0_usize.wrapping_sub(first))
    };
    let begin = if first < size { first } else { 0 };
    let inside = count.wrapping_sub(before).min(size.wrapping_sub(begin));
    (before, begin, inside)
}

/// What a kernel may read: `i8` activations, or raw `u8` pixels, which stand for `pixel − 128`.
pub trait Element: Copy {
    /// Bits by which a value's byte and its quantized value's differ.
    const FLIP: u8;

    /// The quantized value.
    fn quantized(self) -> i32;
}

impl Element for i8 {
    const FLIP: u8 = 0;

    #[inline(always)]
    fn quantized(self) -> i32 {
        i32::from(self)
    }
}

impl Element for u8 {
    const FLIP: u8 = 0x80;

    #[inline(always)]
    fn quantized(self) -> i32 {
        i32::from(self) - 128
    }
}

/// Takes the first `count` values off `rest`; nothing, and nothing remains, where there are fewer.
///
/// The kernels walk by this and not by `chunks_exact`, which divides, and chips without a divider pay for it.
#[inline(always)]
pub fn take<'a, T>(rest: &mut &'a [T], count: usize) -> &'a [T] {
    let (head, tail) = rest.split_at_checked(count).unwrap_or((&[], &[]));
    *rest = tail;
    head
}

/// [`take`] of values to write.
#[inline(always)]
pub fn take_mut<'a, T>(rest: &mut &'a mut [T], count: usize) -> &'a mut [T] {
    let all = core::mem::take(rest);
    let (head, tail) = all
        .split_at_mut_checked(count)
        .unwrap_or((&mut [], &mut []));
    *rest = tail;
    head
}

/// Takes one position off `rest`, which holds `pitch` values for each, of the last one perhaps fewer: its first `channels`
/// values, none where there are fewer.
#[inline(always)]
pub fn take_pixel<'a>(rest: &mut &'a mut [i8], pitch: usize, channels: usize) -> &'a mut [i8] {
    let count = pitch.min(rest.len());
    take_mut(rest, count).get_mut(..channels).unwrap_or(&mut [])
}

/// Bytes from one position's outputs to the next one's at most: a few times as many do not wrap where pointers have 32 bits, so
/// that what is reckoned of them and held against a slice's length is true.
const MOST_PITCH: usize = 1 << 24;

/// Whether outputs of `channels` channels may lie `pitch` bytes apart.
#[inline(always)]
pub fn takes_pitch(pitch: usize, channels: usize) -> bool {
    channels <= pitch && pitch <= MOST_PITCH
}

/// How many positions, `pitch` values apart, `len` values hold, of the last one at least `channels` values.
#[inline(always)]
pub fn positions(len: usize, pitch: usize, channels: usize) -> usize {
    len.wrapping_add(pitch.wrapping_sub(channels)) / pitch.max(1)
}
