//! First-order Taylor: absolute gradient × activation.

use crate::attribute::measure::channel_sums_of_pairs;
use crate::attribute::{Measure, Target, seed};
use crate::diag::Result;
use crate::exec::{Activations, Float, Network};
use crate::ir::NodeId;

/// Σ |∂y/∂A · A| over samples and positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taylor {
    /// The score y of the class.
    pub target: Target,
    /// Classes that the target contrasts with; `None` is all.
    pub within: Option<Vec<usize>>,
}

impl<T: Float> Measure<T> for Taylor {
    fn chunk(
        &self,
        network: &Network<T>,
        acts: &Activations<T>,
        class: usize,
        points: &[NodeId],
    ) -> Result<Vec<Vec<f64>>> {
        let product = |g: T, a: T| {
            let v = g * a;
            if v < T::ZERO { -v } else { v }
        };
        let score = (class, self.target, self.within.as_deref());
        seed::point_sums(network, acts, score, points, |gradient, tensor| {
            channel_sums_of_pairs(gradient, tensor, product)
        })
    }
}
