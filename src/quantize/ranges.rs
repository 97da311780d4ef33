//! Calibration: runs the float graph over samples and chooses every stored tensor's scale and zero point.
//!
//! Two passes, because tensors that share a scale need bins over one common extent: the first finds the
//! extents, the second fills histograms. Counts are integers and chunks are fixed, so the result does not
//! depend on the number of threads. The scores keep their whole extent: their largest values decide.

use crate::data::{InputKind, Samples};
use crate::diag::{Diag, Result};
use crate::exec::{Batch, Network, for_chunks};
use crate::ir::{Graph, NodeId};
use crate::qir::Quant;
use crate::quantize::fold_input::InputMap;
use crate::quantize::fuse::{Stage, passes_through};
use crate::quantize::histogram::{Extent, Histogram, full_quant};
use crate::quantize::prepare::{Prepared, is_adapted};

/// Scale and zero point of every stored tensor, by node; nodes that are not stored have none.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ranges {
    quants: Vec<Option<Quant>>,
}

impl Ranges {
    /// The tensor that node `id` makes, if it is stored.
    pub fn get(&self, id: NodeId) -> Option<Quant> {
        self.quants[id.index()]
    }
}

/// The samples `chosen` as a batch of the network's input.
pub(super) fn input_batch(map: &InputMap, samples: &Samples, chosen: &[usize], graph: &Graph) -> Batch<f32> {
    let shape = graph.shape(graph.input());
    let (plane, n) = (shape.plane(), chosen.len());
    let mut data = vec![0.0; shape.len() * n];
    for (k, &sample) in chosen.iter().enumerate() {
        for (i, &byte) in samples.sample(sample).iter().enumerate() {
            let (position, c) = (i / shape.c, i % shape.c);
            let x = map.slope[c] * f64::from(stored(samples.kind, byte)) + map.offset[c];
            data[(c * n + k) * plane + position] = x as f32;
        }
    }
    Batch { shape, n, data }
}

/// The integer that a raw byte stands for on the device.
pub(super) fn stored(kind: InputKind, byte: u8) -> i8 {
    match kind {
        InputKind::U8 => (i32::from(byte) - 128) as i8,
        InputKind::I8 => byte as i8,
    }
}

/// Runs the chosen samples through the network and chooses the ranges. `roots` names the tensors that share one.
pub(super) fn calibrate(
    prepared: &Prepared,
    stages: &[Stage],
    roots: &[NodeId],
    samples: &Samples,
    chosen: &[usize],
) -> Result<Ranges> {
    let graph = &prepared.graph;
    let network = Network::<f32>::new(graph)?;
    let batch = |range: std::ops::Range<usize>| input_batch(&prepared.input, samples, &chosen[range], graph);
    let nodes: Vec<NodeId> = stages.iter().map(|s| s.output).collect();

    let per_chunk = for_chunks(chosen.len(), |range| {
        let acts = network.forward(&batch(range))?;
        nodes.iter().map(|&id| extent(graph, id, &acts.get(id).data)).collect::<Result<Vec<Extent>>>()
    })?;
    let mut extents = vec![Extent::ZERO; graph.nodes.len()];
    for chunk in &per_chunk {
        for (&id, &extent) in nodes.iter().zip(chunk) {
            let shared = &mut extents[roots[id.index()].index()];
            *shared = shared.union(extent);
        }
    }

    let counted = counted_nodes(graph, &nodes);
    let per_chunk = for_chunks(chosen.len(), |range| {
        let acts = network.forward(&batch(range))?;
        Ok(counted
            .iter()
            .map(|&id| {
                let mut histogram = Histogram::new(extents[roots[id.index()].index()]);
                histogram.add(&acts.get(id).data);
                histogram
            })
            .collect::<Vec<Histogram>>())
    })?;
    let mut histograms: Vec<Option<Histogram>> = vec![None; graph.nodes.len()];
    for chunk in per_chunk {
        for (&id, histogram) in counted.iter().zip(chunk) {
            match &mut histograms[roots[id.index()].index()] {
                Some(sum) => sum.merge(&histogram),
                empty => *empty = Some(histogram),
            }
        }
    }

    let scores = roots[graph.output.index()];
    let shared: Vec<Option<Quant>> = histograms
        .iter()
        .enumerate()
        .map(|(i, histogram)| {
            let histogram = histogram.as_ref()?;
            Some(if i == scores.index() { full_quant(extents[i]) } else { histogram.best_quant() })
        })
        .collect();
    let mut quants = vec![None; graph.nodes.len()];
    for &id in &nodes {
        let pixels = Quant { scale: 1.0, zero_point: -128 };
        quants[id.index()] = if is_adapted(graph, id) { Some(pixels) } else { shared[roots[id.index()].index()] };
    }
    Ok(Ranges { quants })
}

/// Stored tensors whose values count: those that are only copied are counted where the copy is read.
fn counted_nodes(graph: &Graph, nodes: &[NodeId]) -> Vec<NodeId> {
    let consumers = graph.consumers();
    let copied = |id: NodeId| {
        id != graph.output
            && !consumers[id.index()].is_empty()
            && consumers[id.index()].iter().all(|&c| {
                let op = &graph.node(c).op;
                passes_through(op) && *op != crate::ir::op::Op::Flatten
            })
    };
    nodes.iter().copied().filter(|&id| !copied(id)).collect()
}

fn extent(graph: &Graph, id: NodeId, values: &[f32]) -> Result<Extent> {
    Extent::of(values).map_or_else(
        || {
            Diag::new("quantize/not-finite", "a calibration sample gives values that are not finite")
                .at(format!("layer \"{}\"", graph.node(id).name))
                .expected("finite numbers", "NaN or infinity")
                .help("check the model's weights and the input contract")
                .err()
        },
        Ok,
    )
}
