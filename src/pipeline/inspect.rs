//! What is in a model: layers, channel groups, size.

use std::path::Path;

use serde::Serialize;

use crate::diag::Result;
use crate::ir::groups::channel_groups;
use crate::ir::pass;
use crate::load;
use crate::report::SCHEMA;

/// What `inspect --json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// Layout version.
    pub schema: u32,
    /// As given.
    pub path: String,
    /// Of the file's bytes.
    pub sha256: String,
    /// `[H, W, C]`.
    pub input: [usize; 3],
    /// Number of outputs.
    pub classes: usize,
    /// Weights and biases, batch norm folded.
    pub params: usize,
    /// Multiply-accumulates per sample.
    pub macs: u64,
    /// Layers in execution order.
    pub layers: Vec<LayerRow>,
    /// Channel groups: sets of channels that are kept or dropped together.
    pub groups: Vec<GroupRow>,
}

/// One layer.
#[derive(Debug, Clone, Serialize)]
pub struct LayerRow {
    /// Name in the model.
    pub name: String,
    /// Operator.
    pub op: &'static str,
    /// Output `[H, W, C]`.
    pub output: [usize; 3],
    /// Weights and biases.
    pub params: usize,
    /// Multiply-accumulates per sample.
    pub macs: u64,
}

/// One channel group.
#[derive(Debug, Clone, Serialize)]
pub struct GroupRow {
    /// Name of its first producer.
    pub name: String,
    /// Channels.
    pub channels: usize,
    /// Layers whose outputs it ties.
    pub producers: Vec<String>,
}

/// Reads the model at `path`.
pub fn inspect(path: &Path) -> Result<Inspection> {
    let loaded = load::load(path)?;
    let graph = pass::simplify(loaded.graph)?;
    let groups = channel_groups(&graph);
    let input = graph.shape(graph.input());
    Ok(Inspection {
        schema: SCHEMA,
        path: path.display().to_string(),
        sha256: loaded.sha256,
        input: [input.h, input.w, input.c],
        classes: graph.classes(),
        params: graph.params(),
        macs: graph.macs(),
        layers: graph
            .nodes
            .iter()
            .map(|n| LayerRow {
                name: n.name.clone(),
                op: n.op.name(),
                output: [n.shape.h, n.shape.w, n.shape.c],
                params: n.op.params(),
                macs: n.op.macs(n.shape),
            })
            .collect(),
        groups: groups
            .groups
            .iter()
            .map(|g| GroupRow {
                name: g.name.clone(),
                channels: g.channels,
                producers: g.producers.iter().map(|&p| graph.node(p).name.clone()).collect(),
            })
            .collect(),
    })
}
