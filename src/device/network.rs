//! A graph with its weights on a device, and both passes.

use candle_core::{Device, Tensor};

use crate::device::op::{self, Prepared};
use crate::device::{Contributions, Place, failed, place};
use crate::diag::Result;
use crate::exec::Batch;
use crate::ir::{Graph, NodeId, Shape};

/// A graph ready to run on a device.
#[derive(Debug)]
pub struct Network {
    graph: Graph,
    device: Device,
    prepared: Vec<Prepared>,
}

/// The tensor of every node up to the logits for one batch, `[N, C, H, W]`.
#[derive(Debug)]
pub struct Activations {
    tensors: Vec<Tensor>,
}

impl Activations {
    /// The result of node `id` in host memory; not of what comes after the logits.
    pub fn host(&self, id: NodeId) -> Result<Batch<f32>> {
        download(self.get(id))
    }

    /// The result of node `id`; not of what comes after the logits.
    pub(super) fn get(&self, id: NodeId) -> &Tensor {
        &self.tensors[id.index()]
    }
}

/// Gradients with respect to the tensor of every node.
#[derive(Debug)]
pub struct Gradients {
    tensors: Vec<Option<Tensor>>,
}

impl Gradients {
    /// With respect to node `id`, in host memory; `None` where no path leads to the logits.
    pub fn host(&self, id: NodeId) -> Result<Option<Batch<f32>>> {
        self.get(id).map(download).transpose()
    }

    /// With respect to node `id`; `None` where no path leads to the logits.
    pub(super) fn get(&self, id: NodeId) -> Option<&Tensor> {
        self.tensors[id.index()].as_ref()
    }
}

/// `[N, C, H, W]` on a device as a batch of the host's engine.
fn download(tensor: &Tensor) -> Result<Batch<f32>> {
    let values = || Ok((tensor.dims4()?, tensor.transpose(0, 1)?.flatten_all()?.to_vec1()?));
    let ((n, c, h, w), data) = values().map_err(failed)?;
    Batch::new(Shape::new(c, h, w), n, data)
}

impl Network {
    /// Verifies `graph` and moves its weights to `place`; `None` if that is the host's own engine.
    pub fn open(graph: &Graph, place: Place) -> Result<Option<Self>> {
        graph.verify()?;
        let Some(device) = place.open()? else { return Ok(None) };
        let prepare = |id: NodeId| {
            let node = graph.node(id);
            let input = node.inputs.first().map_or(node.shape, |&i| graph.shape(i));
            op::prepare(&node.op, input, node.shape, &device).map_err(failed)
        };
        let prepared = graph.ids().map(prepare).collect::<Result<_>>()?;
        Ok(Some(Self { graph: graph.clone(), device, prepared }))
    }

    /// Samples that a forward and a backward pass can take at a time, as far as that can be told: every tensor, its
    /// gradient, and as much again for what the operators hold meanwhile.
    pub fn batch(&self) -> usize {
        let values: usize = self.graph.ids().map(|id| self.graph.shape(id).len()).sum();
        place::batch(&self.device, 3 * values * size_of::<f32>())
    }

    /// How a layer's input channels contribute to its outputs; see [`Contributions::new`].
    pub fn contributions(&self, node: NodeId, scale: &[f32], place: &[usize], places: usize) -> Result<Contributions> {
        let input = self.graph.node(node).inputs.first().map_or(self.graph.shape(node), |&i| self.graph.shape(i));
        Contributions::new(self.graph.node(node), input, scale, place, places, &self.device)
    }

    /// Runs the graph up to the logits and keeps every tensor.
    pub fn forward(&self, input: Batch<f32>) -> Result<Activations> {
        let mut tensors: Vec<Tensor> = vec![self.upload(input)?];
        for id in self.graph.ids().skip(1).take(self.graph.logits().index()) {
            let node = self.graph.node(id);
            let inputs: Vec<&Tensor> = node.inputs.iter().map(|i| &tensors[i.index()]).collect();
            tensors.push(op::forward(&node.op, &self.prepared[id.index()], &inputs).map_err(failed)?);
        }
        Ok(Activations { tensors })
    }

    /// The logits of a batch.
    pub fn logits(&self, acts: &Activations) -> Result<Batch<f32>> {
        acts.host(self.graph.logits())
    }

    /// Gradients with respect to every tensor but the input's, of a sum whose derivative with respect to the logits is
    /// `seed`.
    pub fn backward(&self, acts: &Activations, seed: Batch<f32>) -> Result<Gradients> {
        let logits = self.graph.logits();
        let mut gradients: Vec<Option<Tensor>> = vec![None; self.graph.nodes.len()];
        gradients[logits.index()] = Some(self.upload(seed)?);
        for index in (1..=logits.index()).rev() {
            let Some(gradient) = gradients[index].clone() else { continue };
            let node = &self.graph.nodes[index];
            let inputs: Vec<&Tensor> = node.inputs.iter().map(|&i| acts.get(i)).collect();
            for (operand, &input) in node.inputs.iter().enumerate().filter(|(_, i)| **i != self.graph.input()) {
                let part =
                    op::backward(&node.op, &self.prepared[index], operand, &inputs, &gradient).map_err(failed)?;
                let slot = &mut gradients[input.index()];
                *slot = Some(match slot.take() {
                    Some(sum) => (sum + part).map_err(failed)?,
                    None => part,
                });
            }
        }
        Ok(Gradients { tensors: gradients })
    }

    /// Moves a batch `[C, N, H, W]` of the host's engine to the device, as `[N, C, H, W]`.
    fn upload(&self, batch: Batch<f32>) -> Result<Tensor> {
        let Shape { c, h, w } = batch.shape;
        let tensor = Tensor::from_vec(batch.data, (c, batch.n, h, w), &self.device);
        tensor.and_then(|t| t.transpose(0, 1)?.contiguous()).map_err(failed)
    }
}
