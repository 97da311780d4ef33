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
        let grads = seed::gradients(network, acts, class, self.target, self.within.as_deref())?;
        let positive = |g: T| if g > T::ZERO { g } else { T::ZERO };
        let sums = |&id: &NodeId| match grads.node(id) {
            Some(g) if self.weighted => channel_sums_of_pairs(g, acts.get(id), |g, a| {
                let a = if a < T::ZERO { -a } else { a };
                positive(g) * a
            }),
            Some(g) => channel_sums(g, positive),
            None => vec![0.0; acts.get(id).shape.c],
        };
        Ok(points.iter().map(sums).collect())
    }
}
