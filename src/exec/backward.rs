//! The backward pass: gradients of a seeded sum with respect to tensors and parameters.

use crate::diag::{Diag, Result};
use crate::exec::op;
use crate::exec::{Activations, Batch, Float, Network};
use crate::ir::NodeId;

/// Which gradients to return; only what these need is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Want {
    /// Tensors of all nodes but the input.
    pub activations: bool,
    /// Weights and biases.
    pub params: bool,
    /// The input's tensor.
    pub input: bool,
}

/// Gradient of one layer's parameters, laid out as the parameters are (for an affine: scale and shift).
#[derive(Debug, Clone, PartialEq)]
pub struct ParamGrad<T> {
    /// As the layer's weight.
    pub weight: Vec<T>,
    /// As the layer's bias.
    pub bias: Vec<T>,
}

/// Gradients of one backward pass, summed over the batch for parameters.
#[derive(Debug, Clone)]
pub struct Gradients<T> {
    nodes: Vec<Option<Batch<T>>>,
    params: Vec<Option<ParamGrad<T>>>,
}

impl<T: Float> Gradients<T> {
    /// Gradient with respect to the tensor of `id`; `None` if not wanted or not on a path to a seed.
    pub fn node(&self, id: NodeId) -> Option<&Batch<T>> {
        self.nodes[id.index()].as_ref()
    }

    /// Gradient with respect to the parameters of `id`; `None` if it has none, they were not wanted, or no
    /// seed depends on them.
    pub fn params(&self, id: NodeId) -> Option<&ParamGrad<T>> {
        self.params[id.index()].as_ref()
    }
}

impl<T: Float> Network<T> {
    /// Gradients of a scalar L whose derivatives with respect to some tensors are `seeds`.
    ///
    /// Contributions of all readers of a tensor, and all seeds on it, are added.
    pub fn backward(&self, acts: &Activations<T>, seeds: &[(NodeId, Batch<T>)], want: Want) -> Result<Gradients<T>> {
        let graph = self.graph();
        let wanted = |id: NodeId| if id == graph.input() { want.input } else { want.activations };
        let wanted: Vec<bool> = graph.ids().map(wanted).collect();
        let mut nodes: Vec<Option<Batch<T>>> = vec![None; graph.nodes.len()];
        let params =
            self.walk_back(acts, seeds, &wanted, want.params, &mut |id, grad| nodes[id.index()] = Some(grad))?;
        Ok(Gradients { nodes, params })
    }

    /// Hands the gradients of the tensors `at` to `take`, last node first, as soon as each is known; nodes without a path to
    /// a seed are left out. No more gradients are computed, nor kept, than these need.
    pub fn backward_at(
        &self,
        acts: &Activations<T>,
        seeds: &[(NodeId, Batch<T>)],
        at: &[NodeId],
        take: &mut dyn FnMut(NodeId, Batch<T>),
    ) -> Result<()> {
        let mut wanted = vec![false; self.graph().nodes.len()];
        for id in at {
            wanted[id.index()] = true;
        }
        self.walk_back(acts, seeds, &wanted, false, take).map(drop)
    }

    fn walk_back(
        &self,
        acts: &Activations<T>,
        seeds: &[(NodeId, Batch<T>)],
        wanted: &[bool],
        want_params: bool,
        take: &mut dyn FnMut(NodeId, Batch<T>),
    ) -> Result<Vec<Option<ParamGrad<T>>>> {
        let graph = self.graph();
        let mut nodes: Vec<Option<Batch<T>>> = vec![None; graph.nodes.len()];
        let mut params = vec![None; graph.nodes.len()];
        for (id, seed) in seeds {
            if id.index() >= graph.nodes.len() || seed.shape != graph.shape(*id) || seed.n != acts.samples() {
                return Diag::new("exec/seed", "gradient seed does not fit its tensor")
                    .at(format!("node {}", id.0))
                    .err();
            }
            accumulate(&mut nodes[id.index()], seed.clone());
        }
        let needed = self.needed(wanted, want_params);
        for id in graph.ids().rev() {
            let Some(grad) = nodes[id.index()].take() else { continue };
            if !needed[id.index()] {
                continue;
            }
            let node = graph.node(id);
            let prepared = &self.prepared[id.index()];
            let inputs: Vec<&Batch<T>> = node.inputs.iter().map(|&i| acts.get(i)).collect();
            if want_params {
                params[id.index()] = op::backward_params(&node.op, &inputs, &grad)?;
            }
            for (operand, &input) in node.inputs.iter().enumerate() {
                if needed[input.index()] {
                    let part = op::backward(&node.op, prepared, operand, &inputs, acts.get(id), &grad)?;
                    accumulate(&mut nodes[input.index()], part);
                }
            }
            if wanted[id.index()] {
                take(id, grad);
            }
        }
        Ok(params)
    }

    /// Nodes whose gradient is wanted itself or needed for one before it.
    fn needed(&self, wanted: &[bool], want_params: bool) -> Vec<bool> {
        let graph = self.graph();
        let mut needed = wanted.to_vec();
        for id in graph.ids() {
            let node = graph.node(id);
            needed[id.index()] |=
                (want_params && node.op.params() > 0) || node.inputs.iter().any(|i| needed[i.index()]);
        }
        needed
    }
}

fn accumulate<T: Float>(slot: &mut Option<Batch<T>>, part: Batch<T>) {
    match slot {
        Some(sum) => sum.add(&part),
        None => *slot = Some(part),
    }
}
