//! A graph with its weights in the engine's number type, and the forward pass.

use crate::diag::{Diag, Result};
use crate::exec::op::{self, Prepared};
use crate::exec::{Batch, Float, ParamGrad};
use crate::ir::{Graph, Node, NodeId};

/// A graph ready to run. Immutable, so one network serves every thread.
#[derive(Debug)]
pub struct Network<T> {
    graph: Graph,
    pub(super) prepared: Vec<Prepared<T>>,
}

/// The tensor of every node for one batch.
#[derive(Debug, Clone)]
pub struct Activations<T> {
    tensors: Vec<Batch<T>>,
}

impl<T: Float> Activations<T> {
    /// The result of node `id`.
    pub fn get(&self, id: NodeId) -> &Batch<T> {
        &self.tensors[id.index()]
    }

    /// Samples in the batch.
    pub fn samples(&self) -> usize {
        self.tensors[0].n
    }
}

/// Runs one node of a verified graph on the tensors of its inputs, in operand order.
pub fn run_node<T: Float>(node: &Node, inputs: &[&Batch<T>]) -> Result<Batch<T>> {
    op::forward(&node.op, &op::prepare(&node.op)?, node.shape, inputs)
}

/// Gradient of the parameters of one node of a verified graph, from the tensors of its inputs and the gradient of its
/// result; `None` if it has none.
pub fn node_params<T: Float>(node: &Node, inputs: &[&Batch<T>], grad: &Batch<T>) -> Result<Option<ParamGrad<T>>> {
    op::backward_params(&node.op, inputs, grad)
}

impl<T: Float> Network<T> {
    /// Verifies `graph` and converts its weights.
    pub fn new(graph: &Graph) -> Result<Self> {
        graph.verify()?;
        let prepared = graph.nodes.iter().map(|node| op::prepare(&node.op)).collect::<Result<_>>()?;
        Ok(Self { graph: graph.clone(), prepared })
    }

    /// The graph it runs.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Runs the graph and keeps every node's tensor.
    pub fn forward(&self, input: &Batch<T>) -> Result<Activations<T>> {
        self.check_input(input)?;
        let mut tensors: Vec<Batch<T>> = Vec::with_capacity(self.graph.nodes.len());
        tensors.push(input.clone());
        for id in self.graph.ids().skip(1) {
            let node = self.graph.node(id);
            let inputs: Vec<&Batch<T>> = node.inputs.iter().map(|i| &tensors[i.index()]).collect();
            let result = op::forward(&node.op, &self.prepared[id.index()], node.shape, &inputs)?;
            tensors.push(result);
        }
        Ok(Activations { tensors })
    }

    /// Runs the graph for its output only; a tensor is freed after its last reader.
    pub fn scores(&self, input: &Batch<T>) -> Result<Batch<T>> {
        self.check_input(input)?;
        if self.graph.output == self.graph.input() {
            return Ok(input.clone());
        }
        let last_reader = self.last_readers();
        let mut tensors: Vec<Option<Batch<T>>> = vec![None; self.graph.nodes.len()];
        for id in self.graph.ids().skip(1) {
            let node = self.graph.node(id);
            let inputs: Vec<&Batch<T>> = node
                .inputs
                .iter()
                .map(|i| if i.0 == 0 { Some(input) } else { tensors[i.index()].as_ref() })
                .map(|tensor| tensor.expect("a tensor lives until its last reader has run"))
                .collect();
            let result = op::forward(&node.op, &self.prepared[id.index()], node.shape, &inputs)?;
            if id == self.graph.output {
                return Ok(result);
            }
            tensors[id.index()] = Some(result);
            for &i in &node.inputs {
                if last_reader[i.index()] == id {
                    tensors[i.index()] = None;
                }
            }
        }
        Diag::new("exec/no-output", "the output node does not exist").err()
    }

    fn last_readers(&self) -> Vec<NodeId> {
        let mut last = vec![self.graph.output; self.graph.nodes.len()];
        for id in self.graph.ids() {
            for i in &self.graph.node(id).inputs {
                last[i.index()] = id;
            }
        }
        last
    }

    fn check_input(&self, input: &Batch<T>) -> Result<()> {
        let shape = self.graph.shape(self.graph.input());
        if input.shape != shape || input.data.len() != shape.len() * input.n {
            return Diag::new("exec/input", "batch does not fit the network's input")
                .expected(
                    format!("samples of {shape}"),
                    format!("{} samples of {}, {} values", input.n, input.shape, input.data.len()),
                )
                .err();
        }
        Ok(())
    }
}
