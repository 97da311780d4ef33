//! Shapes, windows and the element types a kernel can read.

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

/// What a kernel may read: `i8` activations, or raw `u8` pixels, which stand for `pixel − 128`.
pub trait Element: Copy {
    /// The quantized value.
    fn quantized(self) -> i32;
}

impl Element for i8 {
    #[inline(always)]
    fn quantized(self) -> i32 {
        i32::from(self)
    }
}

impl Element for u8 {
    #[inline(always)]
    fn quantized(self) -> i32 {
        i32::from(self) - 128
    }
}
