//! A graph with its weights on a device, and both passes.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{Device, Tensor};

use crate::device::op::{self, Prepared};
use crate::device::{Contributions, OUT_OF_MEMORY, Place, Values, failed, place};
use crate::diag::{Diag, Result};
use crate::exec::{Batch, ParamGrad};
use crate::ir::op::Op;
use crate::ir::{Graph, NodeId, Shape};

/// A graph ready to run on a device.
#[derive(Debug)]
pub struct Network {
    graph: Graph,
    device: Device,
    prepared: Vec<Prepared>,
    /// Samples of a batch; fewer once memory ran out.
    batch: AtomicUsize,
    /// Samples that pretended memory holds.
    most: Option<usize>,
}

/// The tensor of every node up to the logits for one batch, `[N, C, H, W]`.
#[derive(Debug)]
pub struct Activations {
    tensors: Vec<Tensor>,
}

impl Activations {
    /// The result of node `id` in host memory; not of what comes after the logits.
    pub fn host(&self, id: NodeId) -> Result<Batch<f32>> {
        self.values(id).host()
    }

    /// The result of node `id` where it is; not of what comes after the logits.
    pub fn values(&self, id: NodeId) -> Values {
        Values(self.get(id).clone())
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
        self.get(id).map(|tensor| Values(tensor.clone()).host()).transpose()
    }

    /// With respect to node `id`; `None` where no path leads to the logits.
    pub(super) fn get(&self, id: NodeId) -> Option<&Tensor> {
        self.tensors[id.index()].as_ref()
    }
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
        let batch = AtomicUsize::new(place::batch(&device, bytes_per_sample(graph)));
        Ok(Some(Self { graph: graph.clone(), device, prepared, batch, most: place.most() }))
    }

    /// Samples that a forward and a backward pass take at a time: as many as the free memory seemed to hold when the
    /// network was opened, or fewer, if that turned out to be too much.
    pub fn batch(&self) -> usize {
        self.batch.load(Ordering::Relaxed)
    }

    /// Takes no more than `batch` samples at a time.
    pub fn limit(&self, batch: usize) {
        self.batch.fetch_min(batch.max(1), Ordering::Relaxed);
    }

    /// Takes note that `tried` samples were too many and half of them are to be tried: `error` itself where it is about
    /// something else, or one sample is too much.
    pub fn halve(&self, tried: usize, error: Box<Diag>) -> Result<()> {
        if error.code != OUT_OF_MEMORY {
            return Err(error);
        }
        if tried < 2 {
            return Err(Box::new(error.help("one sample alone does not fit this device; leave --device out")));
        }
        self.batch.store(tried / 2, Ordering::Relaxed);
        Ok(())
    }

    /// Runs `f` on all of `0..samples`, a batch at a time in order; where memory runs out the batch is halved.
    pub fn in_batches<R>(&self, samples: usize, mut f: impl FnMut(Range<usize>) -> Result<R>) -> Result<Vec<R>> {
        let (mut results, mut start) = (Vec::new(), 0);
        while start < samples {
            let end = samples.min(start + self.batch());
            match f(start..end) {
                Ok(result) => {
                    results.push(result);
                    start = end;
                }
                Err(error) => self.halve(end - start, error)?,
            }
        }
        Ok(results)
    }

    /// One row of scores for each of `samples` samples, of the graph's output or of its `logits`.
    pub fn rows(
        &self,
        samples: usize,
        logits: bool,
        input: impl Fn(Range<usize>) -> Result<Batch<f32>>,
    ) -> Result<Vec<Vec<f32>>> {
        let to = if logits { self.graph.logits() } else { self.graph.output };
        let rows = self.in_batches(samples, |range| {
            let scores = self.result(to, input(range)?)?;
            Ok((0..scores.n).map(|n| scores.sample(n)).collect::<Vec<_>>())
        })?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// How a layer's input channels contribute to its outputs; see [`Contributions::new`].
    pub fn contributions(&self, node: NodeId, scale: &[f32], place: &[usize], places: usize) -> Result<Contributions> {
        let input = self.graph.node(node).inputs.first().map_or(self.graph.shape(node), |&i| self.graph.shape(i));
        Contributions::new(self.graph.node(node), input, scale, place, places, &self.device)
    }

    /// Runs the graph up to the logits and keeps every tensor.
    pub fn forward(&self, input: Batch<f32>) -> Result<Activations> {
        let mut tensors: Vec<Tensor> = vec![self.begin(input)?];
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
        let mut tensors: Vec<Option<Tensor>> = vec![None; self.graph.nodes.len()];
        self.reverse(acts, seed, |id, _, gradient| {
            tensors[id.index()] = Some(gradient);
            Ok(())
        })?;
        Ok(Gradients { tensors })
    }

    /// Gradients with respect to every node's parameters, summed over the batch; `None` for nodes without, and where no
    /// path leads to the logits.
    pub fn param_gradients(&self, acts: &Activations, seed: Batch<f32>) -> Result<Vec<Option<ParamGrad<f32>>>> {
        let mut found: Vec<Option<ParamGrad<f32>>> = vec![None; self.graph.nodes.len()];
        self.reverse(acts, seed, |id, inputs, gradient| {
            let (op, prepared) = (&self.graph.node(id).op, &self.prepared[id.index()]);
            let part = op::backward_params(op, prepared, inputs, &gradient).map_err(failed)?;
            let host = |t: &Tensor| t.to_vec1().map_err(failed);
            found[id.index()] =
                part.map(|(w, b)| Ok::<_, Box<Diag>>(ParamGrad { weight: host(&w)?, bias: host(&b)? })).transpose()?;
            Ok(())
        })?;
        Ok(found)
    }

    /// Walks back from the logits; `visit` gets every node on the way, its operands and its finished gradient.
    fn reverse(
        &self,
        acts: &Activations,
        seed: Batch<f32>,
        mut visit: impl FnMut(NodeId, &[&Tensor], Tensor) -> Result<()>,
    ) -> Result<()> {
        let logits = self.graph.logits();
        let mut gradients: Vec<Option<Tensor>> = vec![None; self.graph.nodes.len()];
        gradients[logits.index()] = Some(upload(seed, &self.device)?);
        for index in (1..=logits.index()).rev() {
            let Some(gradient) = gradients[index].take() else { continue };
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
            visit(NodeId(index as u32), &inputs, gradient)?;
        }
        Ok(())
    }

    /// The result of node `to` alone: a tensor goes once nothing reads it any more.
    fn result(&self, to: NodeId, input: Batch<f32>) -> Result<Batch<f32>> {
        let mut last = vec![to; self.graph.nodes.len()];
        for id in self.graph.ids() {
            self.graph.node(id).inputs.iter().for_each(|i| last[i.index()] = id);
        }
        let mut tensors: Vec<Option<Tensor>> = vec![None; self.graph.nodes.len()];
        tensors[0] = Some(self.begin(input)?);
        for id in self.graph.ids().skip(1).take(to.index()) {
            let node = self.graph.node(id);
            let operand =
                |i: &NodeId| tensors[i.index()].as_ref().expect("a tensor lives until its last reader has run");
            let inputs: Vec<&Tensor> = node.inputs.iter().map(operand).collect();
            let result = op::forward(&node.op, &self.prepared[id.index()], &inputs).map_err(failed)?;
            tensors[id.index()] = Some(result);
            for i in &node.inputs {
                if last[i.index()] <= id && *i != to {
                    tensors[i.index()] = None;
                }
            }
        }
        Values(tensors[to.index()].take().expect("the last node to run")).host()
    }

    fn begin(&self, input: Batch<f32>) -> Result<Tensor> {
        if self.most.is_some_and(|most| input.n > most) {
            return Diag::new(OUT_OF_MEMORY, "the device failed: out of memory (pretended)").err();
        }
        upload(input, &self.device)
    }
}

/// Moves a batch `[C, N, H, W]` of the host's engine to the device, as `[N, C, H, W]`.
pub(super) fn upload(batch: Batch<f32>, device: &Device) -> Result<Tensor> {
    let Shape { c, h, w } = batch.shape;
    let tensor = Tensor::from_vec(batch.data, (c, batch.n, h, w), device);
    tensor.and_then(|t| t.transpose(0, 1)?.contiguous()).map_err(failed)
}

/// What one sample takes in both passes: every tensor, its gradient, and twice the largest matrix of patches.
fn bytes_per_sample(graph: &Graph) -> usize {
    let values: usize = graph.ids().map(|id| graph.shape(id).len()).sum();
    let patches = graph.ids().map(|id| {
        let node = graph.node(id);
        match &node.op {
            Op::Conv(conv) => {
                let taps = conv.window.kernel[0] * conv.window.kernel[1];
                let input = node.inputs.first().map_or(node.shape, |&i| graph.shape(i));
                taps * (conv.in_channels * node.shape.plane()).max(conv.out_channels * input.plane()) / conv.groups
            }
            _ => 0,
        }
    });
    (2 * values + 2 * patches.max().unwrap_or(0)) * size_of::<f32>()
}
