//! Affine maps that stand for a residual add or a gate whose other operand vanished.
//!
//! Where the add's left operand is a layer that nothing else reads, that layer is fitted to the whole sum. Elsewhere
//! (the shortcut of a block that went) each channel gets the scale and shift that bring it nearest to what the source
//! has there.

use crate::assemble::Assembled;
use crate::diag::Result;
use crate::ir::op::{Affine, Op};
use crate::ir::{Graph, NodeId};
use crate::refit::LayerFit;
use crate::refit::patches::{Layer, Rows};
use crate::refit::stream::Tensors;
use crate::refit::targets::{Target, everywhere};

/// Whether node `id` of the small network maps what the source adds to or gates.
pub(super) fn is_stand_in(source: &Graph, small: &Assembled, id: NodeId) -> bool {
    let origin = small.origins[id.index()].source;
    let other = |from: NodeId| matches!(source.node(from).op, Op::Add | Op::Gate);
    matches!(small.graph.node(id).op, Op::Affine(_)) && origin.is_some_and(other)
}

/// The stand-in for an add that alone reads the layer `layer`, if there is one.
pub(super) fn sum_of(source: &Graph, small: &Assembled, consumers: &[Vec<NodeId>], layer: NodeId) -> Option<NodeId> {
    let [reader] = consumers[layer.index()][..] else { return None };
    let adds = small.origins[reader.index()].source.is_some_and(|from| source.node(from).op == Op::Add);
    (adds && is_stand_in(source, small, reader)).then_some(reader)
}

/// n, Σx, Σt, Σxx, Σxt, Σtt of one channel.
pub(super) type ChannelSums = [f64; 6];

/// Adds rows of inputs and targets, `[row][channel]`, to the sums of the channels.
pub(super) fn add_to(sums: &mut [ChannelSums], inputs: &[f32], targets: &[f32]) {
    let channels = sums.len();
    for (i, (x, t)) in inputs.iter().zip(targets).enumerate() {
        let (x, t) = (f64::from(*x), f64::from(*t));
        let terms = [1.0, x, t, x * x, x * t, t * t];
        sums[i % channels].iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
    }
}

/// The scale and shift of every channel that bring its inputs nearest to its targets; the squared errors with a shift
/// alone and with both, and the targets' sum of squares about their means.
pub(super) fn solve<'a>(sums: impl Iterator<Item = &'a ChannelSums>) -> (Affine, [f64; 3]) {
    let mut affine = Affine { scale: Vec::new(), shift: Vec::new() };
    let mut errors = [0.0; 3];
    for &[n, x, t, xx, xt, tt] in sums {
        let n = n.max(1.0);
        let (mean_x, mean_t) = (x / n, t / n);
        let spread = [xx - x * mean_x, xt - x * mean_t, tt - t * mean_t];
        let scale = if spread[0] > 1e-9 * xx.max(1e-30) { spread[1] / spread[0] } else { 1.0 };
        affine.scale.push(scale);
        affine.shift.push(mean_t - scale * mean_x);
        errors[0] += spread[2] - 2.0 * spread[1] + spread[0];
        errors[1] += spread[2] - 2.0 * scale * spread[1] + scale * scale * spread[0];
        errors[2] += spread[2];
    }
    (affine, errors)
}

/// Fits the affine map `layer` of inputs `x`.
pub(super) fn fit(
    layer: &Layer,
    rows: &Rows<'_>,
    x: &Tensors,
    channels: usize,
    target: &Target,
    name: &str,
) -> Result<(Affine, LayerFit)> {
    let all: Vec<u32> = (0..channels as u32).collect();
    let mut sums = vec![ChannelSums::default(); channels];
    for (values, wanted) in everywhere(layer, rows.units, x, &all)?.iter().zip(&target.own) {
        add_to(&mut sums, values, wanted);
    }
    let (affine, [shifted, left, variance]) = solve(sums.iter());
    let relative = |error: f64| if variance > 0.0 { (error / variance).max(0.0) } else { 0.0 };
    let fit = LayerFit {
        name: name.to_string(),
        ridge: 0.0,
        rows: rows.count(),
        error_sliced: relative(shifted),
        error: relative(left),
    };
    Ok((affine, fit))
}
