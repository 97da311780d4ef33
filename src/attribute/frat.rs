//! Feature route attribution: positive gradients of the class's score.

use crate::attribute::measure::{channel_sums, channel_sums_of_pairs};
use crate::attribute::{Measure, Target, seed};
use crate::diag::Result;
use crate::exec::{Activations, Float, Network};
use crate::ir::NodeId;

/// Σ max(∂y/∂A, 0) over samples and positions, elementwise before summing; `weighted` multiplies each by |A|.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frat {
    /// The score y of the class.
    pub target: Target,
    /// Whether each positive gradient counts as much as its activation is large.
    pub weighted: bool,
    /// Classes that the target contrasts with; `None` is all.
    pub within: Option<Vec<usize>>,
}

impl<T: Float> Measure<T> for Frat {
    fn chunk(
        &self,
        network: &Network<T>,
        acts: &Activations<T>,
        class: usize,
        points: &[NodeId],
    ) -> Result<Vec<Vec<f64>>> {
        let positive = |g: T| if g > T::ZERO { g } else { T::ZERO };
        let score = (class, self.target, self.within.as_deref());
        seed::point_sums(network, acts, score, points, |gradient, tensor| {
            if !self.weighted {
                return channel_sums(gradient, positive);
            }
            channel_sums_of_pairs(gradient, tensor, |g, a| {
                let a = if a < T::ZERO { -a } else { a };
                positive(g) * a
            })
        })
    }
}
