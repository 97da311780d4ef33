//! Joins two clips in a row into the second, where nothing else reads the first.

use crate::ir::Graph;
use crate::ir::op::{Clip, Op};
use crate::ir::pass::only_reader;

pub(super) fn run(graph: &mut Graph) {
    for id in graph.ids() {
        let Op::Clip(outer) = graph.node(id).op else { continue };
        let first = graph.node(id).inputs[0];
        let Op::Clip(inner) = graph.node(first).op else { continue };
        let joined = Clip { lo: inner.lo.max(outer.lo), hi: inner.hi.min(outer.hi) };
        // Disjoint ranges give a constant, which no clip expresses.
        if joined.lo < joined.hi && only_reader(graph, first) == Some(id) {
            let input = graph.node(first).inputs[0];
            let node = &mut graph.nodes[id.index()];
            node.op = Op::Clip(joined);
            node.inputs[0] = input;
        }
    }
}
