//! A constant border.

use crate::diag::Diag;
use crate::ir::Shape;
use crate::ir::op::finite;

/// Adds rows and columns of `value`.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Pad {
    /// `[top, left, bottom, right]`.
    pub pad: [usize; 4],
    /// The border's value.
    pub value: f32,
}

impl Pad {
    pub(super) fn infer_shape(self, input: Shape) -> Shape {
        let [top, left, bottom, right] = self.pad;
        Shape { c: input.c, h: input.h + top + bottom, w: input.w + left + right }
    }

    pub(super) fn verify(self) -> Result<(), Diag> {
        finite("pad value", &[self.value])
    }
}
