//! What each layer should give: values of the source network at the sampled positions.

use std::ops::Range;

use rayon::prelude::*;

use crate::assemble::Assembled;
use crate::device::{self, Place};
use crate::diag::Result;
use crate::exec::{Batch, Network};
use crate::ir::op::{Affine, Op};
use crate::ir::{Graph, NodeId};
use crate::refit::Inputs;
use crate::refit::patches::{Aim, Layer, Plan, Rows, Unit};
use crate::refit::stream::{Stream, Tensors};

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
pub(super) fn collect(
    source: &Graph,
    small: &Assembled,
    plan: &Plan,
    inputs: Inputs<'_>,
    place: Place,
) -> Result<Vec<Target>> {
    // The source's node and channels that a node of the small network stands for.
    let origin = |id: NodeId| {
        let origin = &small.origins[id.index()];
        origin.source.map(|from| (from, origin.channels.as_slice()))
    };
    let per_unit: Vec<Vec<[Values; 2]>> = match device::Network::open(source, place)? {
        None => {
            let network = Network::<f32>::new(source)?;
            let unit = |unit: &Unit| {
                let acts = network.forward(&inputs(unit.range.clone())?)?;
                aims(plan, |layer, id| {
                    Ok(origin(id)
                        .map_or_else(Vec::new, |(from, channels)| at_positions(layer, unit, acts.get(from), channels)))
                })
            };
            let units: Vec<Result<Vec<[Values; 2]>>> = plan.units.par_iter().map(unit).collect();
            units.into_iter().collect::<Result<_>>()?
        }
        Some(network) => {
            let unit = |unit: &Unit| {
                let all = inputs(unit.range.clone())?;
                let parts = network.in_batches(unit.range.len(), |samples| {
                    let acts = network.forward(select(&all, samples.clone())?)?;
                    aims(plan, |layer, id| {
                        let Some((from, channels)) = origin(id) else { return Ok(Vec::new()) };
                        acts.values(from).at(channels, &layer.offsets(unit, samples.clone()))
                    })
                })?;
                // Values go sample by sample, so those of parts of a unit follow each other.
                let mut whole = vec![[Values::new(), Values::new()]; plan.layers.len()];
                for part in parts {
                    for ([own, sum], [own_part, sum_part]) in whole.iter_mut().zip(part) {
                        own.extend(own_part);
                        sum.extend(sum_part);
                    }
                }
                Ok(whole)
            };
            plan.units.iter().map(unit).collect::<Result<_>>()?
        }
    };
    let mut targets: Vec<Target> = plan.layers.iter().map(|_| Target { own: Vec::new(), add: Vec::new() }).collect();
    for unit in per_unit {
        for (target, [own, sum]) in targets.iter_mut().zip(unit) {
            target.own.push(own);
            target.add.push(sum);
        }
    }
    Ok(targets)
}

/// What every layer of `plan` aims at, by `values` at the positions of a layer of a node of the small network.
fn aims(plan: &Plan, values: impl Fn(&Layer, NodeId) -> Result<Values>) -> Result<Vec<[Values; 2]>> {
    let layers = plan.layers.iter().map(|layer| {
        let sum = match &layer.aim {
            Aim::Own => Vec::new(),
            Aim::Rest { add, .. } => values(layer, *add)?,
        };
        Ok([values(layer, layer.from)?, sum])
    });
    layers.collect()
}

/// Some samples of a batch.
fn select(batch: &Batch<f32>, samples: Range<usize>) -> Result<Batch<f32>> {
    let plane = batch.shape.plane();
    let of = |c: usize| batch.channel(c)[samples.start * plane..samples.end * plane].iter().copied();
    Batch::new(batch.shape, samples.len(), (0..batch.shape.c).flat_map(of).collect())
}

/// The final target of a layer, `[unit]`, now that the small network's other operand is known.
pub(super) fn complete(
    graph: &Graph,
    layer: &Layer,
    rows: &Rows<'_>,
    target: Target,
    stream: &Stream,
) -> Result<Target> {
    let Aim::Rest { add: _, other, affines } = &layer.aim else { return Ok(target) };
    let channels = graph.shape(layer.node).c;
    let (scale, shift) = chain(graph, affines, channels);
    let least = scale.iter().fold(0.0f32, |m, s| m.max(s.abs())) * LEAST_SCALE;
    let all: Vec<u32> = (0..channels as u32).collect();
    let others = everywhere(layer, rows.units, stream.of(*other), &all)?;
    let Target { mut own, mut add } = target;
    own.par_iter_mut().zip(&mut add).zip(others).for_each(|((own, sum), other)| {
        for (i, (own, (sum, other))) in own.iter_mut().zip(sum.iter().zip(&other)).enumerate() {
            let c = i % channels;
            if scale[c].abs() > least {
                *own = (sum - other - shift[c]) / scale[c];
            }
        }
        *sum = other;
    });
    Ok(Target { own, add })
}

/// `channels` of a tensor of the stream at a layer's positions, `[unit]`.
pub(super) fn everywhere(layer: &Layer, units: &[Unit], tensors: &Tensors, channels: &[u32]) -> Result<Vec<Values>> {
    match tensors {
        Tensors::Host(batches) => {
            let unit = |(unit, batch): (&Unit, &Batch<f32>)| at_positions(layer, unit, batch, channels);
            Ok(units.par_iter().zip(batches).map(unit).collect())
        }
        Tensors::Device(values) => {
            let unit = |(unit, values): (&Unit, &device::Values)| {
                values.at(channels, &layer.offsets(unit, 0..unit.range.len()))
            };
            units.iter().zip(values).map(unit).collect()
        }
    }
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
