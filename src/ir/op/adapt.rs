//! Whole pixel values brought to another size and to grey, in integers.

use crate::diag::Diag;
use crate::ir::Shape;

/// Shares of red, green and blue in grey: those of ITU-R BT.601, in steps of 1/128.
const GREY: [usize; 3] = [38, 75, 15];

/// Largest side of a block: sums stay exact in f32, and far from 2³².
pub const LARGEST_BLOCK: usize = 16;

/// The mean over blocks of pixels inside a part of the input, channel by channel or as grey.
///
/// For whole pixel values p, with shares w (38, 75 and 15 of red, green and blue, or 1 of the own channel) and divisor
/// D = block² · Σw, the result at row y and column x is `⌊(Σ w·p + ⌊D/2⌋) / D⌋`, the sum over `block` rows from
/// `first[0] + y·block` and as many columns from `first[1] + x·block`: the exact mean, rounded half up, a whole pixel
/// value again. The device computes the same number. Gradients pass as through the mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Adapt {
    /// Input pixels per output pixel, along each side.
    pub block: usize,
    /// Row and column of the input where the first block begins.
    pub first: [usize; 2],
    /// Rows and columns of the result.
    pub size: [usize; 2],
    /// Whether red, green and blue become grey.
    pub grey: bool,
}

impl Adapt {
    /// What the channels read for one output channel count for: three, or the own.
    pub fn shares(&self) -> &'static [usize] {
        if self.grey { &GREY } else { &[1] }
    }

    /// What sums are divided by.
    pub fn divisor(&self) -> usize {
        self.block * self.block * self.shares().iter().sum::<usize>()
    }

    pub(super) fn infer_shape(&self, input: Shape) -> Result<Shape, Diag> {
        let [h, w] = [0, 1].map(|axis| self.first[axis] + self.block * self.size[axis]);
        if h > input.h || w > input.w || (self.grey && input.c != GREY.len()) {
            return Err(Diag::new("ir/shape", "the part to adapt does not lie in the input")
                .expected(format!("at least {h} rows of {w}{}", if self.grey { ", 3 channels" } else { "" }), input));
        }
        Ok(Shape { c: if self.grey { 1 } else { input.c }, h: self.size[0], w: self.size[1] })
    }

    pub(super) fn verify(&self) -> Result<(), Diag> {
        if (1..=LARGEST_BLOCK).contains(&self.block) {
            return Ok(());
        }
        Err(Diag::new("ir/adapt", "a block of pixels has a side out of range")
            .expected(format!("1 to {LARGEST_BLOCK}"), self.block))
    }
}
