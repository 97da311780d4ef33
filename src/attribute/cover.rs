//! Which channels of a group stand for the others: column subset selection in the metric of the class scores.
//!
//! Scores rank channels one by one; of two channels that say the same, both rank high and one would do. What is lost
//! with a channel is what no linear map of the kept ones gives back, since the layer that reads them is fitted anew. So
//! channels are chosen one after the other, each time the one that leaves the least of
//!
//! `tr(F · (Σ − Σ_S · Σ_SS⁻¹ · Σ_Sᵀ))`
//!
//! where Σ is the covariance of the group's channels over positions and samples, S the chosen ones, and F the second
//! moment of the gradients of the classes' scores with respect to them: the mean square of what the error does to a score,
//! if positions err independently. A group read in several places adds up over them.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::attribute::{Target, route_points, seed, source};
use crate::data::{InputContract, Samples};
use crate::diag::Result;
use crate::exec::{Batch, CHUNK, Matrix, Network, matmul};
use crate::ir::groups::Groups;
use crate::ir::{Graph, NodeId};

/// Share of a channel's variance that counts as noise: what cannot be told from nothing is not divided by.
const NOISE: f64 = 1e-3;

/// Channels of a group at most: time goes with their third power.
const WIDEST: usize = 1024;

/// Sums over samples and positions for one group at one route point.
#[derive(Debug, Clone)]
struct Sums {
    channels: usize,
    /// Positions.
    n: f64,
    /// `[C]`.
    sum: Vec<f64>,
    /// `[C, C]`: activations.
    values: Vec<f64>,
    /// `[C, C]`: gradients.
    gradients: Vec<f64>,
}

/// The channels of every group, best first, by samples of some classes: `(class, indices into samples)`. The classes are
/// told from each other only.
///
/// Empty for groups that are never cut, and for those of more than [`WIDEST`] channels, whose scores must do. Sums are
/// added in the order of chunks, so the order is the same for any thread count.
pub fn cover(
    graph: &Graph,
    groups: &Groups,
    input: &InputContract,
    samples: &Samples,
    chosen: &[(usize, Vec<usize>)],
) -> Result<Vec<Vec<usize>>> {
    let network = Network::<f32>::new(graph)?;
    let places: Vec<(usize, NodeId)> = route_points(graph, groups)
        .into_iter()
        .enumerate()
        .filter(|(group, _)| groups.groups[*group].channels <= WIDEST)
        .flat_map(|(group, points)| points.into_iter().map(move |point| (group, point)))
        .collect();
    let points: Vec<NodeId> = places.iter().map(|&(_, point)| point).collect();
    let classes: Vec<usize> = chosen.iter().map(|(class, _)| *class).collect();
    let chunks: Vec<(usize, &[usize])> =
        chosen.iter().flat_map(|(class, own)| own.chunks(CHUNK).map(move |chunk| (*class, chunk))).collect();
    let mut totals: Vec<Sums> = places.iter().map(|&(g, _)| Sums::zeros(groups.groups[g].channels)).collect();
    for wave in chunks.chunks(rayon::current_num_threads()) {
        let parts: Vec<Result<Vec<Sums>>> = wave
            .par_iter()
            .map(|&(class, indices)| {
                let acts = network.forward(&source::batch(graph, input, samples, indices)?)?;
                let logits = graph.logits();
                let seed = seed::seed(acts.get(logits), class, Target::Margin, Some(&classes));
                let mut gradients = BTreeMap::new();
                network.backward_at(&acts, &[(logits, seed)], &points, &mut |id, gradient| {
                    gradients.insert(id, gradient);
                })?;
                let sums = |&(group, point): &(usize, NodeId)| {
                    let places = places_of(groups, group, point);
                    Sums::of(acts.get(point), gradients.get(&point), &places)
                };
                places.iter().map(sums).collect()
            })
            .collect();
        for part in parts {
            totals.iter_mut().zip(part?).for_each(|(total, part)| total.add(&part));
        }
    }
    let count = chosen.iter().map(|(_, own)| own.len()).sum::<usize>().max(1) as f64;
    let order = |group: usize| {
        let own = places.iter().zip(&totals).filter(|((g, _), _)| *g == group);
        choose(own.map(|(_, sums)| Point::new(sums, count)).collect())
    };
    Ok((0..groups.groups.len()).into_par_iter().map(order).collect())
}

/// For each channel of a group, its place in the tensor of `point`.
fn places_of(groups: &Groups, group: usize, point: NodeId) -> Vec<usize> {
    let mut places = vec![0; groups.groups[group].channels];
    for (c, channel) in groups.of(point).iter().enumerate() {
        if channel.group.index() == group {
            places[channel.index as usize] = c;
        }
    }
    places
}

/// `X · Xᵀ` of `[channels, n]`.
fn square(x: Vec<f32>, channels: usize, n: usize) -> Result<Vec<f64>> {
    let x = Matrix::new(x, channels, n)?;
    Ok(matmul(&x, &x.t())?.into_vec().into_iter().map(f64::from).collect())
}

impl Sums {
    /// Those of one batch: activations, their gradients if there are any, and where the channels are.
    fn of(values: &Batch<f32>, gradients: Option<&Batch<f32>>, places: &[usize]) -> Result<Self> {
        let take = |batch: &Batch<f32>| -> Vec<f32> {
            places.iter().flat_map(|&c| batch.channel(c).iter().copied()).collect()
        };
        let (channels, n) = (places.len(), values.n * values.shape.plane());
        let own = take(values);
        let sum = own.chunks_exact(n).map(|row| row.iter().map(|&v| f64::from(v)).sum()).collect();
        let gradients = match gradients {
            Some(gradients) => square(take(gradients), channels, n)?,
            None => vec![0.0; channels * channels],
        };
        Ok(Self { channels, n: n as f64, sum, values: square(own, channels, n)?, gradients })
    }

    fn zeros(channels: usize) -> Self {
        let square = vec![0.0; channels * channels];
        Self { channels, n: 0.0, sum: vec![0.0; channels], values: square.clone(), gradients: square }
    }

    fn add(&mut self, other: &Self) {
        self.n += other.n;
        let pairs =
            [(&mut self.sum, &other.sum), (&mut self.values, &other.values), (&mut self.gradients, &other.gradients)];
        for (a, b) in pairs {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        }
    }
}

/// What is left of a group at one point once some channels are chosen.
struct Point {
    /// Σ less what the chosen channels explain.
    rest: Vec<f64>,
    /// F, per sample.
    metric: Vec<f64>,
    /// Diagonal of `rest · metric · rest`.
    gain: Vec<f64>,
    /// Added to a channel's own rest before dividing by it.
    noise: Vec<f64>,
}

impl Point {
    fn new(sums: &Sums, samples: f64) -> Self {
        let c = sums.channels;
        let n = sums.n.max(1.0);
        let mut rest = vec![0.0; c * c];
        for i in 0..c {
            for j in 0..c {
                rest[i * c + j] = sums.values[i * c + j] / n - sums.sum[i] / n * (sums.sum[j] / n);
            }
        }
        let metric: Vec<f64> = sums.gradients.iter().map(|v| v / samples).collect();
        let gain = (0..c).map(|j| quadratic(&metric, &rest[j * c..(j + 1) * c])).collect();
        let noise = (0..c).map(|j| NOISE * rest[j * c + j].max(0.0)).collect();
        Self { rest, metric, gain, noise }
    }

    /// How much less is lost with channel `j` chosen.
    fn gain(&self, j: usize) -> f64 {
        let c = self.noise.len();
        let own = self.rest[j * c + j] + self.noise[j];
        if own > 0.0 && self.noise[j] > 0.0 { self.gain[j] / own } else { 0.0 }
    }

    fn choose(&mut self, j: usize) {
        let c = self.noise.len();
        let own = self.rest[j * c + j] + self.noise[j];
        if own <= 0.0 || self.noise[j] <= 0.0 {
            return;
        }
        let r: Vec<f64> = self.rest[j * c..(j + 1) * c].to_vec();
        let fr = times(&self.metric, &r);
        let rfr = times(&self.rest, &fr);
        let q: f64 = r.iter().zip(&fr).map(|(a, b)| a * b).sum();
        for k in 0..c {
            self.gain[k] += r[k] * r[k] * q / (own * own) - 2.0 * r[k] * rfr[k] / own;
            self.gain[k] = self.gain[k].max(0.0);
        }
        for a in 0..c {
            for b in 0..c {
                self.rest[a * c + b] -= r[a] * r[b] / own;
            }
        }
    }
}

fn times(matrix: &[f64], v: &[f64]) -> Vec<f64> {
    matrix.chunks_exact(v.len()).map(|row| row.iter().zip(v).map(|(a, b)| a * b).sum()).collect()
}

fn quadratic(matrix: &[f64], v: &[f64]) -> f64 {
    times(matrix, v).iter().zip(v).map(|(a, b)| a * b).sum()
}

/// Channels in the order of choice; the first of equals.
fn choose(mut points: Vec<Point>) -> Vec<usize> {
    let channels = points.first().map_or(0, |p| p.noise.len());
    let mut open: Vec<usize> = (0..channels).collect();
    let mut order = Vec::with_capacity(channels);
    while !open.is_empty() {
        let gains: Vec<f64> = open.iter().map(|&j| points.iter().map(|p| p.gain(j)).sum()).collect();
        let best = (0..open.len()).rev().max_by(|&a, &b| gains[a].total_cmp(&gains[b])).unwrap_or(0);
        let j = open.remove(best);
        for point in &mut points {
            point.choose(j);
        }
        order.push(j);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums of three channels with these covariances, all means 0, and these gradients, independent of each other.
    fn sums(covariance: [[f64; 3]; 3], gradients: [f64; 3]) -> Sums {
        let mut metric = vec![0.0; 9];
        (0..3).for_each(|i| metric[4 * i] = gradients[i]);
        Sums { channels: 3, n: 1.0, sum: vec![0.0; 3], values: covariance.concat(), gradients: metric }
    }

    #[test]
    fn a_copy_is_chosen_last() {
        // Channels 0 and 1 are the same; 2 matters less than either, but nothing stands for it.
        let copies = sums([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [1.0, 1.0, 0.5]);
        assert_eq!(choose(vec![Point::new(&copies, 1.0)]), [0, 2, 1]);
    }

    #[test]
    fn what_no_score_depends_on_and_what_never_changes_come_last() {
        let idle = sums([[9.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]], [0.0, 5.0, 0.1]);
        assert_eq!(choose(vec![Point::new(&idle, 1.0)])[0], 2);
        assert!(choose(Vec::new()).is_empty());
    }

    #[test]
    fn what_is_lost_falls_as_least_squares_says() {
        let covariance = [[2.0, 1.0, 0.5], [1.0, 2.0, 0.3], [0.5, 0.3, 1.0]];
        let mut point = Point::new(&sums(covariance, [1.0, 2.0, 3.0]), 1.0);
        point.noise.fill(1e-300);
        point.choose(1);
        // Of channel i, channel 1 explains cov² / var.
        for (i, row) in covariance.iter().enumerate() {
            let left = row[i] - row[1] * row[1] / 2.0;
            assert!((point.rest[4 * i] - left).abs() < 1e-12);
        }
        let gain: f64 = (0..3).map(|k| [1.0, 2.0, 3.0][k] * point.rest[k * 3].powi(2)).sum();
        assert!((point.gain[0] - gain).abs() < 1e-12, "{} {gain}", point.gain[0]);
    }
}
