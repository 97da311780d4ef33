//! One step of gradient descent with momentum.

use std::collections::BTreeSet;

use crate::data::{InputContract, Samples};
use crate::device::{self, Place};
use crate::diag::Result;
use crate::exec::{Batch, Float, Network, ParamGrad, Want, for_chunks};
use crate::finetune::precondition::Preconditioner;
use crate::finetune::train::diverged;
use crate::finetune::{Loss, cross_entropy};
use crate::ir::op::Op;
use crate::ir::{Graph, NodeId};

/// The state between steps: `v ← momentum·v + gradient + decay·weight`, `weight ← weight − rate·v`.
#[derive(Debug, Clone)]
pub struct Sgd {
    momentum: f32,
    decay: f32,
    smoothing: f64,
    trust: Option<f64>,
    fixed: Vec<bool>,
    place: Place,
    /// Samples that were found to fit the device at a time.
    fits: usize,
    velocity: Vec<Option<ParamGrad<f32>>>,
    preconditioner: Option<Preconditioner>,
}

impl Sgd {
    /// At rest. `decay` acts on the weights of convolutions and dense layers only; `smoothing` is the label
    /// smoothing of the loss.
    pub fn new(graph: &Graph, momentum: f64, decay: f64, smoothing: f64) -> Self {
        Self {
            momentum: momentum as f32,
            decay: decay as f32,
            smoothing,
            trust: None,
            fixed: vec![false; graph.nodes.len()],
            place: Place::Host,
            fits: usize::MAX,
            velocity: vec![None; graph.nodes.len()],
            preconditioner: None,
        }
    }

    /// Shortens a layer's step so that its gradient alone moves its weights by at most this share of their norm.
    /// Folded batch norm leaves some layers with weights far smaller than their gradients.
    #[must_use]
    pub(super) fn within(self, trust: f64) -> Self {
        Self { trust: Some(trust), ..self }
    }

    /// From now on takes gradients through `preconditioner`.
    pub(super) fn precondition(&mut self, preconditioner: Preconditioner) {
        self.preconditioner = Some(preconditioner);
    }

    /// Leaves the layers of these names as they are.
    #[must_use]
    pub(super) fn without(self, graph: &Graph, names: &BTreeSet<String>) -> Self {
        Self { fixed: graph.nodes.iter().map(|node| names.contains(&node.name)).collect(), ..self }
    }

    /// Runs the network at `place`. The weights stay in host memory: a step takes them there and the gradients back.
    #[must_use]
    pub(super) fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// Moves the weights of `graph` by one step on the samples `indices`. Returns the summed loss before the
    /// step and the number of right answers.
    pub fn step(
        &mut self,
        graph: &mut Graph,
        contract: &InputContract,
        samples: &Samples,
        indices: &[usize],
        rate: f64,
    ) -> Result<(f64, usize)> {
        let smoothing = self.smoothing;
        let loss = |scores: &Batch<f32>, chunk: &[usize]| {
            let labels: Vec<u32> = chunk.iter().map(|&i| samples.labels[i]).collect();
            cross_entropy(scores, &labels, smoothing)
        };
        self.step_by(graph, contract, samples, indices, rate, &loss)
    }

    /// The same with any loss of the logits of the samples it is told the indices of.
    pub(super) fn step_by(
        &mut self,
        graph: &mut Graph,
        contract: &InputContract,
        samples: &Samples,
        indices: &[usize],
        rate: f64,
        loss: &(impl Fn(&Batch<f32>, &[usize]) -> Loss + Sync),
    ) -> Result<(f64, usize)> {
        let logits = graph.logits();
        let chunks: Vec<Part> = if let Some(network) = device::Network::open(graph, self.place)? {
            network.limit(self.fits);
            let parts = network.in_batches(indices.len(), |range| {
                let chunk = &indices[range];
                let acts = network.forward(input(graph, contract, samples, chunk)?)?;
                let loss = loss(&network.logits(&acts)?, chunk);
                Ok((loss.sum, loss.correct, network.param_gradients(&acts, loss.gradient)?))
            })?;
            self.fits = network.batch();
            parts
        } else {
            let network = Network::new(graph)?;
            for_chunks(indices.len(), |range| {
                let chunk = &indices[range];
                let acts = network.forward(&input(graph, contract, samples, chunk)?)?;
                let loss = loss(acts.get(logits), chunk);
                let want = Want { params: true, ..Want::default() };
                let gradients = network.backward(&acts, &[(logits, loss.gradient)], want)?;
                Ok((loss.sum, loss.correct, graph.ids().map(|id| gradients.params(id).cloned()).collect()))
            })?
        };
        let (mut loss, mut correct) = (0.0, 0);
        let mut total: Vec<Option<ParamGrad<f32>>> = vec![None; graph.nodes.len()];
        for (sum, hits, params) in chunks {
            loss += sum;
            correct += hits;
            for (slot, part) in total.iter_mut().zip(params) {
                match (slot, part) {
                    (Some(sum), Some(part)) => {
                        add(&mut sum.weight, &part.weight);
                        add(&mut sum.bias, &part.bias);
                    }
                    (slot @ None, part) => *slot = part,
                    (Some(_), None) => {}
                }
            }
        }
        if !loss.is_finite() {
            return diverged();
        }
        let share = 1.0 / indices.len().max(1) as f32;
        for (i, gradient) in total.into_iter().enumerate() {
            // An affine on the input says what the device's bytes mean: that is given, not learned.
            let raw = |id: &NodeId| matches!(graph.node(*id).op, Op::Input | Op::Adapt(_));
            let normalisation = matches!(graph.nodes[i].op, Op::Affine(_)) && graph.nodes[i].inputs.iter().all(raw);
            if let Some(mut gradient) = gradient.filter(|_| !normalisation && !self.fixed[i]) {
                if let Some(preconditioner) = &self.preconditioner {
                    preconditioner.apply(i, &mut gradient)?;
                }
                self.update(graph, NodeId(i as u32), &gradient, share, rate as f32);
            }
        }
        Ok((loss, correct))
    }

    fn update(&mut self, graph: &mut Graph, id: NodeId, gradient: &ParamGrad<f32>, share: f32, rate: f32) {
        let velocity = self.velocity[id.index()].get_or_insert_with(|| ParamGrad {
            weight: vec![0.0; gradient.weight.len()],
            bias: vec![0.0; gradient.bias.len()],
        });
        let weights = match &graph.nodes[id.index()].op {
            Op::Conv(conv) => norm(&conv.weight),
            Op::Dense(dense) => norm(&dense.weight),
            _ => f64::INFINITY,
        };
        let slope = f64::from(share) * norm(&gradient.weight);
        let limit = self.trust.map_or(f64::INFINITY, |trust| trust * weights / slope.max(f64::MIN_POSITIVE));
        // The gradient is shortened, not the rate: the steps before it go on as they were.
        let share = share * (limit / f64::from(rate).max(f64::MIN_POSITIVE)).min(1.0) as f32;
        let step = Step { momentum: self.momentum, share, rate };
        let (speeds, slopes) = ((&mut velocity.weight, &mut velocity.bias), (&gradient.weight, &gradient.bias));
        match &mut graph.nodes[id.index()].op {
            Op::Conv(conv) => {
                step.apply(&mut conv.weight, speeds.0, slopes.0, self.decay);
                step.apply(&mut conv.bias, speeds.1, slopes.1, 0.0);
            }
            Op::Dense(dense) => {
                step.apply(&mut dense.weight, speeds.0, slopes.0, self.decay);
                step.apply(&mut dense.bias, speeds.1, slopes.1, 0.0);
            }
            Op::Affine(affine) => {
                step.apply(&mut affine.scale, speeds.0, slopes.0, 0.0);
                step.apply(&mut affine.shift, speeds.1, slopes.1, 0.0);
            }
            _ => {}
        }
    }
}

/// Summed loss and right answers of some samples, and every node's parameter gradient.
type Part = (f64, usize, Vec<Option<ParamGrad<f32>>>);

/// One step of descent with momentum.
struct Step {
    momentum: f32,
    share: f32,
    rate: f32,
}

impl Step {
    fn apply<V: Float>(&self, values: &mut [V], speeds: &mut [f32], slopes: &[f32], decay: f32) {
        for ((value, speed), slope) in values.iter_mut().zip(speeds).zip(slopes) {
            *speed = self.momentum * *speed + self.share * slope + decay * value.wide() as f32;
            *value = V::of(value.wide() - f64::from(self.rate * *speed));
        }
    }
}

/// The samples `indices` as the graph's input.
pub(super) fn input(
    graph: &Graph,
    contract: &InputContract,
    samples: &Samples,
    indices: &[usize],
) -> Result<Batch<f32>> {
    let data = contract.normalized(samples, indices.iter().copied(), |x| x as f32);
    Batch::new(graph.shape(graph.input()), indices.len(), data)
}

/// Euclidean.
fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt()
}

fn add(sum: &mut [f32], part: &[f32]) {
    for (a, b) in sum.iter_mut().zip(part) {
        *a += b;
    }
}
