//! The linear system of one step of the joint fit: derivatives of the scores with respect to all weights.
//!
//! A row is one sample and one contrast between its likeliest classes; a column is one weight. A convolution's rows are
//! held as they are, to 8 bits of mantissa; a dense layer's are outer products of the gradient of its result and its input, of
//! which the two factors are held. `J·S·Jᵀ` is never formed: Lanczos' method needs its products with vectors only, and one small space
//! serves the systems of all ridges.

use std::ops::Range;

use half::bf16;
use rayon::prelude::*;

use crate::diag::Result;
use crate::exec::{Batch, CHUNK, Matrix, Network, Want, for_chunks, matmul, node_params};
use crate::exec::{Cholesky, dot};
use crate::ir::op::Op;
use crate::ir::{Graph, NodeId};
use crate::refit::bf16::{ROWS, add_rows, products, wide};

/// Rows of one tile of a sum: fixed, so that sums do not depend on the thread count.
const TILE: usize = 64;

/// Derivatives held at once at most (480 MB), unless the samples themselves, seen as they are, have more; what does not fit is
/// left out evenly.
const DERIVATIVES: usize = 240_000_000;

/// Derivatives of samples seen as they are held at once at most (2.4 GB).
const MOST: usize = 5 * DERIVATIVES;

/// Samples whose derivatives are taken in one go, before they are put away in bfloat16.
const WAVE: usize = 8 * CHUNK;

/// Dimensions of the Krylov space that systems are solved in.
const KRYLOV: usize = 48;

/// A new dimension shorter than this share of what is missing, or of a row's square, is rounding noise.
const LEAST: f64 = 1e-9;

/// One layer's rows.
struct LayerRows {
    node: NodeId,
    /// Mean square of the layer's weights: how far they may move.
    scale: f64,
    held: Held,
}

enum Held {
    /// `[rows, weights and biases]`.
    Whole { values: Vec<bf16>, params: usize },
    /// Gradients of the result `[rows, outputs]` and inputs with a one behind `[samples, inputs + 1]`.
    Factors { gradients: Vec<f32>, outputs: usize, inputs: Vec<f32>, width: usize },
}

/// What one chunk of samples adds to a layer: whole rows, or gradients and inputs.
type Part = (Vec<f32>, Vec<f32>);

/// Rows of a network on some samples, and their products.
pub(super) struct Tangent {
    layers: Vec<LayerRows>,
    contrasts: usize,
    /// Mean square of a row.
    mean: f64,
    /// Length of what all rows lack.
    length: f64,
    /// Orthonormal vectors over rows, the first along what they lack.
    basis: Vec<Vec<f64>>,
    /// `J·S·Jᵀ` in this basis: diagonal, and what stands beside it.
    diagonal: Vec<f64>,
    beside: Vec<f64>,
}

/// What one sample's scores are to become.
pub(super) struct Aim<'a> {
    /// The source's scores.
    pub(super) teacher: &'a [f64],
    /// Weights of the classes, a row each; every sample has as many.
    pub(super) contrasts: Vec<Vec<f64>>,
}

/// How many of `samples` samples and copies, `plain` of them seen as they are, a step of `layers` can use.
pub(super) fn usable(graph: &Graph, layers: &[NodeId], samples: usize, plain: usize, contrasts: usize) -> usize {
    let convs = layers.iter().map(|&id| &graph.node(id).op).filter(|op| matches!(op, Op::Conv(_)));
    let each = (convs.map(Op::params).sum::<usize>() * contrasts).max(1);
    samples.min((DERIVATIVES / each).max(CHUNK).max(plain.min(MOST / each)))
}

impl Tangent {
    /// Derivatives with respect to `layers`; `load` gives the inputs of the samples of `aims`.
    pub(super) fn new(
        graph: &Graph,
        layers: &[NodeId],
        aims: &[Aim<'_>],
        load: &(dyn Fn(Range<usize>) -> Result<Batch<f32>> + Sync),
    ) -> Result<Self> {
        let network = Network::<f32>::new(graph)?;
        let contrasts = aims.first().map_or(0, |aim| aim.contrasts.len());
        let mut layers: Vec<LayerRows> = layers.iter().filter_map(|&id| LayerRows::new(graph, id)).collect();
        for layer in &mut layers {
            if let Held::Whole { values, params } = &mut layer.held {
                values.reserve_exact(aims.len() * contrasts * *params);
            }
        }
        let mut missing = Vec::new();
        for start in (0..aims.len()).step_by(WAVE) {
            let wave = start..aims.len().min(start + WAVE);
            let chunks = for_chunks(wave.len(), |range| {
                let range = start + range.start..start + range.end;
                chunk(&network, &layers, &aims[range.clone()], &load(range)?)
            })?;
            for (parts, lacks) in chunks {
                missing.extend(lacks);
                for (layer, (rows, seen)) in layers.iter_mut().zip(parts) {
                    match &mut layer.held {
                        Held::Whole { values, .. } => values.extend(rows.into_iter().map(bf16::from_f32)),
                        Held::Factors { gradients, inputs, .. } => {
                            gradients.extend(rows);
                            inputs.extend(seen);
                        }
                    }
                }
            }
        }
        let squares: f64 = layers.iter().map(LayerRows::squares).sum();
        let mut tangent = Self {
            layers,
            contrasts,
            mean: squares / missing.len().max(1) as f64,
            length: dot(&missing, &missing).sqrt(),
            basis: Vec::new(),
            diagonal: Vec::new(),
            beside: Vec::new(),
        };
        tangent.span(missing)?;
        Ok(tangent)
    }

    /// Lanczos' method, every vector made orthogonal to all before.
    fn span(&mut self, missing: Vec<f64>) -> Result<()> {
        let mut next = missing;
        let mut length = self.length;
        while self.basis.len() < KRYLOV && length > LEAST * self.length.max(self.mean) {
            for value in &mut next {
                *value /= length;
            }
            let mut image = self.times(&next)?;
            self.diagonal.push(dot(&image, &next));
            self.basis.push(next);
            for _ in 0..2 {
                for known in &self.basis {
                    let along = dot(&image, known);
                    image.iter_mut().zip(known).for_each(|(v, k)| *v -= along * k);
                }
            }
            length = dot(&image, &image).sqrt();
            self.beside.push(length);
            next = image;
        }
        Ok(())
    }

    /// `J·S·Jᵀ·v`.
    fn times(&self, v: &[f64]) -> Result<Vec<f64>> {
        let mut sum = vec![0.0; v.len()];
        for layer in &self.layers {
            let direction = layer.combined(v, self.contrasts)?;
            let image = layer.along(&direction, self.contrasts)?;
            sum.iter_mut().zip(image).for_each(|(s, v)| *s += v);
        }
        Ok(sum)
    }

    /// `graph` after the step with this ridge, in units of the mean square of a row; `None` if there is no such step.
    pub(super) fn step(&self, graph: &Graph, ridge: f64) -> Result<Option<Graph>> {
        let n = self.basis.len();
        let mut system = vec![0.0; n * n];
        for i in 0..n {
            system[i * n + i] = self.diagonal[i] + ridge * self.mean;
            if i + 1 < n {
                system[i * n + i + 1] = self.beside[i];
                system[(i + 1) * n + i] = self.beside[i];
            }
        }
        let Some(factor) = Cholesky::new(system, n)? else { return Ok(None) };
        let mut share = vec![0.0; n];
        share.iter_mut().take(1).for_each(|first| *first = self.length);
        factor.solve(&mut share)?;
        let mut alpha = vec![0.0; self.basis.first().map_or(0, Vec::len)];
        for (vector, share) in self.basis.iter().zip(share) {
            alpha.iter_mut().zip(vector).for_each(|(a, v)| *a += share * v);
        }
        let mut next = graph.clone();
        for layer in &self.layers {
            let change = layer.combined(&alpha, self.contrasts)?;
            let root = layer.scale.sqrt();
            let (weight, bias) = match &mut next.nodes[layer.node.index()].op {
                Op::Conv(conv) => (&mut conv.weight, &mut conv.bias),
                Op::Dense(dense) => (&mut dense.weight, &mut dense.bias),
                _ => continue,
            };
            for (value, change) in weight.iter_mut().chain(bias.iter_mut()).zip(change) {
                *value = (f64::from(*value) + root * change) as f32;
                if !value.is_finite() {
                    return Ok(None);
                }
            }
        }
        Ok(Some(next))
    }
}

impl LayerRows {
    fn new(graph: &Graph, id: NodeId) -> Option<Self> {
        let op = &graph.node(id).op;
        let (weight, held) = match op {
            Op::Conv(conv) => (&conv.weight, Held::Whole { values: Vec::new(), params: op.params() }),
            Op::Dense(dense) => {
                let (outputs, width) = (dense.out_features, dense.in_features + 1);
                (&dense.weight, Held::Factors { gradients: Vec::new(), outputs, inputs: Vec::new(), width })
            }
            _ => return None,
        };
        let squares: f64 = weight.iter().map(|&w| f64::from(w) * f64::from(w)).sum();
        Some(Self { node: id, scale: squares / weight.len().max(1) as f64, held })
    }

    /// Sum of the squares of its rows.
    fn squares(&self) -> f64 {
        let square = |row: &[f32]| row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>();
        match &self.held {
            Held::Whole { values, .. } => values.iter().map(|&v| wide(v) * wide(v)).sum(),
            Held::Factors { gradients, outputs, inputs, width } => {
                let per_sample = gradients.len() / outputs / (inputs.len() / width).max(1);
                let seen = |r: usize| square(&inputs[r / per_sample.max(1) * width..][..*width]);
                gradients.chunks_exact(*outputs).enumerate().map(|(r, row)| square(row) * seen(r)).sum()
            }
        }
    }

    /// `√S·Jᵀ·v`: a direction of weights, then of biases.
    fn combined(&self, v: &[f64], contrasts: usize) -> Result<Vec<f64>> {
        match &self.held {
            Held::Whole { values, params } => {
                let parts: Vec<Vec<f64>> = values
                    .par_chunks(TILE * params)
                    .zip(v.par_chunks(TILE))
                    .map(|(rows, v)| {
                        let mut sum = vec![0.0; *params];
                        for (rows, v) in rows.chunks(ROWS * params).zip(v.chunks(ROWS)) {
                            add_rows(&mut sum, rows, v);
                        }
                        sum
                    })
                    .collect();
                let mut sum = vec![0.0; *params];
                for part in parts {
                    sum.iter_mut().zip(part).for_each(|(s, p)| *s += p);
                }
                Ok(sum)
            }
            Held::Factors { gradients, outputs, inputs, width } => {
                let samples = inputs.len() / width;
                let mut mixed = vec![0.0_f32; samples * outputs];
                for (r, (row, &a)) in gradients.chunks_exact(*outputs).zip(v).enumerate() {
                    let to = &mut mixed[r / contrasts * outputs..][..*outputs];
                    to.iter_mut().zip(row).for_each(|(m, &g)| *m += a as f32 * g);
                }
                let mixed = Matrix::new(mixed, samples, *outputs)?;
                let change = matmul(&mixed.t(), &Matrix::new(inputs.clone(), samples, *width)?)?.into_vec();
                let features = width - 1;
                let weight = change.chunks_exact(*width).flat_map(|row| &row[..features]);
                let bias = change.chunks_exact(*width).map(|row| &row[features]);
                Ok(weight.chain(bias).map(|&v| f64::from(v)).collect())
            }
        }
    }

    /// `J·√S·u` for a direction `u` of weights, then of biases.
    fn along(&self, u: &[f64], contrasts: usize) -> Result<Vec<f64>> {
        match &self.held {
            Held::Whole { values, params } => {
                Ok(values.par_chunks(ROWS * params).flat_map_iter(|rows| products(rows, u)).collect())
            }
            Held::Factors { gradients, outputs, inputs, width } => {
                let (samples, features) = (inputs.len() / width, width - 1);
                let (weight, bias) = u.split_at(features * outputs);
                let columns = weight.chunks_exact(features).zip(bias);
                let rows = columns.flat_map(|(w, b)| w.iter().chain([b]).map(|&v| v as f32)).collect();
                let direction = Matrix::new(rows, *outputs, *width)?;
                let moved = matmul(&Matrix::new(inputs.clone(), samples, *width)?, &direction.t())?.into_vec();
                let product = |(r, row): (usize, &[f32])| {
                    let moved = &moved[r / contrasts * outputs..][..*outputs];
                    row.iter().zip(moved).map(|(&g, &m)| f64::from(g) * f64::from(m)).sum()
                };
                Ok(gradients.chunks_exact(*outputs).enumerate().map(product).collect())
            }
        }
    }
}

/// Rows and what they lack, sample after sample, contrast after contrast.
fn chunk(
    network: &Network<f32>,
    layers: &[LayerRows],
    aims: &[Aim<'_>],
    batch: &Batch<f32>,
) -> Result<(Vec<Part>, Vec<f64>)> {
    let graph = network.graph();
    let acts = network.forward(batch)?;
    let scores = acts.get(graph.logits());
    let mut missing = Vec::new();
    for (s, aim) in aims.iter().enumerate() {
        for contrast in &aim.contrasts {
            let terms = contrast.iter().zip(aim.teacher).enumerate();
            missing.push(terms.map(|(c, (a, t))| a * (t - f64::from(scores.plane(c, s)[0]))).sum());
        }
    }
    let mut gradients = Vec::new();
    for k in 0..aims.first().map_or(0, |aim| aim.contrasts.len()) {
        let data = (0..scores.shape.c).flat_map(|c| aims.iter().map(move |aim| aim.contrasts[k][c] as f32)).collect();
        let seed = Batch::new(scores.shape, scores.n, data)?;
        let want = Want { activations: true, ..Want::default() };
        gradients.push(network.backward(&acts, &[(graph.logits(), seed)], want)?);
    }
    let part = |layer: &LayerRows| {
        let node = graph.node(layer.node);
        let input = acts.get(node.inputs[0]);
        let root = layer.scale.sqrt() as f32;
        let (mut rows, mut seen) = (Vec::new(), Vec::new());
        for s in 0..aims.len() {
            let x = one(input, s);
            for grads in &gradients {
                let dy = grads.node(layer.node).map(|g| one(g, s));
                match (&layer.held, dy) {
                    (Held::Factors { outputs: width, .. } | Held::Whole { params: width, .. }, None) => {
                        rows.extend(std::iter::repeat_n(0.0, *width));
                    }
                    (Held::Factors { .. }, Some(dy)) => rows.extend(dy.data.iter().map(|v| v * root)),
                    (Held::Whole { .. }, Some(dy)) => {
                        let grad = node_params(node, &[&x], &dy)?.expect("convolutions have parameters");
                        rows.extend(grad.weight.iter().chain(&grad.bias).map(|v| v * root));
                    }
                }
            }
            if matches!(layer.held, Held::Factors { .. }) {
                seen.extend(x.data.iter().copied().chain([1.0]));
            }
        }
        Ok((rows, seen))
    };
    Ok((layers.iter().map(part).collect::<Result<_>>()?, missing))
}

/// Sample `s` of a batch, alone.
fn one(batch: &Batch<f32>, s: usize) -> Batch<f32> {
    Batch { shape: batch.shape, n: 1, data: batch.sample(s) }
}
