//! The linear system of one step of the joint fit: derivatives of the scores with respect to all weights.
//!
//! A row is one sample and one contrast between its likeliest classes; a column is one weight ([`LayerRows`]). `J·S·Jᵀ` is never
//! formed: Lanczos' method needs its products with vectors only, and one small space serves the systems of all ridges.

use std::ops::Range;

use crate::diag::Result;
use crate::exec::{Batch, CHUNK, Cholesky, Network, Want, dot, for_chunks};
use crate::ir::op::Op;
use crate::ir::{Graph, NodeId};
use crate::refit::layer_rows::{LayerRows, Part};

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
            layer.reserve(aims.len() * contrasts);
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
                for (layer, part) in layers.iter_mut().zip(parts) {
                    layer.extend(part);
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
            if !layer.step(&mut next, &alpha, self.contrasts)? {
                return Ok(None);
            }
        }
        Ok(Some(next))
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
    let parts = layers.iter().map(|layer| layer.part(graph, &acts, &gradients)).collect::<Result<_>>()?;
    Ok((parts, missing))
}
