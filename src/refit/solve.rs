//! Ridge regression towards the sliced weights, with the ridge chosen on held-out samples.

use rayon::prelude::*;

use crate::diag::Result;
use crate::exec::{Cholesky, dot};
use crate::exec::{Matrix, matmul};
use crate::ir::Graph;
use crate::ir::op::Op;
use crate::refit::moments::{Moments, Problem, Sums, retarget};
use crate::refit::patches::FOLDS;
use crate::refit::targets::chain;

/// Candidate ridges λ, in units of the mean diagonal of `XᵀX`. The smallest reproduce channels that are exact
/// copies of each other; 1 and more is what wide dense layers need with few samples. Infinity keeps the sliced
/// weights and fits the bias alone.
pub const RIDGES: [f64; 7] = [1e-8, 1e-3, 1e-2, 1e-1, 1.0, 10.0, f64::INFINITY];

/// With more rows than this per unknown of a filter, one held-out fold is taken to tell the ridges apart.
const ROWS_FOR_ONE_FOLD: f64 = 12.0;

/// Wider filters than this are judged on two held-out folds, not all: a factorisation costs width³ per ridge.
const WIDE: usize = 256;

/// Repetitions of the fit where a ReLU follows; the figures in the module's page are with this many. Each costs
/// one more look at all rows.
const RELU_PASSES: usize = 4;

/// New parameters of a layer.
pub(super) struct Fitted {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) ridge: f64,
    pub(super) error_sliced: f64,
    pub(super) error: f64,
}

/// Fits one layer.
pub(super) fn fit(problem: &Problem<'_>, graph: &Graph) -> Result<Fitted> {
    let moments = &Moments::new(problem)?;
    let (weight, bias) = match problem.op {
        Op::Conv(conv) => (&conv.weight, &conv.bias),
        Op::Dense(dense) => (&dense.weight, &dense.bias),
        _ => return Ok(Fitted { weight: Vec::new(), bias: Vec::new(), ridge: 0.0, error_sliced: 0.0, error: 0.0 }),
    };
    let groups = moments.folds[0].len();
    let mut total: Vec<Sums> = (0..groups)
        .map(|g| {
            let mut sum = moments.folds[0][g].clone();
            (1..FOLDS).for_each(|fold| sum.add(&moments.folds[fold][g], 1.0));
            sum
        })
        .collect();
    let (f, q) = (total[0].f, total[0].q);
    let sliced: Vec<Vec<f64>> =
        (0..groups).map(|g| weight[g * q * f..(g + 1) * q * f].iter().map(|&w| f64::from(w)).collect()).collect();

    let enough = total[0].n > ROWS_FOR_ONE_FOLD * f as f64;
    let folds = if enough {
        1
    } else if f > WIDE {
        2
    } else {
        FOLDS
    };
    // (fold, group): errors per ridge, and the variance of the held-out targets.
    let tasks: Vec<(usize, usize)> = (0..folds).flat_map(|fold| (0..groups).map(move |g| (fold, g))).collect();
    let held_out: Vec<Result<([f64; RIDGES.len()], f64)>> = tasks
        .par_iter()
        .map(|&(fold, g)| {
            let mut train = total[g].clone();
            train.add(&moments.folds[fold][g], -1.0);
            ridge_errors(&train, &moments.folds[fold][g], &sliced[g])
        })
        .collect();
    let mut error = [0.0; RIDGES.len()];
    let mut variance = 0.0;
    for part in held_out {
        let (errors, part) = part?;
        error.iter_mut().zip(errors).for_each(|(sum, e)| *sum += e);
        variance += part;
    }
    let best = best_of(&error);
    let relative = |e: f64| if variance > 0.0 { e / variance } else { 0.0 };

    let (mut new_weight, mut new_bias) = final_weights(&total, &sliced, RIDGES[best])?;
    if let Some(affines) = &problem.layer.rectified {
        let (scale, shift) = chain(graph, affines, groups * q);
        for _ in 0..RELU_PASSES {
            retarget(problem, (&scale, &shift), &mut total, &new_weight, &new_bias)?;
            (new_weight, new_bias) = final_weights(&total, &sliced, RIDGES[best])?;
        }
    }
    let finite = new_weight.iter().chain(&new_bias).all(|v| v.is_finite());
    let (weight, bias) = if finite { (new_weight, new_bias) } else { (weight.clone(), bias.clone()) };
    Ok(Fitted {
        weight,
        bias,
        ridge: RIDGES[best],
        error_sliced: relative(error[RIDGES.len() - 1]),
        error: relative(error[best]),
    })
}

/// The place of the least error; of equals, the largest ridge.
pub(super) fn best_of(errors: &[f64; RIDGES.len()]) -> usize {
    (0..RIDGES.len()).rev().min_by(|&a, &b| errors[a].total_cmp(&errors[b])).unwrap_or(RIDGES.len() - 1)
}

/// Squared errors on `held_out` of the weights from `train`, for every ridge, and the targets' sum of squares
/// about their training mean.
pub(super) fn ridge_errors(train: &Sums, held_out: &Sums, sliced: &[f64]) -> Result<([f64; RIDGES.len()], f64)> {
    let mut errors = [f64::INFINITY; RIDGES.len()];
    if train.n < 1.0 {
        errors[RIDGES.len() - 1] = 0.0;
        return Ok((errors, 0.0));
    }
    let (mean_x, mean_t) = means(train);
    let (train, held_out) = (train.about(&mean_x, &mean_t), held_out.about(&mean_x, &mean_t));
    let missing = missing(&train, sliced)?;
    let spread = Matrix::new(held_out.xx.clone(), held_out.f, held_out.f)?;
    for (error, &ridge) in errors.iter_mut().zip(&RIDGES) {
        if let Some(weights) = solve(&train, sliced, &missing, ridge)? {
            *error = squared_error(&held_out, &spread, &weights)?;
        }
    }
    Ok((errors, held_out.tt.iter().sum()))
}

fn means(sums: &Sums) -> (Vec<f64>, Vec<f64>) {
    let mean = |values: &[f64]| values.iter().map(|v| v / sums.n).collect();
    (mean(&sums.x), mean(&sums.t))
}

/// What the sliced weights leave of the targets, seen by the inputs: Xᵀt − XᵀX·w, `[q, f]`.
fn missing(sums: &Sums, sliced: &[f64]) -> Result<Vec<f64>> {
    let covered =
        matmul(&Matrix::new(sliced.to_vec(), sums.q, sums.f)?, &Matrix::new(sums.xx.clone(), sums.f, sums.f)?)?;
    Ok(sums.tx.iter().zip(covered.into_vec()).map(|(t, c)| t - c).collect())
}

/// Weights `[q, f]` for centred sums; `None` if the system is too close to singular for this ridge.
fn solve(sums: &Sums, sliced: &[f64], missing: &[f64], ridge: f64) -> Result<Option<Vec<f64>>> {
    let f = sums.f;
    let mean_diagonal = (0..f).map(|i| sums.xx[i * f + i]).sum::<f64>() / f as f64;
    if ridge.is_infinite() || mean_diagonal <= 0.0 {
        return Ok(Some(sliced.to_vec()));
    }
    let mut a = sums.xx.clone();
    (0..f).for_each(|i| a[i * f + i] += ridge * mean_diagonal);
    let Some(factor) = Cholesky::new(a, f)? else { return Ok(None) };
    // The change against the sliced weights: (XᵀX + λD)·d = Xᵀt − XᵀX·w.
    let mut weights = missing.to_vec();
    factor.solve(&mut weights)?;
    weights.iter_mut().zip(sliced).for_each(|(d, w)| *d += w);
    Ok(Some(weights))
}

/// Σ (w·x − t)² from the sums; `spread` is their `XᵀX`.
fn squared_error(sums: &Sums, spread: &Matrix<f64>, weights: &[f64]) -> Result<f64> {
    let filters = Matrix::new(weights.to_vec(), sums.q, sums.f)?;
    let covered = matmul(&filters, spread)?.into_vec();
    let mut total = 0.0;
    for (o, (w, covered)) in weights.chunks_exact(sums.f).zip(covered.chunks_exact(sums.f)).enumerate() {
        let cross = &sums.tx[o * sums.f..(o + 1) * sums.f];
        total += (dot(w, covered) - 2.0 * dot(w, cross) + sums.tt[o]).max(0.0);
    }
    Ok(total)
}

/// The weights of all groups for all rows, and the biases that go with them.
fn final_weights(total: &[Sums], sliced: &[Vec<f64>], ridge: f64) -> Result<(Vec<f32>, Vec<f32>)> {
    let solved: Vec<Result<(Vec<f32>, Vec<f32>)>> =
        total.par_iter().zip(sliced).map(|(sums, sliced)| weights_at(sums, sliced, ridge)).collect();
    let (mut weight, mut bias) = (Vec::new(), Vec::new());
    for group in solved {
        let (w, b) = group?;
        weight.extend(w);
        bias.extend(b);
    }
    Ok((weight, bias))
}

/// The weights of one group, and the bias that goes with them as rounded to f32.
pub(super) fn weights_at(total: &Sums, sliced: &[f64], ridge: f64) -> Result<(Vec<f32>, Vec<f32>)> {
    let Sums { f, q, .. } = *total;
    let (mean_x, mean_t) = means(total);
    let centred = total.about(&mean_x, &mean_t);
    let missing = missing(&centred, sliced)?;
    let weights = solve(&centred, sliced, &missing, ridge)?.unwrap_or_else(|| sliced.to_vec());
    let weights: Vec<f32> = weights.iter().map(|&w| w as f32).collect();
    let bias = (0..q).map(|o| {
        let row = weights[o * f..(o + 1) * f].iter().zip(&mean_x);
        (mean_t[o] - row.map(|(&w, x)| f64::from(w) * x).sum::<f64>()) as f32
    });
    let bias = bias.collect();
    Ok((weights, bias))
}
