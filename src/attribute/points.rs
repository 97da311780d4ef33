//! Route points: the tensors at which a channel group is scored.
//!
//! Seen from each parameter layer's input, the nearest tensor before it that is not merely pooled, padded,
//! reshaped or concatenated: an activation's result, or where there is none, the sum, gate, affine map or
//! layer that made the values. Pooling and flattening pass the same gradient on, so nothing is counted there.

use std::collections::BTreeSet;

use crate::ir::groups::{GroupKind, Groups};
use crate::ir::op::Op;
use crate::ir::{Graph, NodeId};

/// Per channel group, in group order, its route points in graph order. The input's and the head's groups have
/// none: neither is ever cut by a score.
pub fn route_points(graph: &Graph, groups: &Groups) -> Vec<Vec<NodeId>> {
    let mut points = BTreeSet::new();
    for node in &graph.nodes {
        if matches!(node.op, Op::Conv(_) | Op::Dense(_)) {
            collect(graph, node.inputs[0], &mut points);
        }
    }
    let holds = |id: NodeId, group: usize| groups.of(id).iter().any(|c| c.group.index() == group);
    groups
        .groups
        .iter()
        .enumerate()
        .map(|(i, group)| match group.kind {
            GroupKind::Input | GroupKind::Head | GroupKind::Frozen => Vec::new(),
            GroupKind::Hidden => {
                let found: Vec<NodeId> = points.iter().copied().filter(|&id| holds(id, i)).collect();
                // A group that no layer reads is scored where it is made.
                if found.is_empty() { group.producers.clone() } else { found }
            }
        })
        .collect()
}

fn collect(graph: &Graph, id: NodeId, points: &mut BTreeSet<NodeId>) {
    let node = graph.node(id);
    match node.op {
        Op::MaxPool(_) | Op::AvgPool(_) | Op::GlobalAvgPool | Op::Flatten | Op::Pad(_) | Op::Concat => {
            for &input in &node.inputs {
                collect(graph, input, points);
            }
        }
        Op::Input | Op::Adapt(_) => {}
        Op::Conv(_)
        | Op::Dense(_)
        | Op::Affine(_)
        | Op::Relu
        | Op::Clip(_)
        | Op::LeakyRelu(_)
        | Op::Sigmoid
        | Op::HardSigmoid(_)
        | Op::HardSwish
        | Op::Add
        | Op::Gate
        | Op::Softmax => {
            points.insert(id);
        }
    }
}
