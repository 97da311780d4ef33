//! One last layer for the branches of a joined network.

use std::ops::Range;

use super::join::{free_name, heads};
use crate::diag::Result;
use crate::ir::op::{Dense, Op};
use crate::ir::{Graph, NodeId};

/// The dense layers that end the branches of a joined network, each with the place of the features that it reads among all
/// features; and these. `None` where a branch does not end in a dense layer.
type Ends<'a> = Option<(Vec<(usize, &'a Dense)>, Vec<NodeId>)>;

fn ends(graph: &Graph, branches: usize) -> Ends<'_> {
    let mut features: Vec<NodeId> = Vec::new();
    let mut layers: Vec<(usize, &Dense)> = Vec::new();
    for head in heads(graph, branches) {
        let node = graph.node(head);
        let Op::Dense(dense) = &node.op else { return None };
        let known = features.iter().position(|id| *id == node.inputs[0]);
        layers.push((known.unwrap_or(features.len()), dense));
        if known.is_none() {
            features.push(node.inputs[0]);
        }
    }
    Some((layers, features))
}

/// Of each branch of a joined network, or one cut out of it, the place of its features among all. Branches of one body
/// share theirs.
pub fn feature_places(graph: &Graph, branches: usize) -> Vec<usize> {
    ends(graph, branches).map_or_else(Vec::new, |(layers, _)| layers.into_iter().map(|(place, _)| place).collect())
}

/// The network with one dense layer in place of those that end its branches; it reads the features of all branches, with
/// weights of 0 from those of other networks, so that scores stay what they are: training may move them.
///
/// `None` where a branch does not end in a dense layer, or all read the same features.
pub fn merge(graph: &Graph, branches: usize) -> Result<Option<Graph>> {
    let Some((layers, features)) = ends(graph, branches).filter(|(_, features)| features.len() > 1) else {
        return Ok(None);
    };
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

/// The layer of a [`merge`]d network that reads all features, and these.
pub fn joint_layer(graph: &Graph, branches: usize) -> Option<(&Dense, &[NodeId])> {
    let last = graph.node(graph.logits());
    match &last.op {
        Op::Dense(joint) if branches > 1 => Some((joint, &graph.node(last.inputs[0]).inputs)),
        _ => None,
    }
}

/// Branch number `branch` of a joined network by itself, which gives the scores `outputs`. In a [`merge`]d one it reads
/// the features at `place` only.
pub fn alone(graph: &Graph, branches: usize, branch: usize, place: usize, outputs: &Range<usize>) -> Result<Graph> {
    let mut alone = graph.clone();
    if let Some((joint, features)) = joint_layer(graph, branches) {
        let before: usize = features[..place].iter().map(|id| graph.shape(*id).len()).sum();
        let in_features = graph.shape(features[place]).len();
        let rows = joint.weight.chunks_exact(joint.in_features).skip(outputs.start).take(outputs.len());
        let weight = rows.flat_map(|row| &row[before..before + in_features]).copied().collect();
        let bias = joint.bias[outputs.clone()].to_vec();
        let dense = Dense { out_features: outputs.len(), in_features, weight, bias };
        alone.push(free_name(graph, "alone"), Op::Dense(dense), &[features[place]])?;
    } else {
        alone.output = heads(graph, branches)[branch];
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

    fn joined(branches: &[(&str, &Graph)]) -> Graph {
        let named: Vec<Branch<'_>> =
            branches.iter().map(|&(name, graph)| Branch { name, graph, input: Vec::new() }).collect();
        join(Shape::vector(3), &named).expect("joins").graph
    }

    fn scores(graph: &Graph) -> Vec<f32> {
        let x = Batch { shape: Shape::vector(3), n: 2, data: vec![0.5, -1.0, 0.25, 2.0, -0.75, 1.0] };
        Network::<f32>::new(graph).expect("runs").scores(&x).expect("scores").data
    }

    /// Every branch of `parts` by itself in the joined network and in the merged one.
    fn check(parts: &[(&str, &Graph)]) {
        let joined = joined(parts);
        let merged = merge(&joined, parts.len()).expect("merges").expect("dense layers");
        assert_eq!(scores(&joined), scores(&merged));
        let places = feature_places(&joined, parts.len());
        let mut first = 0;
        for (branch, (name, own)) in parts.iter().enumerate() {
            let outputs = first..first + own.classes();
            first = outputs.end;
            for graph in [&joined, &merged] {
                let by_itself = alone(graph, parts.len(), branch, places[branch], &outputs).expect("a branch");
                assert_eq!(scores(&by_itself), scores(own), "{name}");
            }
        }
    }

    #[test]
    fn one_last_layer_gives_the_scores_of_all_branches() {
        let [a, b] = [branch(4, 2, 1), branch(5, 3, 2)];
        check(&[("a", &a), ("b", &b)]);
        assert_eq!(merge(&a, 1).expect("looks"), None);
    }

    #[test]
    fn branches_of_one_body_share_their_features() {
        let (a, b) = (branch(4, 2, 1), branch(5, 3, 2));
        let mut other = a.clone();
        let Op::Dense(last) = &mut other.nodes[3].op else { unreachable!("the scores") };
        last.weight.reverse();
        let parts = [("a", &a), ("other", &other), ("b", &b)];
        assert_eq!(feature_places(&joined(&parts), 3), [0, 0, 1]);
        check(&parts);
        assert_eq!(merge(&joined(&parts[..2]), 2).expect("looks"), None);
    }
}
