//! A new last layer in closed form, for classes that a network's features were not made for.
//!
//! `min Σ ‖W·x + b − y‖² + λ·m·‖W‖²` over the samples' features x, where y is 1 for the sample's class and 0 for all
//! others, m the mean variance of a feature. λ is the one of [`RIDGES`] with the smallest error when every sample is
//! judged by the layer fitted without it, which has a closed form too. The same left-out scores say by what factor to
//! multiply, so that softmax of the scores is as sure as it is right. Sums are f64.

use crate::heads::fit;
use crate::ir::op::Dense;

/// Pulls toward no weights at all, in units of the mean variance times the number of samples.
const RIDGES: [f64; 6] = [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0];

/// Error of the samples left out in turn, weights by class, and the left-out scores of each sample.
type Fit = (f64, Vec<Vec<f64>>, Vec<Vec<f32>>);

/// The layer from `features` (one row a sample) to `classes` scores; `labels` are the right ones.
pub fn readout(features: &[Vec<f32>], labels: &[usize], classes: usize) -> Dense {
    let (n, width) = (features.len(), features.first().map_or(0, Vec::len));
    let count = n.max(1) as f64;
    let mean: Vec<f64> = (0..width).map(|f| features.iter().map(|x| f64::from(x[f])).sum::<f64>() / count).collect();
    let shares: Vec<f64> = (0..classes).map(|k| labels.iter().filter(|&&l| l == k).count() as f64 / count).collect();
    let rows: Vec<Vec<f64>> =
        features.iter().map(|x| x.iter().zip(&mean).map(|(&x, m)| f64::from(x) - m).collect()).collect();
    let aims: Vec<Vec<f64>> = labels
        .iter()
        .map(|&label| (0..classes).map(|k| f64::from(u8::from(k == label)) - shares[k]).collect())
        .collect();
    let mut gram = vec![vec![0.0; width]; width];
    for x in &rows {
        for (line, a) in gram.iter_mut().zip(x) {
            line.iter_mut().zip(x).for_each(|(cell, b)| *cell += a * b);
        }
    }
    let spread = (0..width).map(|f| gram[f][f]).sum::<f64>() / width.max(1) as f64;
    let mut best: Option<Fit> = None;
    for ridge in RIDGES {
        let mut pulled = gram.clone();
        (0..width).for_each(|f| pulled[f][f] += ridge * spread.max(f64::MIN_POSITIVE));
        let factor = factor(pulled);
        let weights: Vec<Vec<f64>> = (0..classes)
            .map(|k| {
                let right = |f: usize| rows.iter().zip(&aims).map(|(x, y)| x[f] * y[k]).sum::<f64>();
                solve(&factor, (0..width).map(right).collect())
            })
            .collect();
        let mut error = 0.0;
        let mut left_out = Vec::with_capacity(n);
        for (x, y) in rows.iter().zip(&aims) {
            // How much the fit leans on this very sample: a row's product with itself through the inverse.
            let lean = forward(&factor, x.clone()).iter().map(|v| v * v).sum::<f64>() + 1.0 / count;
            let mut scores = Vec::with_capacity(classes);
            for (k, w) in weights.iter().enumerate() {
                let score: f64 = w.iter().zip(x).map(|(w, x)| w * x).sum();
                let miss = (y[k] - score) / (1.0 - lean).max(1e-6);
                error += miss * miss;
                scores.push((y[k] - miss) as f32);
            }
            left_out.push(scores);
        }
        if best.as_ref().is_none_or(|(least, ..)| error < *least) {
            best = Some((error, weights, left_out));
        }
    }
    let (_, weights, left_out) = best.unwrap_or_default();
    let scale = fit(&left_out, labels, &vec![0; classes], &[false]).first().map_or(1.0, |s| s.scale);
    let bias = (0..classes).map(|k| {
        let at_mean: f64 = weights[k].iter().zip(&mean).map(|(w, m)| w * m).sum();
        (scale * (shares[k] - at_mean)) as f32
    });
    Dense {
        out_features: classes,
        in_features: width,
        bias: bias.collect(),
        weight: weights.iter().flatten().map(|w| (scale * w) as f32).collect(),
    }
}

/// The lower triangle L with L·Lᵀ = `matrix`, which is positive definite.
fn factor(mut matrix: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    for i in 0..matrix.len() {
        for j in 0..=i {
            let done: f64 = (0..j).map(|k| matrix[i][k] * matrix[j][k]).sum();
            let rest = matrix[i][j] - done;
            matrix[i][j] = if i == j { rest.max(f64::MIN_POSITIVE).sqrt() } else { rest / matrix[j][j] };
        }
    }
    matrix
}

/// Solves `L·x = right`.
fn forward(factor: &[Vec<f64>], mut right: Vec<f64>) -> Vec<f64> {
    for i in 0..right.len() {
        let done: f64 = (0..i).map(|k| factor[i][k] * right[k]).sum();
        right[i] = (right[i] - done) / factor[i][i];
    }
    right
}

/// Solves `L·Lᵀ·x = right`.
fn solve(factor: &[Vec<f64>], right: Vec<f64>) -> Vec<f64> {
    let mut x = forward(factor, right);
    for i in (0..x.len()).rev() {
        let done: f64 = (i + 1..x.len()).map(|k| factor[k][i] * x[k]).sum();
        x[i] = (x[i] - done) / factor[i][i];
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three classes of 12 samples in 9 dimensions: a centre each, and noise.
    fn samples(seed: u64) -> (Vec<Vec<f32>>, Vec<usize>) {
        let mut state = seed;
        let mut noise = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
        };
        let labels: Vec<usize> = (0..36).map(|i| i % 3).collect();
        let row = |label: &usize| (0..9).map(|f| 3.0 + f32::from(u8::from(f % 3 == *label)) + noise()).collect();
        let rows = labels.iter().map(row).collect();
        (rows, labels)
    }

    fn right(dense: &Dense, rows: &[Vec<f32>], labels: &[usize]) -> usize {
        let score = |x: &[f32], k: usize| {
            dense.bias[k] + dense.weight[k * 9..(k + 1) * 9].iter().zip(x).map(|(w, x)| w * x).sum::<f32>()
        };
        let best = |x: &[f32]| (0..3).fold(0, |b, k| if score(x, k) > score(x, b) { k } else { b });
        rows.iter().zip(labels).filter(|(x, l)| best(x) == **l).count()
    }

    #[test]
    fn classes_that_lie_apart_are_told_apart() {
        let (rows, labels) = samples(5);
        let dense = readout(&rows, &labels, 3);
        let (others, truth) = samples(6);
        assert!(right(&dense, &others, &truth) >= 35);
    }

    #[test]
    fn features_that_say_nothing_and_too_few_samples_leave_finite_weights() {
        for (rows, labels) in [(vec![vec![2.0; 4]; 3], vec![0, 1, 1]), (vec![vec![1.0, 2.0]], vec![0])] {
            let dense = readout(&rows, &labels, 2);
            assert!(dense.weight.iter().chain(&dense.bias).all(|v| v.is_finite()), "{dense:?}");
        }
    }
}
