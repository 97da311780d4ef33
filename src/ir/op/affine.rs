//! Per-channel affine map: batch norm at inference, and arithmetic with constants.

use crate::diag::Diag;
use crate::ir::Shape;
use crate::ir::op::finite;

/// `y[c] = scale[c] · x[c] + shift[c]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Affine {
    /// `[C]`.
    pub scale: Vec<f32>,
    /// `[C]`.
    pub shift: Vec<f32>,
}

impl Affine {
    pub(super) fn infer_shape(&self, input: Shape) -> Result<Shape, Diag> {
        if input.c != self.scale.len() {
            return Err(Diag::new("ir/shape", "wrong number of channels").expected(self.scale.len(), input.c));
        }
        Ok(input)
    }

    pub(super) fn verify(&self) -> Result<(), Diag> {
        if self.scale.len() != self.shift.len() {
            return Err(
                Diag::new("ir/length", "scale and shift differ in length").expected(self.scale.len(), self.shift.len())
            );
        }
        finite("scale", &self.scale)?;
        finite("shift", &self.shift)
    }
}
