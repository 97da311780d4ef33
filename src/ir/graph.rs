//! Graph, nodes and shapes, with the verifier.

use std::collections::BTreeSet;
use std::fmt;

use crate::diag::{Diag, Result};
use crate::ir::op::Op;

/// Index of a node, and of the tensor it makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct NodeId(pub u32);

impl NodeId {
    /// As a slice index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Shape of one sample's tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Shape {
    /// Channels.
    pub c: usize,
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
}

impl Shape {
    /// `[c, h, w]`.
    pub fn new(c: usize, h: usize, w: usize) -> Self {
        Self { c, h, w }
    }

    /// A vector of `c` values.
    pub fn vector(c: usize) -> Self {
        Self { c, h: 1, w: 1 }
    }

    /// Values per sample.
    pub fn len(self) -> usize {
        self.c * self.h * self.w
    }

    /// Whether any dimension is zero.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Positions per channel, `h · w`.
    pub fn plane(self) -> usize {
        self.h * self.w
    }
}

impl fmt::Display for Shape {
    /// As the device sees it: `[H, W, C]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {}, {}]", self.h, self.w, self.c)
    }
}

/// One operation and its result.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Node {
    /// Unique name, from the source model where there is one.
    pub name: String,
    /// What it does.
    pub op: Op,
    /// Tensors it reads, in operand order.
    pub inputs: Vec<NodeId>,
    /// Shape of its result.
    pub shape: Shape,
}

/// A float network from one input to one vector of class scores.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Graph {
    /// Topological order; node 0 is the input.
    pub nodes: Vec<Node>,
    /// The scores: logits, or probabilities if the node is a softmax.
    pub output: NodeId,
}

impl Graph {
    /// A graph that holds only its input.
    pub fn new(input_name: &str, shape: Shape) -> Self {
        let input = Node { name: input_name.into(), op: Op::Input, inputs: Vec::new(), shape };
        Self { nodes: vec![input], output: NodeId(0) }
    }

    /// Appends a node whose shape is inferred, and makes it the output.
    pub fn push(&mut self, name: impl Into<String>, op: Op, inputs: &[NodeId]) -> Result<NodeId> {
        let name = name.into();
        let shapes: Vec<Shape> = inputs.iter().map(|&i| self.shape(i)).collect();
        let shape = op.infer_shape(&shapes).map_err(|d| Box::new(d.at(&name)))?;
        let id =
            NodeId(u32::try_from(self.nodes.len()).map_err(|_| Diag::new("ir/too-large", "more than 2^32 nodes"))?);
        self.nodes.push(Node { name, op, inputs: inputs.to_vec(), shape });
        self.output = id;
        Ok(id)
    }

    /// The input's id.
    pub fn input(&self) -> NodeId {
        NodeId(0)
    }

    /// The node `id`.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// The shape of tensor `id`.
    pub fn shape(&self, id: NodeId) -> Shape {
        self.nodes[id.index()].shape
    }

    /// Every id, in topological order.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + use<> {
        (0..self.nodes.len() as u32).map(NodeId)
    }

    /// For each node, the nodes that read it, in order.
    pub fn consumers(&self) -> Vec<Vec<NodeId>> {
        let mut out = vec![Vec::new(); self.nodes.len()];
        for id in self.ids() {
            for &i in &self.node(id).inputs {
                out[i.index()].push(id);
            }
        }
        out
    }

    /// The logits: the output, or what its softmax reads.
    pub fn logits(&self) -> NodeId {
        let node = self.node(self.output);
        if node.op == Op::Softmax { node.inputs[0] } else { self.output }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.shape(self.output).c
    }

    /// Weights and biases.
    pub fn params(&self) -> usize {
        self.nodes.iter().map(|n| n.op.params()).sum()
    }

    /// Multiply-accumulates per sample (convolutions and dense layers).
    pub fn macs(&self) -> u64 {
        self.nodes.iter().map(|n| n.op.macs(n.shape)).sum()
    }

    /// Removes nodes that the output does not need, keeping order.
    pub fn prune_dead(&mut self) {
        let mut live = vec![false; self.nodes.len()];
        live[0] = true;
        live[self.output.index()] = true;
        for i in (0..self.nodes.len()).rev() {
            if live[i] {
                for input in &self.nodes[i].inputs {
                    live[input.index()] = true;
                }
            }
        }
        let mut new_id = vec![NodeId(0); self.nodes.len()];
        let mut nodes = Vec::new();
        for (i, node) in std::mem::take(&mut self.nodes).into_iter().enumerate() {
            if live[i] {
                new_id[i] = NodeId(nodes.len() as u32);
                let inputs = node.inputs.iter().map(|id| new_id[id.index()]).collect();
                nodes.push(Node { inputs, ..node });
            }
        }
        self.nodes = nodes;
        self.output = new_id[self.output.index()];
    }

    /// Checks every invariant of the module documentation.
    pub fn verify(&self) -> Result<()> {
        let bad = |what: &str, node: &Node| Diag::new("ir/invalid", what).at(&node.name);
        let mut names = BTreeSet::new();
        for (i, node) in self.nodes.iter().enumerate() {
            if (node.op == Op::Input) != (i == 0) {
                return bad("the input must be the first node and the only one", node).err();
            }
            if node.name.is_empty() || !names.insert(node.name.as_str()) {
                return bad("node name is empty or used twice", node).err();
            }
            if node.inputs.iter().any(|id| id.index() >= i) {
                return bad("a node reads a later node", node).err();
            }
            node.op.verify().map_err(|d| Box::new(d.at(&node.name)))?;
            if i > 0 {
                let shapes: Vec<Shape> = node.inputs.iter().map(|&id| self.shape(id)).collect();
                let inferred = node.op.infer_shape(&shapes).map_err(|d| Box::new(d.at(&node.name)))?;
                if inferred != node.shape {
                    return bad("stored shape differs from the inferred one", node)
                        .expected(inferred, node.shape)
                        .err();
                }
            }
            if node.shape.is_empty() {
                return bad("a tensor has no elements", node).err();
            }
            if node.op == Op::Softmax && i != self.output.index() {
                return bad("softmax inside the network", node).err();
            }
        }
        let out = self
            .nodes
            .get(self.output.index())
            .ok_or_else(|| Diag::new("ir/invalid", "the output node does not exist"))?;
        if out.shape.plane() != 1 {
            return bad("the output is not a vector of class scores", out).expected("[1, 1, classes]", out.shape).err();
        }
        Ok(())
    }
}
