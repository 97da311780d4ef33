//! What is fitted, on which samples, at which positions.

use std::ops::Range;

use crate::assemble::Assembled;
use crate::exec::{Batch, CHUNK};
use crate::ir::op::{Op, Window};
use crate::ir::{Graph, NodeId};
use crate::refit::RefitOptions;
use crate::refit::stand_in::{is_stand_in, sum_of};

/// Most bytes that the small network's live tensors may take; more samples than fit are left out evenly.
const STREAM_BYTES: usize = 1 << 30;
/// Positions per weight of a filter: enough that the fit does not follow the sample.
const ROWS_PER_WEIGHT: usize = 150;
/// Bounds on the positions of one layer: narrow filters still need stable means, and cost grows with rows.
const ROWS: Range<usize> = 8_000..30_000;
/// A quick fit takes one of this many positions.
const QUICK: usize = 4;
/// Positions of one map taken per sample: neighbours say little new.
const POSITIONS: Range<usize> = 4..64;
/// Folds of the cross-validation: samples by their index modulo this.
pub(super) const FOLDS: usize = 4;

/// A chunk of samples.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    pub(super) range: Range<usize>,
}

impl Unit {
    /// Cross-validation fold of the unit's sample `s`.
    pub(super) fn fold(&self, s: usize) -> usize {
        (self.range.start + s) % FOLDS
    }
}

/// Where a layer's target comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Aim {
    /// The source's result of the same layer.
    Own,
    /// What is missing at a residual add: the source's sum less the small network's other operand, through
    /// the affine maps between the layer and the add, inverted (in order from the layer).
    Rest { add: NodeId, other: NodeId, affines: Vec<NodeId> },
}

/// One layer to fit. Ids are the small graph's.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) node: NodeId,
    /// The node whose source value is aimed at: the layer itself, or an add that it alone is left of.
    pub(super) from: NodeId,
    pub(super) aim: Aim,
    /// Affine maps between the layer and a ReLU, if nothing else reads the layer; the add of [`Aim::Rest`] may
    /// lie between them and the ReLU.
    pub(super) rectified: Option<Vec<NodeId>>,
    /// Positions taken per sample.
    pub(super) positions: usize,
    /// Width and size of the result's map.
    pub(super) width: usize,
    pub(super) plane: usize,
    seed: u64,
}

/// Everything that is decided before any number is looked at.
pub(super) struct Plan {
    pub(super) units: Vec<Unit>,
    pub(super) layers: Vec<Layer>,
}

impl Plan {
    pub(super) fn new(source: &Graph, small: &Assembled, samples: usize, options: &RefitOptions) -> Self {
        let fit = STREAM_BYTES / (4 * peak_values(&small.graph)).max(1);
        let units = units(samples, (fit / CHUNK).max(1));
        let used: usize = units.iter().map(|u| u.range.len()).sum();
        let exact = exact_nodes(source, small);
        let consumers = small.graph.consumers();
        let stand_in = |id: NodeId| is_stand_in(source, small, id);
        let is_layer = |id: NodeId| matches!(small.graph.node(id).op, Op::Conv(_) | Op::Dense(_));
        let sum = |id: NodeId| sum_of(source, small, &consumers, id).filter(|_| is_layer(id));
        let carried = |id: NodeId| sum(id).is_some();
        let mut layers = Vec::new();
        for id in small.graph.ids() {
            let fan_in = match &small.graph.node(id).op {
                Op::Conv(conv) => conv.fan_in(),
                Op::Dense(dense) => dense.in_features,
                // A layer that an add is left with carries the whole sum.
                Op::Affine(_) if stand_in(id) && !carried(small.graph.node(id).inputs[0]) => 1,
                _ => continue,
            };
            if small.origins[id.index()].source.is_none() {
                continue;
            }
            let aim = if is_layer(id) { aim(&small.graph, &consumers, id) } else { Aim::Own };
            let aim_is_met = match &aim {
                Aim::Own => true,
                Aim::Rest { other, .. } => exact[other.index()],
            };
            let from = sum(id).unwrap_or(id);
            if exact[id.index()] && aim_is_met && from == id {
                continue;
            }
            let thin = if options.quick { QUICK } else { 1 };
            let rectified = rectified(&small.graph, &consumers, id, &aim).filter(|_| !options.quick && is_layer(id));
            let layer = Layer::new(&small.graph, id, fan_in, used * thin, options.seed);
            layers.push(Layer { from, aim, rectified, ..layer });
        }
        Self { units, layers }
    }
}

impl Layer {
    /// A layer that aims at its own result, with positions enough for filters of `fan_in` weights on `samples` samples.
    fn new(graph: &Graph, node: NodeId, fan_in: usize, samples: usize, seed: u64) -> Self {
        let shape = graph.shape(node);
        let wanted = (ROWS_PER_WEIGHT * fan_in).clamp(ROWS.start, ROWS.end);
        let positions = wanted.div_ceil(samples.max(1)).clamp(POSITIONS.start, POSITIONS.end).min(shape.plane());
        Self {
            node,
            from: node,
            aim: Aim::Own,
            rectified: None,
            positions,
            width: shape.w,
            plane: shape.plane(),
            seed: mix(seed ^ mix(u64::from(node.0))),
        }
    }

    /// For a quick fit: a convolution, dense layer, add or gate that aims at its own result.
    pub(super) fn alone(graph: &Graph, node: NodeId, samples: usize, seed: u64) -> Option<Self> {
        let fan_in = match &graph.node(node).op {
            Op::Conv(conv) => conv.fan_in(),
            Op::Dense(dense) => dense.in_features,
            Op::Add | Op::Gate => 1,
            _ => return None,
        };
        Some(Self::new(graph, node, fan_in, samples * QUICK, seed))
    }

    /// Row and column of position `k` of a sample: all of them if the map is small, else seeded random ones.
    pub(super) fn position(&self, unit: &Unit, s: usize, k: usize) -> [usize; 2] {
        let at = if self.positions == self.plane {
            k
        } else {
            let sample = (unit.range.start + s) as u64;
            (mix(self.seed ^ mix(sample << 3) ^ (k as u64) << 48) % self.plane as u64) as usize
        };
        [at / self.width, at % self.width]
    }

    /// Offsets into the result's map of the positions of some samples, `[samples, positions]`.
    pub(super) fn offsets(&self, unit: &Unit, samples: Range<usize>) -> Vec<u32> {
        let places = samples.flat_map(|s| (0..self.positions).map(move |k| (s, k)));
        let offset = |(s, k)| {
            let [y, x] = self.position(unit, s, k);
            (y * self.width + x) as u32
        };
        places.map(offset).collect()
    }
}

/// The chunks used: all, or evenly spread ones.
fn units(samples: usize, most_chunks: usize) -> Vec<Unit> {
    let chunks = samples.div_ceil(CHUNK);
    let used = chunks.min(most_chunks);
    let unit = |i: usize| {
        let chunk = i * chunks / used;
        Unit { range: chunk * CHUNK..samples.min((chunk + 1) * CHUNK) }
    };
    (0..used).map(unit).collect()
}

/// Most values per sample that are alive at once when nodes run in order.
fn peak_values(graph: &Graph) -> usize {
    let mut last = vec![0; graph.nodes.len()];
    for id in graph.ids() {
        last[id.index()] = id.index();
        graph.node(id).inputs.iter().for_each(|i| last[i.index()] = id.index());
    }
    let last = &last;
    let alive = |at: usize| graph.ids().filter(move |id| id.index() <= at && last[id.index()] >= at);
    (0..graph.nodes.len()).map(|at| alive(at).map(|id| graph.shape(id).len()).sum()).max().unwrap_or(1)
}

/// Nodes whose tensors are the source's at the kept channels, whatever the input.
fn exact_nodes(source: &Graph, small: &Assembled) -> Vec<bool> {
    let mut exact = vec![true; small.graph.nodes.len()];
    for id in small.graph.ids().skip(1) {
        let (node, origin) = (small.graph.node(id), &small.origins[id.index()]);
        let reads_everything = match (&node.op, origin.source) {
            (Op::Dense(_), Some(from)) => origin.features.len() == source.shape(source.node(from).inputs[0]).c,
            // A group of a convolution is kept whole, and reads nothing else.
            (Op::Conv(conv), Some(from)) => {
                conv.groups > 1 || origin.features.len() == source.shape(source.node(from).inputs[0]).c || {
                    matches!(&source.node(from).op, Op::Conv(whole) if whole.groups > 1)
                }
            }
            // What stands for an add or a gate leaves an operand out.
            (_, Some(from)) => !is_stand_in(source, small, id) || source.node(from).op == node.op,
            _ => true,
        };
        exact[id.index()] = reads_everything && node.inputs.iter().all(|i| exact[i.index()]);
    }
    exact
}

/// Layers of the small network that a fit may change: all but those that are the source's, whole, on the source's own
/// tensors.
pub(super) fn open_layers(source: &Graph, small: &Assembled) -> Vec<NodeId> {
    let exact = exact_nodes(source, small);
    let open = |id: &NodeId| {
        let is_layer = matches!(small.graph.node(*id).op, Op::Conv(_) | Op::Dense(_));
        let origin = &small.origins[id.index()];
        let changed = |from: NodeId| !exact[id.index()] || origin.channels.len() != source.shape(from).c;
        is_layer && origin.source.is_some_and(changed)
    };
    small.graph.ids().filter(open).collect()
}

/// Follows a layer through affine maps that nothing else reads to a residual add whose other operand is
/// there before the layer.
fn aim(graph: &Graph, consumers: &[Vec<NodeId>], layer: NodeId) -> Aim {
    let mut at = layer;
    let mut affines = Vec::new();
    loop {
        let [reader] = consumers[at.index()][..] else { return Aim::Own };
        let node = graph.node(reader);
        match &node.op {
            Op::Affine(_) => affines.push(reader),
            Op::Add => {
                let other = node.inputs[usize::from(node.inputs[0] == at)];
                return if other < layer { Aim::Rest { add: reader, other, affines } } else { Aim::Own };
            }
            _ => return Aim::Own,
        }
        at = reader;
    }
}

/// Follows a layer, through the add it aims at if it does, to a ReLU (or a clip from 0).
fn rectified(graph: &Graph, consumers: &[Vec<NodeId>], layer: NodeId, aim: &Aim) -> Option<Vec<NodeId>> {
    let (mut at, mut affines) = match aim {
        Aim::Own => (layer, Vec::new()),
        Aim::Rest { add, other: _, affines } => (*add, affines.clone()),
    };
    loop {
        let [reader] = consumers[at.index()][..] else { return None };
        match &graph.node(reader).op {
            Op::Affine(_) if *aim == Aim::Own => affines.push(reader),
            Op::Relu => return Some(affines),
            Op::Clip(clip) if clip.lo == 0.0 => return Some(affines),
            _ => return None,
        }
        at = reader;
    }
}

/// The rows of one layer's system: every sampled position of every unit, fold by fold.
pub(super) struct Rows<'a> {
    pub(super) units: &'a [Unit],
    pub(super) layer: &'a Layer,
}

impl<'a> Rows<'a> {
    pub(super) fn new(plan: &'a Plan, layer: &'a Layer) -> Self {
        Self { units: &plan.units, layer }
    }

    /// All rows.
    pub(super) fn count(&self) -> usize {
        self.units.iter().map(|u| u.range.len()).sum::<usize>() * self.layer.positions
    }

    /// `(unit, sample, position)` of the rows of `units` in `fold`.
    pub(super) fn of_fold(&self, units: Range<usize>, fold: usize) -> Vec<(usize, usize, usize)> {
        let mut rows = Vec::new();
        for u in units {
            for s in (0..self.units[u].range.len()).filter(|&s| self.units[u].fold(s) == fold) {
                rows.extend((0..self.layer.positions).map(|k| (u, s, k)));
            }
        }
        rows
    }

    /// Columns `columns` of the layer's inputs at `rows`, row-major. Columns are in the order of a filter's
    /// weights, group after group.
    pub(super) fn gather(
        &self,
        op: &Op,
        x: &[Batch<f32>],
        rows: &[(usize, usize, usize)],
        columns: Range<usize>,
    ) -> Vec<f64> {
        let window = match op {
            Op::Conv(conv) => conv.window,
            _ => Window::new([1, 1]),
        };
        let [kh, kw] = window.kernel;
        let taps: Vec<[usize; 3]> = columns.map(|column| [column / (kh * kw), column / kw % kh, column % kw]).collect();
        let mut out = Vec::with_capacity(rows.len() * taps.len());
        for &(u, s, k) in rows {
            let [oy, ox] = self.layer.position(&self.units[u], s, k);
            let batch = &x[u];
            let shape = batch.shape;
            for &[c, ky, kx] in &taps {
                let value = match (window.source(0, oy, ky, shape.h), window.source(1, ox, kx, shape.w)) {
                    (Some(y), Some(x)) => batch.data[((c * batch.n + s) * shape.h + y) * shape.w + x],
                    _ => 0.0,
                };
                out.push(f64::from(value));
            }
        }
        out
    }
}

/// One round of splitmix64's output function.
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
