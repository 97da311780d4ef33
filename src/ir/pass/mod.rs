//! Exact simplifications of the float graph.
//!
//! In: any verified graph, as a rule straight from `load`. Out: a verified graph that computes the same scores
//! up to float rounding, with the names of all activations that remain. Parameters counted afterwards are the
//! weights and biases with batch norms folded.
//!
//! The passes, in the order they run:
//! 1. `drop_identity`: fewer nodes for the rest to look through;
//! 2. `merge_clip`: exporters write `Clip` as `Max` and `Min`;
//! 3. `merge_pad`: before affine maps are folded, because a convolution that gains padding may no longer take an
//!    affine map in front of it (the border is zero after that map, not before it);
//! 4. `fold_affine`: batch norms and arithmetic into the neighbouring weights;
//! 5. `drop_identity` once more: affine maps that cancelled each other.

mod drop_identity;
mod fold_affine;
mod merge_clip;
mod merge_pad;

use crate::diag::Result;
use crate::ir::op::Op;
use crate::ir::{Graph, NodeId};

/// One pass: edits a verified graph into a verified one; may leave dead nodes.
type Pass = fn(&mut Graph);

const PASSES: &[Pass] = &[drop_identity::run, merge_clip::run, merge_pad::run, fold_affine::run, drop_identity::run];

/// Runs every pass, verifying before the first and after each.
///
/// Errors: `ir/…` if the graph is not valid to begin with.
pub fn simplify(mut graph: Graph) -> Result<Graph> {
    graph.verify()?;
    for pass in PASSES {
        pass(&mut graph);
        graph.prune_dead();
        graph.verify()?;
    }
    Ok(graph)
}

/// Makes everything that reads `from` read `to` instead; `from` then reads nothing and is dead.
fn redirect(graph: &mut Graph, from: NodeId, to: NodeId) {
    graph.nodes[from.index()].inputs.clear();
    for node in &mut graph.nodes {
        for input in &mut node.inputs {
            if *input == from {
                *input = to;
            }
        }
    }
    if graph.output == from {
        graph.output = to;
    }
}

/// Nodes that read `id`; the output counts as one more reader, itself.
fn readers(graph: &Graph, id: NodeId) -> Vec<NodeId> {
    let mut readers: Vec<NodeId> = graph.ids().filter(|&n| graph.node(n).inputs.contains(&id)).collect();
    if graph.output == id {
        readers.push(id);
    }
    readers
}

/// The only node that reads `id`, if there is exactly one and `id` is not the output.
fn only_reader(graph: &Graph, id: NodeId) -> Option<NodeId> {
    match readers(graph, id).as_slice() {
        [reader] if *reader != id => Some(*reader),
        _ => None,
    }
}

/// For each tensor, whether its values are never negative.
fn non_negative(graph: &Graph) -> Vec<bool> {
    let mut known: Vec<bool> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let all = node.inputs.iter().all(|i| known[i.index()]);
        known.push(match &node.op {
            Op::Relu | Op::Sigmoid | Op::HardSigmoid(_) | Op::Softmax => true,
            Op::Clip(clip) => clip.lo >= 0.0 || (all && clip.hi >= 0.0),
            Op::Pad(pad) => all && pad.value >= 0.0,
            Op::LeakyRelu(_)
            | Op::HardSwish
            | Op::Add
            | Op::Gate
            | Op::Concat
            | Op::MaxPool(_)
            | Op::AvgPool(_)
            | Op::GlobalAvgPool
            | Op::Adapt(_)
            | Op::Flatten => all,
            Op::Input | Op::Conv(_) | Op::Dense(_) | Op::Affine(_) => false,
        });
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Shape;
    use crate::ir::op::{Affine, AvgPool, Clip, Conv, Dense, MaxPool, Pad, Window};

    fn conv(name: &str, graph: &mut Graph, from: NodeId, out: usize, pad: usize) -> NodeId {
        let c = graph.shape(from).c;
        let window = Window { pad: [pad; 4], ..Window::new([3, 3]) };
        let weight = (0..out * c * 9).map(|i| (i as f32 * 0.7).sin()).collect();
        let conv = Conv { out_channels: out, in_channels: c, groups: 1, window, weight, bias: vec![0.25; out] };
        graph.push(name, Op::Conv(conv), &[from]).expect("fits")
    }

    fn affine(name: &str, graph: &mut Graph, from: NodeId, scale: f32, shift: f32) -> NodeId {
        let c = graph.shape(from).c;
        let affine = Affine { scale: vec![f64::from(scale); c], shift: vec![f64::from(shift); c] };
        graph.push(name, Op::Affine(affine), &[from]).expect("fits")
    }

    fn dense(name: &str, graph: &mut Graph, from: NodeId, out: usize) -> NodeId {
        let n = graph.shape(from).c;
        let weight = (0..out * n).map(|i| (i as f32).cos()).collect();
        let dense = Dense { out_features: out, in_features: n, weight, bias: vec![0.5; out] };
        graph.push(name, Op::Dense(dense), &[from]).expect("fits")
    }

    fn check(graph: Graph, expect: &[&str]) -> Graph {
        let simple = simplify(graph).expect("valid");
        let text: Vec<String> = simple.nodes.iter().map(|n| format!("{} {}", n.op.name(), n.name)).collect();
        assert_eq!(text, expect);
        simple
    }

    #[test]
    fn batch_norm_goes_into_the_convolution_and_keeps_the_relus_name() {
        let mut g = Graph::new("x", Shape::new(2, 8, 8));
        let c = conv("conv", &mut g, NodeId(0), 3, 1);
        let bn = affine("bn", &mut g, c, 2.0, 1.0);
        let relu = g.push("relu", Op::Relu, &[bn]).expect("fits");
        let pool = g.push("pool", Op::GlobalAvgPool, &[relu]).expect("fits");
        dense("fc", &mut g, pool, 4);
        let weights = g.params();
        let simple = check(g, &["Input x", "Conv conv", "Relu relu", "GlobalAvgPool pool", "Dense fc"]);
        assert_eq!(simple.params(), weights - 6);
        let Op::Conv(conv) = &simple.nodes[1].op else { unreachable!("checked above") };
        assert_eq!(conv.bias, [1.5; 3]);
    }

    #[test]
    fn an_affine_map_in_front_of_padding_stays() {
        let mut g = Graph::new("x", Shape::new(2, 8, 8));
        let a = affine("norm", &mut g, NodeId(0), 2.0, 1.0);
        let c = conv("conv", &mut g, a, 3, 1);
        g.push("pool", Op::GlobalAvgPool, &[c]).expect("fits");
        check(g, &["Input x", "Affine norm", "Conv conv", "GlobalAvgPool pool"]);
        let mut g = Graph::new("x", Shape::new(2, 8, 8));
        let a = affine("norm", &mut g, NodeId(0), 2.0, 1.0);
        let c = conv("conv", &mut g, a, 3, 0);
        g.push("pool", Op::GlobalAvgPool, &[c]).expect("fits");
        check(g, &["Input x", "Conv conv", "GlobalAvgPool pool"]);
    }

    #[test]
    fn an_affine_map_goes_through_flatten_into_the_dense_layer() {
        let mut g = Graph::new("x", Shape::new(2, 3, 3));
        let r = g.push("relu", Op::Relu, &[NodeId(0)]).expect("fits");
        let a = affine("bn", &mut g, r, 2.0, 1.0);
        let f = g.push("flat", Op::Flatten, &[a]).expect("fits");
        dense("fc", &mut g, f, 4);
        check(g, &["Input x", "Relu relu", "Flatten flat", "Dense fc"]);
    }

    #[test]
    fn a_shared_convolution_keeps_its_batch_norm() {
        let mut g = Graph::new("x", Shape::new(2, 4, 4));
        let c = conv("conv", &mut g, NodeId(0), 2, 1);
        let bn = affine("bn", &mut g, c, 2.0, 1.0);
        let sum = g.push("add", Op::Add, &[c, bn]).expect("fits");
        g.push("pool", Op::GlobalAvgPool, &[sum]).expect("fits");
        check(g, &["Input x", "Conv conv", "Affine bn", "Add add", "GlobalAvgPool pool"]);
    }

    #[test]
    fn zero_padding_merges_where_it_is_exact() {
        let pooled = |relu: bool, window: Window| {
            let mut g = Graph::new("x", Shape::new(2, 6, 6));
            let mut x = NodeId(0);
            if relu {
                x = g.push("relu", Op::Relu, &[x]).expect("fits");
            }
            x = g.push("pad", Op::Pad(Pad { pad: [1; 4], value: 0.0 }), &[x]).expect("fits");
            let m = g.push("max", Op::MaxPool(MaxPool { window }), &[x]).expect("fits");
            g.push("pool", Op::GlobalAvgPool, &[m]).expect("fits");
            g
        };
        check(pooled(false, Window::new([3, 3])), &["Input x", "Pad pad", "MaxPool max", "GlobalAvgPool pool"]);
        check(pooled(true, Window::new([3, 3])), &["Input x", "Relu relu", "MaxPool max", "GlobalAvgPool pool"]);

        let mut g = Graph::new("x", Shape::new(2, 6, 6));
        let x = g.push("pad", Op::Pad(Pad { pad: [1; 4], value: 0.0 }), &[NodeId(0)]).expect("fits");
        let pool = AvgPool { window: Window::new([3, 3]), count_include_pad: false };
        let a = g.push("avg", Op::AvgPool(pool), &[x]).expect("fits");
        let c = conv("conv", &mut g, a, 2, 0);
        g.push("pool", Op::GlobalAvgPool, &[c]).expect("fits");
        let simple = check(g, &["Input x", "AvgPool avg", "Conv conv", "GlobalAvgPool pool"]);
        let Op::AvgPool(pool) = &simple.nodes[1].op else { unreachable!("checked above") };
        assert!(pool.count_include_pad);
    }

    #[test]
    fn max_and_min_become_one_clip() {
        let mut g = Graph::new("x", Shape::new(2, 1, 1));
        let lo = Clip { lo: -1.0, hi: f32::INFINITY };
        let hi = Clip { lo: f32::NEG_INFINITY, hi: 1.0 };
        let a = g.push("max", Op::Clip(lo), &[NodeId(0)]).expect("fits");
        let b = g.push("min", Op::Clip(hi), &[a]).expect("fits");
        let c = affine("six", &mut g, b, 6.0, 0.0);
        affine("sixth", &mut g, c, 1.0 / 6.0, 0.0);
        check(g, &["Input x", "Clip min"]);
    }
}
