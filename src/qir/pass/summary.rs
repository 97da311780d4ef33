//! What went, by layer and in all.

use serde::Serialize;

use crate::qir::{Op, Program};

/// Two programs side by side; pairs are `[before, after]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Multiply-accumulates of one inference.
    pub macs: [u64; 2],
    /// int8 weights.
    pub weights: [usize; 2],
    /// Layers.
    pub layers: [usize; 2],
    /// Channels of all tensors but the input.
    pub channels: [usize; 2],
    /// Layers that changed, in program order.
    pub changed: Vec<LayerChange>,
}

/// One layer that changed size or went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerChange {
    /// Its name.
    pub name: String,
    /// Channels of its output; 0 after: it went.
    pub channels: [usize; 2],
    /// Its multiply-accumulates.
    pub macs: [u64; 2],
}

impl Summary {
    /// Whether anything is smaller than it was.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty()
    }
}

pub(super) fn summary(before: &Program, after: &Program) -> Summary {
    let both = [before, after];
    let changed = before.layers.iter().filter_map(|layer| {
        let kept = after.layers.iter().find(|kept| kept.name == layer.name);
        let channels = |program: &Program, id| program.tensor(id).shape.c;
        let change = LayerChange {
            name: layer.name.clone(),
            channels: [channels(before, layer.output), kept.map_or(0, |kept| channels(after, kept.output))],
            macs: [before.layer_macs(layer), kept.map_or(0, |kept| after.layer_macs(kept))],
        };
        let same = change.channels[0] == change.channels[1] && change.macs[0] == change.macs[1];
        (!same).then_some(change)
    });
    Summary {
        macs: both.map(Program::macs),
        weights: both.map(weights),
        layers: both.map(|program| program.layers.len()),
        channels: both.map(|program| program.tensors.iter().skip(1).map(|t| t.shape.c).sum()),
        changed: changed.collect(),
    }
}

fn weights(program: &Program) -> usize {
    let of = |op: &Op| match op {
        Op::Conv(conv) | Op::Depthwise(conv) => conv.weights.len(),
        Op::Dense(dense) => dense.weights.len(),
        Op::Grouped(grouped) => grouped.conv.weights.len(),
        Op::Add(_)
        | Op::Gate(_)
        | Op::MaxPool(_)
        | Op::AvgPool(_)
        | Op::Concat
        | Op::Flatten
        | Op::Lookup(_)
        | Op::Adapt(_) => 0,
    };
    program.layers.iter().map(|layer| of(&layer.op)).sum()
}
