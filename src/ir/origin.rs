//! Where the nodes of a cut graph come from.

use crate::ir::NodeId;

/// The source of one node of a graph that was cut out of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The source graph's node, or `None` for a node that the source does not have.
    pub source: Option<NodeId>,
    /// For each output channel (after flatten: feature), the source node's channel. Without a source node:
    /// channels of the source's logits.
    pub channels: Vec<u32>,
    /// For a convolution or dense layer, the source node's input channel (feature) behind each of its own;
    /// empty for every other operation.
    pub features: Vec<u32>,
}
