//! Scales and offsets from scores and labels.

use crate::heads::Scale;

/// Newton steps at most; a handful is the rule.
const STEPS: usize = 60;

/// Pull of scales to 1 and offsets to 0. Far below what a hundred samples of classes that overlap say; it decides what
/// samples leave open: an offset common to all components, and scales of components that hardly ever err.
const PULL: f64 = 1e-4;

/// Smallest scale: a component must not be turned round.
const LEAST: f64 = 1e-3;

/// The scale and offset of each component with the largest likelihood of the labels.
///
/// `rows` are the scores, one row a sample; `labels` the right outputs; `component` names each output's component,
/// `0..fixed.len()`. Every class weighs the same, however many samples it has. Components that are `fixed` keep their
/// scores as they are.
pub fn fit(rows: &[Vec<f32>], labels: &[usize], component: &[usize], fixed: &[bool]) -> Vec<Scale> {
    let components = fixed.len();
    let mut counts = vec![0.0_f64; component.len()];
    for &label in labels {
        counts[label] += 1.0;
    }
    let weights: Vec<f64> = labels.iter().map(|&l| 1.0 / (counts[l] * component.len() as f64)).collect();
    let problem = Problem { rows, labels, weights: &weights, component, components };
    let mut at: Vec<f64> = (0..2 * components).map(|i| if i < components { 1.0 } else { 0.0 }).collect();
    let mut loss = problem.loss(&at);
    for _ in 0..STEPS {
        let (mut gradient, mut hessian) = problem.derivatives(&at);
        for i in (0..2 * components).filter(|i| fixed[i % components]) {
            gradient[i] = 0.0;
            hessian[i].fill(0.0);
            for line in &mut hessian {
                line[i] = 0.0;
            }
            hessian[i][i] = 1.0;
        }
        let step = solve(&mut hessian, &gradient);
        let mut length = 1.0;
        let mut moved = None;
        while length > 1e-6 {
            let mut there: Vec<f64> = at.iter().zip(&step).map(|(a, s)| a - length * s).collect();
            there[..components].iter_mut().for_each(|s| *s = s.max(LEAST));
            let new = problem.loss(&there);
            if new < loss {
                moved = Some((there, new));
                break;
            }
            length /= 2.0;
        }
        let Some((there, new)) = moved else { break };
        let gain = loss - new;
        (at, loss) = (there, new);
        if gain < 1e-12 {
            break;
        }
    }
    (0..components).map(|g| Scale { scale: at[g], offset: at[components + g] }).collect()
}

/// The paper's scaling: each component's mean magnitude becomes the mean of all, or of those that are `fixed` and keep
/// theirs; no offsets.
pub fn level(rows: &[Vec<f32>], component: &[usize], fixed: &[bool]) -> Vec<Scale> {
    let components = fixed.len();
    let mut sums = vec![(0.0_f64, 0.0_f64); components];
    for row in rows {
        for (&score, &g) in row.iter().zip(component) {
            sums[g].0 += f64::from(score).abs();
            sums[g].1 += 1.0;
        }
    }
    let means: Vec<f64> = sums.iter().map(|(sum, n)| sum / n.max(1.0)).collect();
    let any = fixed.contains(&true);
    let aims: Vec<f64> = means.iter().zip(fixed).filter(|(_, fixed)| **fixed == any).map(|(mean, _)| *mean).collect();
    let mean = aims.iter().sum::<f64>() / aims.len().max(1) as f64;
    let scale = |own: f64, fixed: bool| if !fixed && own > 0.0 && mean > 0.0 { mean / own } else { 1.0 };
    means.iter().zip(fixed).map(|(&own, &fixed)| Scale { scale: scale(own, fixed), offset: 0.0 }).collect()
}

struct Problem<'a> {
    rows: &'a [Vec<f32>],
    labels: &'a [usize],
    weights: &'a [f64],
    component: &'a [usize],
    components: usize,
}

impl Problem<'_> {
    /// Probabilities of one row under the scales and offsets `at`, and the logarithm of the right one.
    fn softmax(&self, row: &[f32], label: usize, at: &[f64]) -> (Vec<f64>, f64) {
        let pairs = row.iter().zip(self.component);
        let scores: Vec<f64> = pairs.map(|(&l, &g)| at[g] * f64::from(l) + at[self.components + g]).collect();
        let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let exp: Vec<f64> = scores.iter().map(|z| (z - top).exp()).collect();
        let total: f64 = exp.iter().sum();
        (exp.iter().map(|e| e / total).collect(), scores[label] - top - total.ln())
    }

    fn pull(&self, i: usize, at: &[f64]) -> f64 {
        if i < self.components { at[i] - 1.0 } else { at[i] }
    }

    fn loss(&self, at: &[f64]) -> f64 {
        let samples = self.rows.iter().zip(self.labels).zip(self.weights);
        let loss: f64 = samples.map(|((row, &label), w)| -w * self.softmax(row, label, at).1).sum();
        loss + (0..at.len()).map(|i| PULL / 2.0 * self.pull(i, at).powi(2)).sum::<f64>()
    }

    /// Gradient, and Hessian by rows.
    fn derivatives(&self, at: &[f64]) -> (Vec<f64>, Vec<Vec<f64>>) {
        let n = at.len();
        let mut gradient: Vec<f64> = (0..n).map(|i| PULL * self.pull(i, at)).collect();
        let mut hessian: Vec<Vec<f64>> =
            (0..n).map(|i| (0..n).map(|j| if i == j { PULL } else { 0.0 }).collect()).collect();
        for ((row, &label), &w) in self.rows.iter().zip(self.labels).zip(self.weights) {
            let p = self.softmax(row, label, at).0;
            // Mean over the classes of (derivative of a score), and of its square.
            let mut mean = vec![0.0; n];
            for (k, (&l, &g)) in row.iter().zip(self.component).enumerate() {
                let l = f64::from(l);
                let miss = p[k] - if k == label { 1.0 } else { 0.0 };
                gradient[g] += w * miss * l;
                gradient[self.components + g] += w * miss;
                mean[g] += p[k] * l;
                mean[self.components + g] += p[k];
                for (a, x) in [(g, l), (self.components + g, 1.0)] {
                    for (b, y) in [(g, l), (self.components + g, 1.0)] {
                        hessian[a][b] += w * p[k] * x * y;
                    }
                }
            }
            for (line, a) in hessian.iter_mut().zip(&mean) {
                for (cell, b) in line.iter_mut().zip(&mean) {
                    *cell -= w * a * b;
                }
            }
        }
        (gradient, hessian)
    }
}

/// Solves `matrix · x = right` for a positive definite matrix, which it spoils.
fn solve(matrix: &mut [Vec<f64>], right: &[f64]) -> Vec<f64> {
    let n = right.len();
    let mut x = right.to_vec();
    for i in 0..n {
        let pivot = matrix[i][i].max(f64::MIN_POSITIVE);
        let line = matrix[i].clone();
        for j in i + 1..n {
            let factor = matrix[j][i] / pivot;
            matrix[j].iter_mut().zip(&line).for_each(|(cell, above)| *cell -= factor * above);
            x[j] -= factor * x[i];
        }
    }
    for i in (0..n).rev() {
        let rest: f64 = (i + 1..n).map(|j| matrix[i][j] * x[j]).sum();
        x[i] = (x[i] - rest) / matrix[i][i].max(f64::MIN_POSITIVE);
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two components of two classes; the second one's scores are 4 times too small and shifted by a half.
    fn rows() -> (Vec<Vec<f32>>, Vec<usize>) {
        let mut state = 7_u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
        };
        let sample = |label: usize, noise: &mut dyn FnMut() -> f32| -> Vec<f32> {
            let score = |k: usize, n: f32| if k == label { 2.0 + 5.0 * n } else { 5.0 * n };
            (0..4).map(|k| (k, score(k, noise()))).map(|(k, z)| if k < 2 { z } else { z / 4.0 + 0.5 }).collect()
        };
        let labels: Vec<usize> = (0..2000).map(|i| i % 4).collect();
        (labels.iter().map(|&l| sample(l, &mut noise)).collect(), labels)
    }

    #[test]
    fn unequal_scales_are_undone() {
        let (rows, labels) = rows();
        let scales = fit(&rows, &labels, &[0, 0, 1, 1], &[false; 2]);
        let ratio = scales[1].scale / scales[0].scale;
        assert!((ratio - 4.0).abs() < 0.4, "{scales:?}");
        let shift = scales[1].offset + 0.5 * scales[1].scale - scales[0].offset;
        assert!(shift.abs() < 0.4, "{scales:?}");
    }

    #[test]
    fn the_others_come_to_a_fixed_components_scale() {
        let (rows, labels) = rows();
        let scales = fit(&rows, &labels, &[0, 0, 1, 1], &[true, false]);
        assert_eq!(scales[0], Scale::ONE);
        assert!((scales[1].scale - 4.0).abs() < 0.6 && (scales[1].offset + 2.0).abs() < 0.6, "{scales:?}");
        let scales = level(&[vec![4.0, -4.0, 1.0]], &[0, 0, 1], &[true, false]);
        assert_eq!((scales[0], scales[1].scale), (Scale::ONE, 4.0));
    }

    #[test]
    fn a_component_that_never_errs_keeps_finite_scales() {
        let rows = vec![vec![1.0, -1.0], vec![-1.0, 1.0]];
        let scales = fit(&rows, &[0, 1], &[0, 1], &[false; 2]);
        assert!(scales.iter().all(|s| s.scale.is_finite() && s.scale > 0.0 && s.offset.is_finite()), "{scales:?}");
    }

    #[test]
    fn levelling_makes_magnitudes_equal() {
        let rows = vec![vec![4.0, -4.0, 1.0], vec![2.0, 6.0, -1.0]];
        let scales = level(&rows, &[0, 0, 1], &[false; 2]);
        assert!((scales[0].scale * 4.0 - scales[1].scale * 1.0).abs() < 1e-12, "{scales:?}");
    }
}
