//! What each layer should give: values of the source network at the sampled positions.

use rayon::prelude::*;

use crate::assemble::Assembled;
use crate::diag::Result;
use crate::exec::{Batch, Network};
use crate::ir::op::{Affine, Op};
use crate::ir::{Graph, NodeId};
use crate::refit::Inputs;
use crate::refit::patches::{Aim, Layer, Plan, Rows, Unit};
use crate::refit::stream::{Stream, load};

/// Smallest scale of an affine map, relative to its largest, that a target is divided by.
const LEAST_SCALE: f32 = 1e-3;

/// One unit's values at a layer's positions, `[sample][position][channel]`.
type Values = Vec<f32>;

/// One layer's targets, one entry per unit.
pub(super) struct Target {
    /// What the layer should give: at first the source's result of the layer itself, after [`complete`] what is
    /// missing at a residual add.
    pub(super) own: Vec<Values>,
    /// At first the source's result of the residual add, after [`complete`] the add's other operand in the
    /// small network. Empty for [`Aim::Own`].
    pub(super) add: Vec<Values>,
}

/// Runs the source once over all units and keeps what the layers aim at.
pub(super) fn collect(source: &Graph, small: &Assembled, plan: &Plan, inputs: Inputs<'_>) -> Result<Vec<Target>> {
    let network = Network::<f32>::new(source)?;
    let per_unit: Vec<Result<Vec<[Values; 2]>>> = plan
        .units
        .par_iter()
        .map(|unit| {
            let acts = network.forward(&load(unit, inputs)?)?;
            let values = |layer: &Layer, id: NodeId| {
                let origin = &small.origins[id.index()];
                origin.source.map_or_else(Vec::new, |from| {
                    let tensor = acts.get(from);
                    at_positions(layer, unit, tensor, &origin.channels)
                })
            };
            let layers = plan.layers.iter().map(|layer| {
                let sum = match &layer.aim {
                    Aim::Own => Vec::new(),
                    Aim::Rest { add, .. } => values(layer, *add),
                };
                [values(layer, layer.from), sum]
            });
            Ok(layers.collect())
        })
        .collect();
    let mut targets: Vec<Target> = plan.layers.iter().map(|_| Target { own: Vec::new(), add: Vec::new() }).collect();
    for unit in per_unit {
        for (target, [own, sum]) in targets.iter_mut().zip(unit?) {
            target.own.push(own);
            target.add.push(sum);
        }
    }
    Ok(targets)
}

/// The final target of a layer, `[unit]`, now that the small network's other operand is known.
pub(super) fn complete(graph: &Graph, layer: &Layer, rows: &Rows<'_>, target: Target, stream: &Stream) -> Target {
    let Aim::Rest { add: _, other, affines } = &layer.aim else { return target };
    let channels = graph.shape(layer.node).c;
    let (scale, shift) = chain(graph, affines, channels);
    let least = scale.iter().fold(0.0f32, |m, s| m.max(s.abs())) * LEAST_SCALE;
    let others = stream.of(*other);
    let all: Vec<u32> = (0..channels as u32).collect();
    let Target { mut own, mut add } = target;
    own.par_iter_mut().zip(&mut add).enumerate().for_each(|(u, (own, sum))| {
        let other = at_positions(layer, &rows.units[u], &others[u], &all);
        for (i, (own, (sum, other))) in own.iter_mut().zip(sum.iter().zip(&other)).enumerate() {
            let c = i % channels;
            if scale[c].abs() > least {
                *own = (sum - other - shift[c]) / scale[c];
            }
        }
        *sum = other;
    });
    Target { own, add }
}

/// y = scale · x + shift: affine maps one after the other, as one.
pub(super) fn chain(graph: &Graph, affines: &[NodeId], channels: usize) -> (Vec<f32>, Vec<f32>) {
    let (mut scale, mut shift) = (vec![1.0f32; channels], vec![0.0f32; channels]);
    for &id in affines {
        if let Op::Affine(Affine { scale: a, shift: b }) = &graph.node(id).op {
            for c in 0..channels {
                (scale[c], shift[c]) = (scale[c] * a[c] as f32, shift[c] * a[c] as f32 + b[c] as f32);
            }
        }
    }
    (scale, shift)
}

/// `channels` of a tensor at a layer's positions.
pub(super) fn at_positions(layer: &Layer, unit: &Unit, tensor: &Batch<f32>, channels: &[u32]) -> Values {
    let mut values = Vec::new();
    for s in 0..tensor.n {
        for k in 0..layer.positions {
            let [y, x] = layer.position(unit, s, k);
            values.extend(channels.iter().map(|&c| tensor.plane(c as usize, s)[y * layer.width + x]));
        }
    }
    values
}
