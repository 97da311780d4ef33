//! Puts several networks side by side behind one input, as branches of one network.
//!
//! In: networks with what each takes the common input for. Out: one verified graph whose scores are those of the
//! branches, one after the other. Guaranteed: nothing is mixed or padded with zeros, so cost is the sum of the
//! branches; layers that are equal byte for byte and read the same are there once, so what is common to several
//! branches (two class sets of one source, say) costs once.

use crate::diag::{Diag, Result};
use crate::ir::op::{Affine, Op};
use crate::ir::{Graph, NodeId, Shape};

/// One network to be.
#[derive(Debug, Clone)]
pub struct Branch<'a> {
    /// What its layers' names begin with.
    pub name: &'a str,
    /// The network. A softmax at its end is left out.
    pub graph: &'a Graph,
    /// What makes its input of the common input, one after the other.
    pub input: Vec<Op>,
}

/// Several networks as one.
#[derive(Debug, Clone, PartialEq)]
pub struct Joined {
    /// The network.
    pub graph: Graph,
    /// Of each branch, the node that makes its scores; shared if the branches are equal.
    pub heads: Vec<NodeId>,
    /// How many of its first nodes were there before [`extend`]; 0 after [`join`].
    pub before: usize,
}

/// Joins `branches` behind an input of `shape`.
pub fn join(shape: Shape, branches: &[Branch<'_>]) -> Result<Joined> {
    finish(Graph::new("input", shape), Vec::new(), branches, 0)
}

/// Adds `branches` to `old`, which was joined from `count` networks, behind an input of `shape`. Every node of `old` but
/// the one that puts scores side by side stays as it is, in front of all others. `input` makes the old input of the new
/// one, where these differ.
pub fn extend(shape: Shape, old: &Graph, count: usize, input: Option<Op>, branches: &[Branch<'_>]) -> Result<Joined> {
    let mut graph = Graph::new(&old.node(old.input()).name, shape);
    if let Some(op) = input {
        let mut name = String::from("common");
        while old.nodes.iter().any(|node| node.name == name) {
            name.push('_');
        }
        graph.push(name, op, &[NodeId(0)])?;
    }
    let first = graph.output;
    if graph.shape(first) != old.shape(old.input()) {
        return Diag::new("assemble/join-shape", "the assembly's input does not fit the common input")
            .expected(old.shape(old.input()), graph.shape(first))
            .err();
    }
    let logits = old.logits();
    let mut new_id = vec![first; old.nodes.len()];
    let last = if count > 1 { logits.index() } else { logits.index() + 1 };
    for id in old.ids().take(last).skip(1) {
        let node = old.node(id);
        let inputs: Vec<NodeId> = node.inputs.iter().map(|i| new_id[i.index()]).collect();
        new_id[id.index()] = graph.push(node.name.as_str(), node.op.clone(), &inputs)?;
    }
    let heads = self::heads(old, count).iter().map(|head| new_id[head.index()]).collect();
    let before = graph.nodes.len();
    finish(graph, heads, branches, before)
}

/// Adds `branches` to those that make the scores `heads` and puts all scores side by side.
fn finish(mut graph: Graph, mut heads: Vec<NodeId>, branches: &[Branch<'_>], before: usize) -> Result<Joined> {
    for branch in branches {
        heads.push(add(&mut graph, branch)?);
    }
    match heads[..] {
        [] => return Diag::new("assemble/no-branches", "there is no network to join").err(),
        [head] => graph.output = head,
        _ => {
            let name = free_name(&graph, "scores");
            graph.push(name, Op::Concat, &heads)?;
        }
    }
    graph.verify()?;
    Ok(Joined { graph, heads, before })
}

/// The nodes that make each branch's scores in a joined network, or one cut out of it; `branches` is their number.
pub fn heads(graph: &Graph, branches: usize) -> Vec<NodeId> {
    let logits = graph.logits();
    if branches > 1 { graph.node(logits).inputs.clone() } else { vec![logits] }
}

/// Whether the map leaves every value exactly as it is.
fn is_identity(Affine { scale, shift }: &Affine) -> bool {
    scale.iter().all(|s| (s - 1.0).abs() <= 0.0) && shift.iter().all(|s| s.abs() <= 0.0)
}

/// Adds the nodes of one branch that are not there yet, and gives the one that makes its scores.
fn add(graph: &mut Graph, branch: &Branch<'_>) -> Result<NodeId> {
    let Branch { name, graph: own, input } = branch;
    let mut first = graph.input();
    for op in input {
        first = match op {
            Op::Affine(affine) if is_identity(affine) => first,
            Op::Adapt(_) => push(graph, &format!("{name}.pixels"), op, &[first])?,
            op => push(graph, &format!("{name}.input"), op, &[first])?,
        };
    }
    if graph.shape(first) != own.shape(own.input()) {
        return Diag::new("assemble/join-shape", "a network's input does not fit the common input")
            .at(*name)
            .expected(own.shape(own.input()), graph.shape(first))
            .err();
    }
    let mut new_id = vec![first; own.nodes.len()];
    let logits = own.logits();
    for id in own.ids().skip(1).filter(|&id| id <= logits) {
        let node = own.node(id);
        let inputs: Vec<NodeId> = node.inputs.iter().map(|i| new_id[i.index()]).collect();
        new_id[id.index()] = push(graph, &format!("{name}.{}", node.name), &node.op, &inputs)?;
    }
    Ok(new_id[logits.index()])
}

/// The node that does the same with the same tensors, if there is one, else a new one.
fn push(graph: &mut Graph, name: &str, op: &Op, inputs: &[NodeId]) -> Result<NodeId> {
    if let Some(same) = graph.ids().find(|&id| graph.node(id).inputs == inputs && graph.node(id).op == *op) {
        return Ok(same);
    }
    let name = free_name(graph, name);
    graph.push(name, op.clone(), inputs)
}

pub(super) fn free_name(graph: &Graph, base: &str) -> String {
    let mut name = base.to_string();
    let mut n = 1;
    while graph.nodes.iter().any(|node| node.name == name) {
        n += 1;
        name = format!("{base}_{n}");
    }
    name
}
