//! Per-channel affine map: batch norm at inference, and arithmetic with constants.

use crate::diag::Diag;
use crate::ir::Shape;
use crate::ir::op::finite;

/// `y[c] = scale[c] · x[c] + shift[c]`.
///
/// In f64, because a batch norm's scale and shift are computed from its four parameters: rounding them before
/// they are folded into a layer would round twice, and gradients in f64 would be exact to f32 only.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Affine {
    /// `[C]`.
    pub scale: Vec<f64>,
    /// `[C]`.
    pub shift: Vec<f64>,
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
        finite("scale", &narrow(&self.scale))?;
        finite("shift", &narrow(&self.shift))
    }
}

/// As layers will hold them: values beyond f32 count as infinite.
fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}
