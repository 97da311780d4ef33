//! One last layer for the branches of a joined network.

use std::ops::Range;

use super::join::{free_name, heads};
use crate::diag::Result;
use crate::ir::op::{Dense, Op};
use crate::ir::{Graph, NodeId};

/// The network with one dense layer in place of those that end its branches; it reads the features of all branches, with
/// weights of 0 from those of other networks, so that scores stay what they are: training may move them.
///
/// `None` where a branch does not end in a dense layer, or all read the same features.
pub fn merge(graph: &Graph, branches: usize) -> Result<Option<Graph>> {
    let mut features: Vec<NodeId> = Vec::new();
    let mut layers: Vec<(usize, &Dense)> = Vec::new();
    for head in heads(graph, branches) {
        let node = graph.node(head);
        let Op::Dense(dense) = &node.op else { return Ok(None) };
        let known = features.iter().position(|id| *id == node.inputs[0]);
        layers.push((known.unwrap_or(features.len()), dense));
        if known.is_none() {
            features.push(node.inputs[0]);
        }
    }
    if features.len() < 2 {
        return Ok(None);
    }
    let widths: Vec<usize> = features.iter().map(|&id| graph.shape(id).len()).collect();
    let in_features: usize = widths.iter().sum();
    let (mut weight, mut bias) = (Vec::new(), Vec::new());
    for (place, dense) in layers {
        let before: usize = widths[..place].iter().sum();
        for row in dense.weight.chunks_exact(dense.in_features) {
            weight.extend(std::iter::repeat_n(0.0, before));
            weight.extend_from_slice(row);
            weight.extend(std::iter::repeat_n(0.0, in_features - before - row.len()));
        }
        bias.extend_from_slice(&dense.bias);
    }
    let mut merged = graph.clone();
    let all = merged.push(free_name(graph, "features"), Op::Concat, &features)?;
    let joint = Dense { out_features: bias.len(), in_features, weight, bias };
    merged.push(free_name(graph, "joint"), Op::Dense(joint), &[all])?;
    merged.prune_dead();
    merged.verify()?;
    Ok(Some(merged))
}

/// Branch number `branch` of a joined network by itself, which gives the scores `outputs`. In a [`merge`]d one it reads
/// the features of its own network only, the `network`-th.
pub fn alone(graph: &Graph, branches: usize, branch: usize, network: usize, outputs: &Range<usize>) -> Result<Graph> {
    let mut alone = graph.clone();
    let last = graph.node(graph.logits());
    match &last.op {
        Op::Dense(joint) if branches > 1 => {
            let features = &graph.node(last.inputs[0]).inputs;
            let own = features[network.min(features.len() - 1)];
            let before: usize = features.iter().take_while(|id| **id != own).map(|id| graph.shape(*id).len()).sum();
            let in_features = graph.shape(own).len();
            let rows = joint.weight.chunks_exact(joint.in_features).skip(outputs.start).take(outputs.len());
            let weight = rows.flat_map(|row| &row[before..before + in_features]).copied().collect();
            let bias = joint.bias[outputs.clone()].to_vec();
            let dense = Dense { out_features: outputs.len(), in_features, weight, bias };
            alone.push(free_name(graph, "alone"), Op::Dense(dense), &[own])?;
        }
        _ => alone.output = heads(graph, branches)[branch],
    }
    alone.prune_dead();
    Ok(alone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::{Branch, join};
    use crate::exec::{Batch, Network};
    use crate::ir::Shape;

    fn branch(width: usize, classes: usize, seed: usize) -> Graph {
        let value = |i: usize| ((i * 37 + seed * 11) % 17) as f32 / 8.0 - 1.0;
        let dense = |out_features: usize, in_features: usize| {
            let weight = (0..out_features * in_features).map(value).collect();
            Op::Dense(Dense { out_features, in_features, weight, bias: (0..out_features).map(value).collect() })
        };
        let mut graph = Graph::new("input", Shape::vector(3));
        let hidden = graph.push("hidden", dense(width, 3), &[NodeId(0)]).expect("a layer");
        let relu = graph.push("relu", Op::Relu, &[hidden]).expect("a layer");
        graph.push("scores", dense(classes, width), &[relu]).expect("a layer");
        graph
    }

    #[test]
    fn one_last_layer_gives_the_scores_of_all_branches() {
        let [a, b] = [branch(4, 2, 1), branch(5, 3, 2)];
        let named = [("a", &a), ("b", &b)].map(|(name, graph)| Branch { name, graph, input: Vec::new() });
        let joined = join(Shape::vector(3), &named).expect("joins").graph;
        let merged = merge(&joined, 2).expect("merges").expect("dense layers");
        let x = Batch { shape: Shape::vector(3), n: 2, data: vec![0.5, -1.0, 0.25, 2.0, -0.75, 1.0] };
        let scores = |graph: &Graph| Network::<f32>::new(graph).expect("runs").scores(&x).expect("scores").data;
        assert_eq!(scores(&joined), scores(&merged));
        for (branch, (own, outputs)) in [(&a, 0..2), (&b, 2..5)].into_iter().enumerate() {
            for graph in [&joined, &merged] {
                let alone = alone(graph, 2, branch, branch, &outputs).expect("a branch");
                assert_eq!(scores(&alone), scores(own));
            }
        }
        assert_eq!(merge(&a, 1).expect("looks"), None);
    }
}
