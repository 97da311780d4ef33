//! Absolute activation.

use crate::attribute::Measure;
use crate::attribute::measure::channel_sums;
use crate::diag::Result;
use crate::exec::{Activations, Float, Network};
use crate::ir::NodeId;

/// Σ |A| over samples and positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activation;

impl<T: Float> Measure<T> for Activation {
    fn chunk(
        &self,
        _network: &Network<T>,
        acts: &Activations<T>,
        _class: usize,
        points: &[NodeId],
    ) -> Result<Vec<Vec<f64>>> {
        let size = |v: T| if v < T::ZERO { -v } else { v };
        Ok(points.iter().map(|&id| channel_sums(acts.get(id), size)).collect())
    }
}
