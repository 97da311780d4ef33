//! Fits of any cut of one source to compare sizes: every layer on its own, from sums taken once.
//!
//! In: a source [`Graph`] and calibration inputs. Out: for any [`Assembled`] network of that source, the same with
//! fitted weights. Each layer is fitted as if the layers before it gave exactly what the source gives at the kept
//! channels, so that the sums `XᵀX` and `XᵀT` of a cut layer are parts of the whole layer's, and a fit is a selection of rows
//! and columns and a solution. What was solved once is remembered: where a network differs from one fitted before in
//! the width of one group, only the layers that read it are solved.
//!
//! What the layers before get wrong is not made up for, so such a network loses more than one fitted in order; it tells
//! sizes apart at a small part of the cost. The ridge of a layer is chosen as for other fits, by held-out samples, and
//! again when a fifth of its inputs has gone since: it may depend on which networks were fitted before.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::slice;

use rayon::prelude::*;

use crate::assemble::Assembled;
use crate::diag::Result;
use crate::exec::{Activations, Network};
use crate::ir::op::Op;
use crate::ir::{Graph, NodeId};
use crate::refit::moments::{Part, Sums};
use crate::refit::patches::{FOLDS, Layer, Rows, Unit};
use crate::refit::solve::{best_of, ridge_errors, weights_at};
use crate::refit::stand_in::{self, ChannelSums, is_stand_in, sum_of};
use crate::refit::targets::{Target, at_positions};
use crate::refit::{Inputs, RIDGES, replace};

/// Bytes that the sums may take.
const BYTES: usize = 1 << 30;

/// Samples that the source sees at once.
const BATCH: usize = 64;

/// A layer's ridge is chosen again when it reads fewer than this share of the inputs that it was chosen with.
const SAME_RIDGE: f64 = 0.8;

/// Sums of one layer of the source.
struct LayerSums {
    /// Of the samples that ridges are chosen by.
    held_out: Sums,
    /// Of the others.
    rest: Sums,
    /// The adds that read the layer's result, in the order of their columns behind the layer's own.
    adds: Vec<NodeId>,
}

/// New weights and biases.
type Weights = (Vec<f32>, Vec<f32>);

/// A layer, the node whose value it aims at, its outputs and its inputs.
type Key = (NodeId, NodeId, Vec<u32>, Vec<u32>);

/// The sums of one source on some samples.
pub struct Independent<'a> {
    source: &'a Graph,
    layers: BTreeMap<NodeId, LayerSums>,
    /// Sums of each channel for an add or gate and an operand of its shape.
    pairs: BTreeMap<(NodeId, NodeId), Vec<ChannelSums>>,
    solved: RefCell<BTreeMap<Key, Weights>>,
    /// The ridge of a layer and aim, and the number of inputs that it was chosen with.
    ridges: RefCell<BTreeMap<(NodeId, NodeId), (f64, usize)>>,
}

impl<'a> Independent<'a> {
    /// Runs the source over `samples` inputs. `None` where the sums would take too much memory.
    pub fn new(source: &'a Graph, samples: usize, inputs: Inputs<'_>, seed: u64) -> Result<Option<Self>> {
        let mut sums = Self {
            source,
            layers: BTreeMap::new(),
            pairs: BTreeMap::new(),
            solved: RefCell::default(),
            ridges: RefCell::default(),
        };
        let plan: Vec<Layer> = source.ids().filter_map(|id| Layer::alone(source, id, samples, seed)).collect();
        if plan.iter().map(|layer| sums.wants(layer.node)).sum::<usize>() > BYTES {
            return Ok(None);
        }
        for layer in &plan {
            sums.open(layer.node);
        }
        let network = Network::<f32>::new(source)?;
        let unit = |at: usize| Unit { range: at..samples.min(at + BATCH) };
        let units: Vec<Unit> = (0..samples).step_by(BATCH).map(unit).collect();
        for wave in units.chunks(rayon::current_num_threads()) {
            let run = |unit: &Unit| network.forward(&inputs(unit.range.clone())?);
            let acts: Vec<Result<Activations<f32>>> = wave.par_iter().map(run).collect();
            for (unit, acts) in wave.iter().zip(acts) {
                let acts = acts?;
                for layer in &plan {
                    sums.add(layer, unit, &acts)?;
                }
            }
        }
        Ok(Some(sums))
    }

    /// Inputs of a filter, results, and the adds that read them, of a layer whose sums are wanted.
    fn size(&self, id: NodeId) -> Option<(usize, usize, Vec<NodeId>)> {
        let (f, outputs) = match &self.source.node(id).op {
            Op::Conv(conv) if conv.groups == 1 => (conv.fan_in(), conv.out_channels),
            Op::Dense(dense) => (dense.in_features, dense.out_features),
            _ => return None,
        };
        let reads = |add: &NodeId| {
            let reader = self.source.node(*add);
            reader.op == Op::Add && reader.inputs.contains(&id)
        };
        Some((f, outputs, self.source.ids().filter(reads).collect()))
    }

    /// Bytes of a layer's sums.
    fn wants(&self, id: NodeId) -> usize {
        self.size(id).map_or(0, |(f, outputs, adds)| 2 * size_of::<f64>() * f * (f + outputs * (1 + adds.len())))
    }

    /// Makes room for the sums of a layer, add or gate.
    fn open(&mut self, id: NodeId) {
        if let Some((f, outputs, adds)) = self.size(id) {
            let zeros = || Sums::zeros(f, outputs * (1 + adds.len()));
            self.layers.insert(id, LayerSums { held_out: zeros(), rest: zeros(), adds });
            return;
        }
        let node = self.source.node(id);
        for &operand in node.inputs.iter().filter(|&&i| self.source.shape(i) == node.shape) {
            self.pairs.insert((id, operand), vec![ChannelSums::default(); node.shape.c]);
        }
    }

    /// Adds some samples' values of one layer.
    fn add(&mut self, layer: &Layer, unit: &Unit, acts: &Activations<f32>) -> Result<()> {
        let source = self.source;
        let node = source.node(layer.node);
        let values = |id: NodeId| {
            let channels: Vec<u32> = (0..source.shape(id).c as u32).collect();
            at_positions(layer, unit, acts.get(id), &channels)
        };
        for &operand in &node.inputs {
            if let Some(sums) = self.pairs.get_mut(&(layer.node, operand)) {
                stand_in::add_to(sums, &values(operand), &values(layer.node));
            }
        }
        let Some(sums) = self.layers.get_mut(&layer.node) else { return Ok(()) };
        let targets: Vec<Vec<f32>> = [layer.node].iter().chain(&sums.adds).map(|&id| values(id)).collect();
        let width = node.shape.c;
        let row = |at: usize| targets.iter().flat_map(move |t| &t[at * width..(at + 1) * width]).copied();
        let own = (0..unit.range.len() * layer.positions).flat_map(row).collect();
        let target = Target { own: vec![own], add: Vec::new() };
        let x = slice::from_ref(acts.get(node.inputs[0]));
        let rows = Rows { units: slice::from_ref(unit), layer };
        for (folds, sums) in [(0..1, &mut sums.held_out), (1..FOLDS, &mut sums.rest)] {
            let places: Vec<_> = folds.flat_map(|fold| rows.of_fold(0..1, fold)).collect();
            if !places.is_empty() {
                let part = Part { op: &node.op, layer, rows: &rows, x, target: &target, places: &places };
                part.add_to(slice::from_mut(sums))?;
            }
        }
        Ok(())
    }

    /// `small`, a cut of the source, with fitted weights.
    pub fn fit(&self, small: &Assembled) -> Result<Graph> {
        let consumers = small.graph.consumers();
        let sum = |id: NodeId| sum_of(self.source, small, &consumers, id);
        let mut graph = small.graph.clone();
        for id in small.graph.ids().skip(1) {
            let origin = &small.origins[id.index()];
            let Some(from) = origin.source else { continue };
            let node = small.graph.node(id);
            match &node.op {
                Op::Conv(_) | Op::Dense(_) => {
                    let carried = sum(id);
                    let aim = carried.and_then(|add| small.origins[add.index()].source).unwrap_or(from);
                    let whole = self.source.shape(self.source.node(from).inputs[0]).c;
                    let Some(sums) = self.layers.get(&from) else { continue };
                    if origin.features.len() == whole && aim == from {
                        continue;
                    }
                    let key = (from, aim, origin.channels.clone(), origin.features.clone());
                    let known = self.solved.borrow().get(&key).cloned();
                    let (weight, bias) = match known {
                        Some(known) => known,
                        None => self.solve(sums, &key, &node.op)?,
                    };
                    if let Some(add) = carried
                        && let Op::Affine(affine) = &mut graph.nodes[add.index()].op
                    {
                        affine.shift.fill(0.0);
                    }
                    replace(&mut graph, id, weight, bias);
                }
                Op::Affine(_) if is_stand_in(self.source, small, id) && sum(node.inputs[0]) != Some(id) => {
                    let operand = small.origins[node.inputs[0].index()].source;
                    let Some(sums) = operand.and_then(|operand| self.pairs.get(&(from, operand))) else { continue };
                    let own = origin.channels.iter().map(|&c| &sums[c as usize]);
                    graph.nodes[id.index()].op = Op::Affine(stand_in::solve(own).0);
                }
                _ => {}
            }
        }
        graph.verify()?;
        Ok(graph)
    }

    /// Solves a layer for these outputs and inputs, and remembers it.
    fn solve(&self, sums: &LayerSums, key: &Key, op: &Op) -> Result<Weights> {
        let (from, aim, channels, features) = key;
        let (taps, weight) = match op {
            Op::Conv(conv) => (conv.window.kernel.iter().product(), &conv.weight),
            Op::Dense(dense) => (1, &dense.weight),
            _ => return Ok(Weights::default()),
        };
        let columns: Vec<usize> =
            features.iter().flat_map(|&c| (0..taps).map(move |t| c as usize * taps + t)).collect();
        let block = sums.adds.iter().position(|add| add == aim).map_or(0, |at| at + 1);
        let outputs = self.source.shape(*from).c;
        let rows: Vec<usize> = channels.iter().map(|&c| block * outputs + c as usize).collect();
        let sliced: Vec<f64> = weight.iter().map(|&w| f64::from(w)).collect();
        let (held_out, rest) = (sums.held_out.select(&rows, &columns), sums.rest.select(&rows, &columns));
        let chosen = self.ridges.borrow().get(&(*from, *aim)).copied();
        let ridge = match chosen {
            Some((ridge, inputs)) if features.len() as f64 >= SAME_RIDGE * inputs as f64 => ridge,
            _ => {
                let (errors, _) = ridge_errors(&rest, &held_out, &sliced)?;
                let ridge = RIDGES[best_of(&errors)];
                self.ridges.borrow_mut().insert((*from, *aim), (ridge, features.len()));
                ridge
            }
        };
        let mut all = rest;
        all.add(&held_out, 1.0);
        let fitted = weights_at(&all, &sliced, ridge)?;
        self.solved.borrow_mut().insert(key.clone(), fitted.clone());
        Ok(fitted)
    }
}
