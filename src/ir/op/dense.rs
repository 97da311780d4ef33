//! Fully connected layer.

use crate::diag::Diag;
use crate::ir::Shape;
use crate::ir::op::finite;

/// `y[o] = bias[o] + Σ weight[o, i] · x[i]` on a vector.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Dense {
    /// Outputs.
    pub out_features: usize,
    /// Inputs.
    pub in_features: usize,
    /// `[O, I]`.
    pub weight: Vec<f32>,
    /// `[O]`.
    pub bias: Vec<f32>,
}

impl Dense {
    pub(super) fn infer_shape(&self, input: Shape) -> Result<Shape, Diag> {
        if input != Shape::vector(self.in_features) {
            return Err(Diag::new("ir/shape", "dense layer on the wrong vector")
                .expected(Shape::vector(self.in_features), input));
        }
        Ok(Shape::vector(self.out_features))
    }

    pub(super) fn verify(&self) -> Result<(), Diag> {
        let want = self.out_features * self.in_features;
        if self.weight.len() != want || self.bias.len() != self.out_features {
            return Err(Diag::new("ir/length", "weight or bias length does not match the features").expected(
                format!("{want} and {}", self.out_features),
                format!("{} and {}", self.weight.len(), self.bias.len()),
            ));
        }
        finite("weight", &self.weight)?;
        finite("bias", &self.bias)
    }
}
