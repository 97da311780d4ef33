//! Cuts a class set's network out of its source.
//!
//! In: a verified source [`Graph`], its channel [`Groups`], a [`Route`] and the wanted classes. Out: a verified
//! [`Assembled`] graph whose scores are those of the classes, in the order given.
//!
//! Guaranteed: the result computes what the source computes when every dropped channel contributes zero to
//! whatever reads it. All masks are decided on the source's channel indices and every tensor is sliced once.
//! A softmax at the end is kept, over the classes that are left.
//!
//! The logits are cut by slicing where [`Groups::sliceable_head`] allows it (the usual case); otherwise the
//! head stays whole and a dense layer of zeros and ones picks the classes.
//!
//! Groups may lose all their channels: then residual blocks, gates and branches go as a whole (`fates`).
//!
//! [`join`] puts networks of several sources side by side as branches of one, [`extend`] adds further ones,
//! [`merge`] gives them one last layer.

mod fates;
mod join;
mod keep;
mod merge;
mod slice;

pub use fates::{may_vanish, settle};
pub use join::{Branch, Joined, extend, heads, join};
pub use merge::{alone, feature_places, joint_layer, merge};

use std::collections::BTreeSet;

use crate::assemble::fates::Fate;
use crate::assemble::keep::Kept;
use crate::diag::{Diag, Result};
use crate::ir::groups::Groups;
use crate::ir::op::{Dense, Op};
use crate::ir::{Graph, NodeId, Origin, Shape};
use crate::route::Route;

/// A network cut out of a source.
#[derive(Debug, Clone, PartialEq)]
pub struct Assembled {
    /// The small network.
    pub graph: Graph,
    /// For each of its nodes, where it comes from.
    pub origins: Vec<Origin>,
}

/// Slices `source` to the channels of `route` and the logits to `classes` (indices of source classes).
pub fn assemble(source: &Graph, groups: &Groups, route: &Route, classes: &[usize]) -> Result<Assembled> {
    check_classes(source, classes)?;
    route.check(groups)?;
    let kept = Kept::new(source, groups, route, classes);
    let fates = fates::fates(source, &kept)?;
    let live = fates::live(source, &fates);
    let logits = source.logits();
    let mut graph = Graph { nodes: Vec::new(), output: NodeId(0) };
    let mut origins: Vec<Origin> = Vec::new();
    let mut new_id: Vec<Option<NodeId>> = vec![None; source.nodes.len()];
    for id in source.ids().filter(|id| live[id.index()]) {
        let node = source.node(id);
        // After the logits comes at most the softmax.
        let channels = if id > logits { classes.iter().map(|&c| c as u32).collect() } else { kept.of(id).to_vec() };
        if node.op == Op::Input {
            graph = Graph::new(&node.name, node.shape);
            origins.push(Origin { source: Some(id), channels, features: Vec::new() });
            new_id[id.index()] = Some(graph.input());
        } else {
            let (op, inputs) = match &fates[id.index()] {
                Fate::Gone | Fate::Constant(_) => continue,
                Fate::Same(other) => {
                    new_id[id.index()] = new_id[other.index()];
                    continue;
                }
                Fate::Maps(other, affine) => (Some(Op::Affine(affine.clone())), vec![*other]),
                Fate::Stays => (None, node.inputs.clone()),
            };
            let features = match node.op {
                Op::Conv(_) | Op::Dense(_) => kept.of(node.inputs[0]).to_vec(),
                _ => Vec::new(),
            };
            let op = op.unwrap_or_else(|| slice::slice_op(&node.op, &channels, &features));
            let inputs: Vec<NodeId> = inputs.iter().filter_map(|i| new_id[i.index()]).collect();
            new_id[id.index()] = Some(graph.push(node.name.as_str(), op, &inputs)?);
            origins.push(Origin { source: Some(id), channels, features });
        }
        if id == logits && !kept.head_is_sliced() {
            let whole = classes.len() == source.classes() && classes.iter().enumerate().all(|(i, &c)| i == c);
            if !whole {
                new_id[id.index()] = Some(pick_classes(source, &mut graph, classes)?);
                origins.push(Origin {
                    source: None,
                    channels: classes.iter().map(|&c| c as u32).collect(),
                    features: Vec::new(),
                });
            }
        }
    }
    graph.output = NodeId(graph.nodes.len() as u32 - 1);
    graph.verify()?;
    Ok(Assembled { graph, origins })
}

fn check_classes(source: &Graph, classes: &[usize]) -> Result<()> {
    if classes.is_empty() {
        return Diag::new("assemble/no-classes", "the class set is empty").help("name at least one class").err();
    }
    let mut seen = BTreeSet::new();
    for &class in classes {
        if class >= source.classes() {
            return Diag::new("assemble/class-range", "no such class in the source model")
                .expected(format!("an index below {}", source.classes()), class)
                .err();
        }
        if !seen.insert(class) {
            return Diag::new("assemble/class-twice", format!("class {class} is named twice"))
                .help("name each class once")
                .err();
        }
    }
    Ok(())
}

/// Appends a dense layer that copies the logits of `classes`.
fn pick_classes(source: &Graph, graph: &mut Graph, classes: &[usize]) -> Result<NodeId> {
    let mut name = String::from("classes");
    while source.nodes.iter().any(|n| n.name == name) {
        name.push('_');
    }
    let logits = graph.output;
    let Shape { c: all, .. } = graph.shape(logits);
    let mut weight = vec![0.0; classes.len() * all];
    for (row, &class) in classes.iter().enumerate() {
        weight[row * all + class] = 1.0;
    }
    let dense = Dense { out_features: classes.len(), in_features: all, weight, bias: vec![0.0; classes.len()] };
    graph.push(name, Op::Dense(dense), &[logits])
}
