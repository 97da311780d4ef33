//! L1 norm of the weights that make a channel: no samples, the same for every class.

use crate::ir::Graph;
use crate::ir::groups::Groups;
use crate::ir::op::Op;

/// Per group, per channel.
pub(super) fn scores(graph: &Graph, groups: &Groups) -> Vec<Vec<f64>> {
    let mut scores: Vec<Vec<f64>> = groups.groups.iter().map(|g| vec![0.0; g.channels]).collect();
    for id in graph.ids() {
        let (weight, fan_in) = match &graph.node(id).op {
            Op::Conv(conv) => (&conv.weight, conv.fan_in()),
            Op::Dense(dense) => (&dense.weight, dense.in_features),
            _ => continue,
        };
        for (channel, row) in groups.of(id).iter().zip(weight.chunks_exact(fan_in)) {
            let norm: f64 = row.iter().map(|&w| f64::from(w.abs())).sum();
            scores[channel.group.index()][channel.index as usize] += norm;
        }
    }
    scores
}
