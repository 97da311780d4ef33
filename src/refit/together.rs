//! Fits all layers at once to the source's scores: ridge regression in the network's tangent space.
//!
//! Layer by layer a cut network learns to give what the source gives inside; what that leaves wrong adds up on the way
//! to the scores. Here the scores themselves are fitted. With θ the weights and J the derivatives of the scores
//! (contrasts of the wanted classes, as softmax does not see their mean) with respect to θ, the change that brings
//! them nearest to the source's is, in closed form,
//!
//! `δ = S·Jᵀ·(J·S·Jᵀ + λ·m·I)⁻¹·r`
//!
//! r: what is missing to the source's scores. S: mean square of each layer's weights, so that layers change in
//! proportion. m: mean diagonal of `J·S·Jᵀ`, which has a row for each sample and contrast, however many weights there are.
//! As scores are not linear in the weights this is repeated: Gauss and Newton's method, with Levenberg's ridge. λ and how
//! often are chosen by the divergence from the source on samples held out from both fits; the final fit takes all
//! samples. Labels are not looked at. Layers that the cut left whole and exact do not change.
//!
//! The rows are few against the weights, so samples are also seen in ways that the source does not mind: mirrored, moved.
//! What the source says of such a copy is known as well as of the sample itself. Where not all rows fit into memory, each
//! step takes other ones.

use std::ops::Range;

use crate::assemble::Assembled;
use crate::diag::Result;
use crate::exec::{Batch, Network, for_chunks};
use crate::ir::{Graph, NodeId};
use crate::refit::tangent::{Aim, Tangent, usable};
use crate::refit::{Inputs, Views};

/// Candidate ridges, in units of the mean diagonal.
const RIDGES: [f64; 6] = [1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0];

/// Most steps.
const STEPS: usize = 12;

/// Samples by their index modulo this are held out to choose ridges and steps.
const FOLDS: usize = 4;

/// With fewer held-out samples than this, each fold is held out in turn, else every second one.
const FEW: usize = 100;

/// A step must lower the held-out divergence by this share at least.
const GAIN: f64 = 0.01;

/// Classes that a sample's scores are compared among: those that the source finds likeliest.
const RIVALS: usize = 5;

/// What is fitted to what.
pub(super) struct Joint<'a> {
    pub(super) source: &'a Graph,
    pub(super) small: &'a Assembled,
    pub(super) samples: usize,
    pub(super) views: Views,
    pub(super) inputs: Inputs<'a>,
    /// The layers that may change.
    pub(super) layers: &'a [NodeId],
}

/// A network that was fitted to some samples only, and the others.
///
/// Copies of a sample that are seen otherwise go by numbers of their own: copy `k` of sample `i` is `k · samples + i`.
struct Fold {
    graph: Graph,
    fit: Vec<usize>,
    judged: Vec<usize>,
}

impl Joint<'_> {
    /// Fits `graph`, which was fitted layer by layer to all samples; `on_some` fits so to a list of them.
    pub(super) fn fit(&self, mut graph: Graph, on_some: &dyn Fn(&[usize]) -> Result<Graph>) -> Result<Graph> {
        let Self { source, small, samples, .. } = *self;
        let classes = &small.origins[small.graph.logits().index()].channels;
        let classes: Vec<usize> = classes.iter().map(|&c| c as usize).collect();
        if classes.len() < 2 || samples < FOLDS || self.layers.is_empty() {
            return Ok(graph);
        }
        let all: Vec<usize> = (0..samples * self.views.copies(samples)).collect();
        let teacher = self.scores(source, &all, &classes)?;
        let mut folds = Vec::new();
        for fold in (0..FOLDS).step_by(if samples / FOLDS < FEW { 1 } else { 2 }) {
            let (judged, plain): (Vec<usize>, Vec<usize>) = (0..samples).partition(|&i| i % FOLDS == fold);
            let fit = all.iter().copied().filter(|i| i % samples % FOLDS != fold).collect();
            folds.push(Fold { graph: on_some(&plain)?, fit, judged });
        }
        for (step, ridge) in self.ridges(folds, &teacher)?.into_iter().enumerate() {
            let Some(next) = self.tangent(&graph, &all, &teacher, step)?.step(&graph, ridge)? else { break };
            graph = next;
        }
        Ok(graph)
    }

    /// The ridge of each step, by what the steps do to held-out samples.
    fn ridges(&self, mut folds: Vec<Fold>, teacher: &[Vec<f64>]) -> Result<Vec<f64>> {
        let mut loss = 0.0;
        for fold in &folds {
            loss += self.divergence(&fold.graph, &fold.judged, teacher)?;
        }
        let mut ridges = Vec::new();
        while ridges.len() < STEPS {
            let mut losses = [0.0; RIDGES.len()];
            let mut steps: Vec<Vec<Option<Graph>>> = Vec::new();
            for fold in &folds {
                let tangent = self.tangent(&fold.graph, &fold.fit, teacher, ridges.len())?;
                let mut nexts = Vec::new();
                for (sum, &ridge) in losses.iter_mut().zip(&RIDGES) {
                    let next = tangent.step(&fold.graph, ridge)?;
                    let judge = |next| self.divergence(next, &fold.judged, teacher);
                    *sum += next.as_ref().map_or(Ok(f64::INFINITY), judge)?;
                    nexts.push(next);
                }
                steps.push(nexts);
            }
            let best = (0..RIDGES.len()).rev().min_by(|&a, &b| losses[a].total_cmp(&losses[b])).unwrap_or(0);
            if losses[best].is_nan() || losses[best] > loss * (1.0 - GAIN) {
                break;
            }
            loss = losses[best];
            ridges.push(RIDGES[best]);
            for (fold, mut nexts) in folds.iter_mut().zip(steps) {
                if let Some(next) = nexts.swap_remove(best) {
                    fold.graph = next;
                }
            }
        }
        Ok(ridges)
    }

    /// The system of step `step`, on as many of `samples` as its derivatives may take memory for.
    fn tangent(&self, graph: &Graph, samples: &[usize], teacher: &[Vec<f64>], step: usize) -> Result<Tangent> {
        let rivals = teacher.first().map_or(0, Vec::len).min(RIVALS);
        let plain = samples.iter().filter(|&&i| i < self.samples).count();
        let n = usable(graph, self.layers, samples.len(), plain, rivals.saturating_sub(1));
        let used: Vec<usize> = (0..n).map(|i| samples[(i * samples.len() / n + step) % samples.len()]).collect();
        let aims: Vec<Aim<'_>> =
            used.iter().map(|&i| Aim { teacher: &teacher[i], contrasts: contrasts(&teacher[i]) }).collect();
        let load = |range: Range<usize>| self.seen(&used[range]);
        Tangent::new(graph, self.layers, &aims, &load)
    }

    /// Scores of `classes`, a row a sample.
    fn scores(&self, graph: &Graph, samples: &[usize], classes: &[usize]) -> Result<Vec<Vec<f64>>> {
        let network = Network::<f32>::new(graph)?;
        let rows = for_chunks(samples.len(), |range| {
            let acts = network.forward(&self.seen(&samples[range])?)?;
            let z = acts.get(graph.logits());
            let row = |s: usize| classes.iter().map(|&c| f64::from(z.plane(c, s)[0])).collect();
            Ok((0..z.n).map(row).collect::<Vec<Vec<f64>>>())
        })?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// Some samples or copies of them as one batch.
    fn seen(&self, chosen: &[usize]) -> Result<Batch<f32>> {
        let one = |&i: &usize| {
            let sample = i % self.samples;
            let mut batch = (self.inputs)(sample..sample + 1)?;
            self.views.view(i / self.samples, sample).apply(&mut batch);
            Ok(batch)
        };
        side_by_side(&chosen.iter().map(one).collect::<Result<Vec<_>>>()?)
    }

    /// Sum over samples of the Kullback-Leibler divergence from the source's probabilities, in nats.
    fn divergence(&self, graph: &Graph, samples: &[usize], teacher: &[Vec<f64>]) -> Result<f64> {
        let classes: Vec<usize> = (0..graph.classes()).collect();
        let rows = self.scores(graph, samples, &classes)?;
        Ok(rows.iter().zip(samples).map(|(row, &i)| divergence(&teacher[i], row)).sum())
    }
}

/// Some samples, which need not follow each other, as one batch.
pub(super) fn gathered(inputs: Inputs<'_>, samples: &[usize]) -> Result<Batch<f32>> {
    side_by_side(&samples.iter().map(|&i| inputs(i..i + 1)).collect::<Result<Vec<_>>>()?)
}

/// Batches of one sample each, one at least, as one batch.
fn side_by_side(parts: &[Batch<f32>]) -> Result<Batch<f32>> {
    let shape = parts[0].shape;
    let data = (0..shape.c).flat_map(|c| parts.iter().flat_map(move |p| p.channel(c).iter().copied())).collect();
    Batch::new(shape, parts.len(), data)
}

/// Kullback-Leibler divergence of two rows of scores, in nats.
fn divergence(teacher: &[f64], student: &[f64]) -> f64 {
    let (p, q) = (log_softmax(teacher), log_softmax(student));
    p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum()
}

fn log_softmax(z: &[f64]) -> Vec<f64> {
    let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total = z.iter().map(|v| (v - top).exp()).sum::<f64>().ln() + top;
    z.iter().map(|v| v - total).collect()
}

/// Contrasts of the likeliest classes, [`RIVALS`] at most: orthonormal rows that add up to 0 (Helmert's), a value for
/// each class.
fn contrasts(teacher: &[f64]) -> Vec<Vec<f64>> {
    let mut order: Vec<usize> = (0..teacher.len()).collect();
    order.sort_by(|&a, &b| teacher[b].total_cmp(&teacher[a]).then(a.cmp(&b)));
    order.truncate(RIVALS);
    let row = |j: usize| {
        let scale = 1.0 / ((j * (j + 1)) as f64).sqrt();
        let mut row = vec![0.0; teacher.len()];
        order[..j].iter().for_each(|&c| row[c] = scale);
        row[order[j]] = -(j as f64) * scale;
        row
    };
    (1..order.len()).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrasts_are_orthonormal_and_do_not_see_the_mean() {
        let teacher = [0.5, 3.0, -1.0, 2.0, 0.0, 1.0, -2.0];
        let rows = contrasts(&teacher);
        assert_eq!(rows.len(), RIVALS - 1);
        for (i, a) in rows.iter().enumerate() {
            assert!(a.iter().sum::<f64>().abs() < 1e-12);
            assert!(a[2] == 0.0 && a[6] == 0.0, "the least likely classes take no part");
            for (j, b) in rows.iter().enumerate() {
                let product: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                assert!((product - f64::from(u8::from(i == j))).abs() < 1e-12);
            }
        }
    }
}
