//! Gradients taken through the inverse second moments of what each layer reads.
//!
//! The gradient of a layer's weights is a sum of products of what it gives wrong and what it read. Inputs are far from
//! white, the more so with batch norm folded: plain steps run along the few directions that all inputs share and stand still
//! along the others. With `A` the mean of `x·xᵀ` over samples and positions, where `x` has a one behind it for the
//! bias, and `m` the mean diagonal of `A`, a gradient `G` becomes
//!
//! `G·(A/m + λ·I)⁻¹`
//!
//! One of the two factors of K-FAC (Martens and Grosse 2015), and the one that matters (FOOF, Benzing 2022).

use std::ops::Range;

use crate::data::{InputContract, Samples};
use crate::diag::Result;
use crate::exec::{Batch, CHUNK, Cholesky, Matrix, Network, ParamGrad, for_chunks, gather, gram, matmul};
use crate::finetune::sgd::input;
use crate::ir::op::Op;
use crate::ir::{Graph, Node};

/// λ.
const DAMPING: f64 = 0.1;

/// Samples that moments are taken over at most.
const SAMPLES: usize = 256;

/// Samples whose moments are held at once, before they are added up.
const WAVE: usize = 4 * CHUNK;

/// Layers that read more values at a time are left as they are: their moments would take too much memory.
const MOST_INPUTS: usize = 2048;

/// Least mean diagonal: what is smaller is a dead input.
const LEAST: f64 = 1e-12;

/// What gradients of a network are multiplied by.
#[derive(Debug, Clone)]
pub(super) struct Preconditioner {
    /// An inverse for each group of every layer that has one, by node.
    layers: Vec<Vec<Inverse>>,
}

#[derive(Debug, Clone)]
struct Inverse {
    /// `[inputs + 1, inputs + 1]`.
    matrix: Matrix<f32>,
    /// Stands for the one behind the inputs: their root mean square, so that the bias weighs like a weight.
    one: f32,
}

/// Sums over what one group of a layer reads.
struct Moments {
    /// `Σ x·xᵀ`.
    products: Vec<f64>,
    /// `Σ x`.
    sums: Vec<f64>,
    count: f64,
}

impl Preconditioner {
    /// Takes moments of `graph` over some of `samples`.
    pub(super) fn new(graph: &Graph, contract: &InputContract, samples: &Samples) -> Result<Self> {
        let n = samples.len().min(SAMPLES);
        let chosen: Vec<usize> = (0..n).map(|i| i * samples.len() / n).collect();
        let network = Network::<f32>::new(graph)?;
        let mut total: Vec<Vec<Moments>> = Vec::new();
        // A few chunks at a time, as the moments of each are as large as their sum.
        for wave in chosen.chunks(WAVE) {
            let parts: Vec<Vec<Vec<Moments>>> = for_chunks(wave.len(), |range| {
                let acts = network.forward(&input(graph, contract, samples, &wave[range])?)?;
                graph.ids().map(|id| moments(graph.node(id), |i| acts.get(graph.node(id).inputs[i]))).collect()
            })?;
            for part in parts {
                if total.is_empty() {
                    total = part;
                    continue;
                }
                for (sum, part) in total.iter_mut().flatten().zip(part.iter().flatten()) {
                    sum.add(part);
                }
            }
        }
        let layers = total.into_iter().map(|groups| {
            let inverses: Vec<Option<Inverse>> = groups.iter().map(Moments::inverse).collect::<Result<_>>()?;
            Ok(inverses.into_iter().collect::<Option<_>>().unwrap_or_default())
        });
        Ok(Self { layers: layers.collect::<Result<_>>()? })
    }

    /// Multiplies the gradient of the node with this index; without an inverse it stays as it is.
    pub(super) fn apply(&self, node: usize, gradient: &mut ParamGrad<f32>) -> Result<()> {
        let groups = &self.layers[node];
        if groups.is_empty() || gradient.bias.is_empty() {
            return Ok(());
        }
        let outputs = gradient.bias.len() / groups.len();
        let inputs = gradient.weight.len() / gradient.bias.len();
        let weights = gradient.weight.chunks_exact_mut(outputs * inputs);
        for ((inverse, weights), biases) in groups.iter().zip(weights).zip(gradient.bias.chunks_exact_mut(outputs)) {
            let row = |(w, b): (&[f32], &f32)| w.iter().copied().chain([b * inverse.one]).collect::<Vec<f32>>();
            let rows = weights.chunks_exact(inputs).zip(&*biases).flat_map(row).collect();
            let changed = matmul(&Matrix::new(rows, outputs, inputs + 1)?, &inverse.matrix)?.into_vec();
            let rows = weights.chunks_exact_mut(inputs).zip(biases);
            for ((weight, bias), changed) in rows.zip(changed.chunks_exact(inputs + 1)) {
                weight.copy_from_slice(&changed[..inputs]);
                *bias = changed[inputs] * inverse.one;
            }
        }
        Ok(())
    }
}

/// Of every group of a convolution or dense layer; none of other nodes.
fn moments<'a>(node: &Node, of: impl Fn(usize) -> &'a Batch<f32>) -> Result<Vec<Moments>> {
    match &node.op {
        Op::Conv(conv) if conv.fan_in() <= MOST_INPUTS => {
            let (x, channels) = (of(0), conv.in_channels / conv.groups);
            let group = |channels: Range<usize>| {
                Moments::of(gather(x, &conv.window, node.shape, channels, 0..x.n), conv.fan_in())
            };
            (0..conv.groups).map(|g| group(g * channels..(g + 1) * channels)).collect()
        }
        Op::Dense(dense) if dense.in_features <= MOST_INPUTS => {
            Ok(vec![Moments::of(of(0).data.clone(), dense.in_features)?])
        }
        _ => Ok(Vec::new()),
    }
}

impl Moments {
    /// Of the columns of a matrix of `inputs` rows.
    fn of(values: Vec<f32>, inputs: usize) -> Result<Self> {
        let count = values.len() / inputs.max(1);
        let sum = |row: &[f32]| row.iter().map(|&v| f64::from(v)).sum();
        let sums = values.chunks_exact(count.max(1)).map(sum).collect();
        let products = gram(&Matrix::new(values, inputs, count)?)?.into_vec().into_iter().map(f64::from).collect();
        Ok(Self { products, sums, count: count as f64 })
    }

    fn add(&mut self, other: &Self) {
        self.products.iter_mut().zip(&other.products).for_each(|(a, b)| *a += b);
        self.sums.iter_mut().zip(&other.sums).for_each(|(a, b)| *a += b);
        self.count += other.count;
    }

    /// `(A/m + λ·I)⁻¹`; `None` where there is no input.
    fn inverse(&self) -> Result<Option<Inverse>> {
        let n = self.sums.len();
        let mean = (0..n).map(|i| self.products[i * n + i]).sum::<f64>() / (n as f64 * self.count);
        if mean.is_nan() || mean < LEAST {
            return Ok(None);
        }
        let (one, width) = (mean.sqrt(), n + 1);
        let mut a = vec![0.0; width * width];
        for i in 0..n {
            for j in 0..n {
                a[i * width + j] = self.products[i * n + j] / (self.count * mean);
            }
            let beside = self.sums[i] * one / (self.count * mean);
            (a[i * width + n], a[n * width + i]) = (beside, beside);
        }
        a[n * width + n] = 1.0;
        (0..width).for_each(|i| a[i * width + i] += DAMPING);
        let Some(factor) = Cholesky::new(a, width)? else { return Ok(None) };
        let mut inverse = vec![0.0; width * width];
        (0..width).for_each(|i| inverse[i * width + i] = 1.0);
        factor.solve(&mut inverse)?;
        let matrix = Matrix::new(inverse.into_iter().map(|v| v as f32).collect(), width, width)?;
        Ok(Some(Inverse { matrix, one: one as f32 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::InputKind;
    use crate::ir::op::{Conv, Window};
    use crate::ir::{NodeId, Shape};

    /// A grouped convolution of 2 x 2 taps without padding on 4 channels of 3 x 3 values.
    fn case() -> (Graph, InputContract, Samples) {
        let mut graph = Graph::new("x", Shape::new(4, 3, 3));
        let conv = Conv {
            out_channels: 6,
            in_channels: 4,
            groups: 2,
            window: Window::new([2, 2]),
            weight: vec![0.1; 6 * 8],
            bias: vec![0.0; 6],
        };
        let conv = graph.push("conv", Op::Conv(conv), &[NodeId(0)]).expect("fits");
        graph.push("flat", Op::Flatten, &[conv]).expect("fits");
        let number = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 24) as u8;
        let raw: Vec<u8> = (0..20 * 36).map(number).collect();
        let samples = Samples { shape: [3, 3, 4], kind: InputKind::U8, raw, labels: vec![0; 20] };
        (graph, InputContract::new(InputKind::U8, [3, 3, 4], 1.0 / 255.0), samples)
    }

    #[test]
    fn gradients_times_the_damped_moments_are_what_they_were() {
        let (graph, contract, samples) = case();
        let preconditioner = Preconditioner::new(&graph, &contract, &samples).expect("runs");
        let weight: Vec<f32> = (0..48).map(|i| (i as f32 * 0.7).sin()).collect();
        let bias: Vec<f32> = (0..6).map(|i| (i as f32 * 1.3).cos()).collect();
        let mut changed = ParamGrad { weight: weight.clone(), bias: bias.clone() };
        preconditioner.apply(1, &mut changed).expect("fits");
        let pixel =
            |s: usize, y: usize, x: usize, c: usize| f64::from(samples.raw[((s * 3 + y) * 3 + x) * 4 + c]) / 255.0;
        for g in 0..2 {
            // Every patch of the group, read off the bytes.
            let mut patches: Vec<Vec<f64>> = Vec::new();
            for (s, y, x) in (0..20 * 4).map(|i| (i / 4, i / 2 % 2, i % 2)) {
                let taps = (0..8).map(|i| pixel(s, y + i / 2 % 2, x + i % 2, 2 * g + i / 4));
                patches.push(taps.collect());
            }
            let n = patches.len() as f64;
            let mean = patches.iter().flatten().map(|v| v * v).sum::<f64>() / (8.0 * n);
            for patch in &mut patches {
                patch.push(mean.sqrt());
            }
            let moment = |i: usize, j: usize| {
                let sum: f64 = patches.iter().map(|p| p[i] * p[j]).sum();
                sum / (n * mean) + if i == j { DAMPING } else { 0.0 }
            };
            for o in 3 * g..3 * g + 3 {
                let row = |grad: &ParamGrad<f32>, one: f64| -> Vec<f64> {
                    let weights = grad.weight[8 * o..8 * o + 8].iter().map(|&v| f64::from(v));
                    weights.chain([f64::from(grad.bias[o]) * one]).collect()
                };
                let before = row(&ParamGrad { weight: weight.clone(), bias: bias.clone() }, mean.sqrt());
                let after = row(&changed, 1.0 / mean.sqrt());
                for (j, before) in before.iter().enumerate() {
                    let back: f64 = (0..9).map(|i| after[i] * moment(i, j)).sum();
                    assert!((back - before).abs() < 1e-4, "{back} for {before}");
                }
            }
        }
    }

    #[test]
    fn a_layer_that_reads_nothing_keeps_its_gradient() {
        let (graph, contract, mut samples) = case();
        samples.raw.fill(0);
        let preconditioner = Preconditioner::new(&graph, &contract, &samples).expect("runs");
        let mut gradient = ParamGrad { weight: vec![1.0; 48], bias: vec![2.0; 6] };
        preconditioner.apply(1, &mut gradient).expect("fits");
        assert_eq!((gradient.weight, gradient.bias), (vec![1.0; 48], vec![2.0; 6]));
    }
}
