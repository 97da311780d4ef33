//! One layer's part of the rows of the joint fit: derivatives with respect to its weights, and products with them.
//!
//! A convolution's rows are held as they are, to 8 bits of mantissa; a dense layer's are outer products of the gradient of its
//! result and its input, of which the two factors are held.

use half::bf16;
use rayon::prelude::*;

use crate::diag::Result;
use crate::exec::{Activations, Batch, Gradients, Matrix, matmul, node_params};
use crate::ir::op::Op;
use crate::ir::{Graph, NodeId};
use crate::refit::bf16::{ROWS, add_rows, products, wide};

/// Rows of one tile of a sum: fixed, so that sums do not depend on the thread count.
const TILE: usize = 64;

/// One layer's rows.
pub(super) struct LayerRows {
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
pub(super) type Part = (Vec<f32>, Vec<f32>);

impl LayerRows {
    /// No rows yet; `None` for a layer without weights to fit.
    pub(super) fn new(graph: &Graph, id: NodeId) -> Option<Self> {
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

    /// Makes room for so many rows at once.
    pub(super) fn reserve(&mut self, rows: usize) {
        if let Held::Whole { values, params } = &mut self.held {
            values.reserve_exact(rows * *params);
        }
    }

    /// What samples, run forward and backward from each of their contrasts, add to the layer.
    pub(super) fn part(&self, graph: &Graph, acts: &Activations<f32>, contrasts: &[Gradients<f32>]) -> Result<Part> {
        let node = graph.node(self.node);
        let input = acts.get(node.inputs[0]);
        let root = self.scale.sqrt() as f32;
        let (mut rows, mut seen) = (Vec::new(), Vec::new());
        for s in 0..input.n {
            let x = one(input, s);
            for grads in contrasts {
                let dy = grads.node(self.node).map(|g| one(g, s));
                match (&self.held, dy) {
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
            if matches!(self.held, Held::Factors { .. }) {
                seen.extend(x.data.iter().copied().chain([1.0]));
            }
        }
        Ok((rows, seen))
    }

    /// Puts away what [`Self::part`] found.
    pub(super) fn extend(&mut self, (rows, seen): Part) {
        match &mut self.held {
            Held::Whole { values, .. } => values.extend(rows.into_iter().map(bf16::from_f32)),
            Held::Factors { gradients, inputs, .. } => {
                gradients.extend(rows);
                inputs.extend(seen);
            }
        }
    }

    /// Moves the layer's weights in `graph` by `S·Jᵀ·v`; whether all are finite after that.
    pub(super) fn step(&self, graph: &mut Graph, v: &[f64], contrasts: usize) -> Result<bool> {
        let change = self.combined(v, contrasts)?;
        let root = self.scale.sqrt();
        let (weight, bias) = match &mut graph.nodes[self.node.index()].op {
            Op::Conv(conv) => (&mut conv.weight, &mut conv.bias),
            Op::Dense(dense) => (&mut dense.weight, &mut dense.bias),
            _ => return Ok(true),
        };
        let mut finite = true;
        for (value, change) in weight.iter_mut().chain(bias.iter_mut()).zip(change) {
            *value = (f64::from(*value) + root * change) as f32;
            finite &= value.is_finite();
        }
        Ok(finite)
    }

    /// Sum of the squares of its rows.
    pub(super) fn squares(&self) -> f64 {
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
    pub(super) fn combined(&self, v: &[f64], contrasts: usize) -> Result<Vec<f64>> {
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
    pub(super) fn along(&self, u: &[f64], contrasts: usize) -> Result<Vec<f64>> {
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

/// Sample `s` of a batch, alone.
fn one(batch: &Batch<f32>, s: usize) -> Batch<f32> {
    Batch { shape: batch.shape, n: 1, data: batch.sample(s) }
}
