//! Decides which nodes become one layer, and which tensors share one scale.
//!
//! ReLU and Clip join the layer before them where they are its only reader: they cost nothing there, since
//! every layer clamps its result anyway. Max pooling, concatenation and flattening copy integers, so their
//! inputs and outputs share scale and zero point.

use crate::ir::op::Op;
use crate::ir::{Graph, NodeId};

/// Real values that a layer's result is clamped to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds {
    /// Smallest.
    pub lo: f64,
    /// Largest.
    pub hi: f64,
}

impl Bounds {
    /// No bounds.
    pub const NONE: Self = Self { lo: f64::NEG_INFINITY, hi: f64::INFINITY };

    /// These bounds followed by a clamp to `lo..hi`.
    fn then(self, lo: f64, hi: f64) -> Self {
        Self { lo: self.lo.max(lo).min(hi), hi: self.hi.max(lo).min(hi) }
    }
}

/// One layer to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stage {
    /// The node that computes.
    pub node: NodeId,
    /// The last activation that was joined to it, else `node`: the tensor that is stored.
    pub output: NodeId,
    /// What the joined activations clamp to.
    pub bounds: Bounds,
}

/// The layers of `graph` in execution order. The input is none, nor are views of it (affines), nor is a flatten unless it
/// `moves` values.
pub(super) fn stages(graph: &Graph, moves: &[bool]) -> Vec<Stage> {
    let consumers = graph.consumers();
    let mut joined = vec![false; graph.nodes.len()];
    let mut stages = Vec::new();
    for id in graph.ids() {
        let op = &graph.node(id).op;
        let stored = match op {
            Op::Input | Op::Affine(_) => false,
            Op::Flatten => moves[id.index()],
            _ => true,
        };
        if joined[id.index()] || !stored {
            continue;
        }
        let mut stage = Stage { node: id, output: id, bounds: Bounds::NONE };
        let clamps = matches!(
            op,
            Op::Conv(_) | Op::Dense(_) | Op::Add | Op::Gate | Op::AvgPool(_) | Op::GlobalAvgPool | Op::Pad(_)
        );
        if clamps {
            while stage.output != graph.output {
                let [reader] = consumers[stage.output.index()].as_slice() else { break };
                stage.bounds = match graph.node(*reader).op {
                    Op::Relu => stage.bounds.then(0.0, f64::INFINITY),
                    Op::Clip(clip) => stage.bounds.then(f64::from(clip.lo), f64::from(clip.hi)),
                    _ => break,
                };
                joined[reader.index()] = true;
                stage.output = *reader;
            }
        }
        stages.push(stage);
    }
    stages
}

/// For each node, the first node of those that share its scale and zero point.
pub(super) fn unify(graph: &Graph) -> Vec<NodeId> {
    let mut parent: Vec<usize> = (0..graph.nodes.len()).collect();
    for id in graph.ids() {
        let node = graph.node(id);
        if passes_through(&node.op) {
            for input in &node.inputs {
                let (a, b) = (root(&parent, id.index()), root(&parent, input.index()));
                parent[a.max(b)] = a.min(b);
            }
        }
    }
    (0..parent.len()).map(|i| NodeId(root(&parent, i) as u32)).collect()
}

/// Whether the operator copies stored integers.
pub(super) fn passes_through(op: &Op) -> bool {
    matches!(op, Op::MaxPool(_) | Op::Concat | Op::Flatten)
}

fn root(parent: &[usize], mut i: usize) -> usize {
    while parent[i] != i {
        i = parent[i];
    }
    i
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Shape;
    use crate::ir::op::{Clip, Conv, MaxPool, Window};

    fn pointwise(channels: usize) -> Op {
        Op::Conv(Conv {
            out_channels: channels,
            in_channels: channels,
            groups: 1,
            window: Window::new([1, 1]),
            weight: vec![0.5; channels * channels],
            bias: vec![0.0; channels],
        })
    }

    fn pool(size: usize) -> Op {
        Op::MaxPool(MaxPool { window: Window::new([size, size]) })
    }

    #[test]
    fn copies_share_a_scale_and_branches_of_a_concat_join() {
        let mut graph = Graph::new("input", Shape::new(2, 4, 4));
        let a = graph.push("a", pointwise(2), &[NodeId(0)]).expect("valid");
        let b = graph.push("b", pointwise(2), &[NodeId(0)]).expect("valid");
        let c = graph.push("c", pointwise(2), &[a]).expect("valid");
        let pooled = graph.push("pool", pool(1), &[b]).expect("valid");
        let joined = graph.push("cat", Op::Concat, &[a, pooled]).expect("valid");
        let flat = graph.push("flat", Op::Flatten, &[joined]).expect("valid");
        let roots = unify(&graph);
        for id in [a, b, pooled, joined, flat] {
            assert_eq!(roots[id.index()], a);
        }
        assert_eq!(roots[c.index()], c);
    }

    #[test]
    fn an_activation_joins_its_only_producer() {
        let mut graph = Graph::new("input", Shape::new(2, 4, 4));
        let a = graph.push("a", pointwise(2), &[NodeId(0)]).expect("valid");
        let relu = graph.push("relu", Op::Relu, &[a]).expect("valid");
        let clip = graph.push("clip", Op::Clip(Clip { lo: -1.0, hi: 6.0 }), &[relu]).expect("valid");
        let b = graph.push("b", pointwise(2), &[clip]).expect("valid");
        let shared = graph.push("shared", Op::Relu, &[b]).expect("valid");
        let sum = graph.push("sum", Op::Add, &[b, shared]).expect("valid");
        let got = stages(&graph, &vec![false; graph.nodes.len()]);
        let nodes: Vec<(NodeId, NodeId)> = got.iter().map(|s| (s.node, s.output)).collect();
        assert_eq!(nodes, [(a, clip), (b, b), (shared, shared), (sum, sum)]);
        assert_eq!(got[0].bounds, Bounds { lo: 0.0, hi: 6.0 });
    }
}
