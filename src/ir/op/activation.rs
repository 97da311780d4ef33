//! Activations with parameters.

use crate::diag::Diag;

/// `min(max(x, lo), hi)`; infinite bounds are allowed.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Clip {
    /// Lower bound.
    pub lo: f32,
    /// Upper bound.
    pub hi: f32,
}

impl Clip {
    pub(super) fn verify(self) -> Result<(), Diag> {
        if self.lo < self.hi {
            return Ok(());
        }
        Err(Diag::new("ir/clip", "clip bounds are empty or not numbers")
            .expected("lo < hi", format!("{} and {}", self.lo, self.hi)))
    }
}

/// `x` if `x > 0`, else `alpha·x`.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LeakyRelu {
    /// Slope below zero.
    pub alpha: f32,
}

/// `min(max(alpha·x + beta, 0), 1)`.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct HardSigmoid {
    /// Slope.
    pub alpha: f32,
    /// Offset.
    pub beta: f32,
}
