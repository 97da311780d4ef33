//! A new last layer in closed form, on the features of a network.

use crate::data::{InputContract, Samples};
use crate::diag::{Diag, Result};
use crate::exec::{Network, for_chunks};
use crate::heads;
use crate::ir::op::Op;
use crate::ir::{Graph, NodeId, Shape};
use crate::pipeline::score;

/// The node that the last layer of `graph` reads, and how many features that are.
pub(super) fn features(graph: &Graph) -> Result<(NodeId, usize)> {
    let last = graph.node(graph.logits());
    if !matches!(last.op, Op::Dense(_)) {
        return Diag::new("heads/readout", "the network's scores do not come from a dense layer")
            .at(&last.name)
            .expected("a dense layer at the end", last.op.name())
            .help("end the network with a dense layer")
            .err();
    }
    Ok((last.inputs[0], graph.shape(last.inputs[0]).len()))
}

/// `graph` with a last layer fitted on `samples`, whose right ones of `classes` outputs are `labels`.
pub(super) fn with_head(
    graph: &Graph,
    contract: &InputContract,
    samples: &Samples,
    labels: &[usize],
    classes: usize,
) -> Result<Graph> {
    let (from, _) = features(graph)?;
    let network = Network::<f32>::new(graph)?;
    let chunks = for_chunks(samples.len(), |range| {
        let indices: Vec<usize> = range.collect();
        let acts = network.forward(&score::batch(contract, samples, &indices))?;
        let out = acts.get(from);
        Ok((0..out.n).map(|s| out.sample(s)).collect::<Vec<Vec<f32>>>())
    })?;
    let rows: Vec<Vec<f32>> = chunks.into_iter().flatten().collect();
    let dense = heads::readout(&rows, labels, classes);
    let logits = graph.logits();
    let mut out = Graph { nodes: graph.nodes[..=logits.index()].to_vec(), output: logits };
    out.nodes[logits.index()].op = Op::Dense(dense);
    out.nodes[logits.index()].shape = Shape::vector(classes);
    out.prune_dead();
    out.verify()?;
    Ok(out)
}
