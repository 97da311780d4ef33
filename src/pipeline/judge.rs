//! What a small network loses on calibration samples that it was not fitted on.

use std::cell::OnceCell;

use crate::data::Samples;
use crate::diag::{Diag, Result};
use crate::ir::Graph;
use crate::pipeline::calibration::{of_classes, split};
use crate::pipeline::cutter::{Cutter, Effort};
use crate::pipeline::score;
use crate::refit::Independent;
use crate::route::Route;

/// With fewer held-out samples than this, every sample is judged in turn by a network fitted on the others:
/// four times the work, which costs little with so few.
const FEW: usize = 100;

/// Parts that the samples are dealt into where every one is judged.
const FOLDS: usize = 4;

/// What a network loses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Verdict {
    /// Mean Kullback-Leibler divergence from the masked source's probabilities, in nats. Far less noisy than
    /// accuracy, as every sample says how sure the network is.
    pub(super) loss: f64,
    /// Standard error of that mean.
    pub(super) error: f64,
    /// Share of samples whose largest score is their label's.
    pub(super) accuracy: f64,
}

/// A part of the samples with what the source says of them.
struct Fold<'a> {
    fit: Vec<usize>,
    judged: Vec<usize>,
    truth: Vec<usize>,
    /// Log-probabilities of the wanted classes, masked.
    teacher: Vec<Vec<f64>>,
    /// What rough fits on `fit` start from, once there is one.
    sums: OnceCell<Option<Independent<'a>>>,
}

impl<'a> Fold<'a> {
    /// A network of these channels, fitted on `fit`.
    fn fitted(&self, cutter: &Cutter<'a>, route: &Route, effort: Effort) -> Result<Graph> {
        if effort == Effort::Rough {
            if self.sums.get().is_none() {
                let sums = cutter.independent(&self.fit)?;
                self.sums.get_or_init(|| sums);
            }
            if let Some(Some(sums)) = self.sums.get() {
                return sums.fit(&cutter.assembled(route)?);
            }
        }
        cutter.fitted(route, &self.fit, effort)
    }
}

/// Judges networks of one class set.
pub(super) struct Judge<'a> {
    cutter: &'a Cutter<'a>,
    samples: &'a Samples,
    folds: Vec<Fold<'a>>,
    /// The masked source's accuracy on the judged samples.
    pub(super) base: f64,
}

impl<'a> Judge<'a> {
    /// Runs the source on the judged samples: a quarter, by one network; where a quarter would be too few every
    /// sample, by networks fitted on the three quarters that it is not in.
    pub(super) fn new(cutter: &'a Cutter<'a>) -> Result<Self> {
        let Cutter { source, classes, .. } = *cutter;
        let samples = source.calibration()?;
        let parts = split(samples, classes);
        if parts.held_out.is_empty() {
            return Self::too_few(parts.fit.len());
        }
        let enough = parts.held_out.len() >= FEW;
        let parts = if enough { vec![(parts.fit, parts.held_out)] } else { dealt(samples, classes) };
        let (mut folds, mut right, mut total) = (Vec::new(), 0.0, 0);
        for (fit, judged) in parts {
            let truth = score::wanted(samples, &judged, classes);
            let teacher: Vec<Vec<f64>> = judged.iter().map(|i| cutter.teacher(*i).to_vec()).collect();
            let choices: Vec<usize> = teacher.iter().map(|row| score::argmax(row.iter().copied())).collect();
            right += score::accuracy(&choices, &truth) * judged.len() as f64;
            total += judged.len();
            folds.push(Fold { fit, judged, truth, teacher, sums: OnceCell::new() });
        }
        let total = total.max(1) as f64;
        Ok(Self { cutter, samples, folds, base: right / total })
    }

    /// Why nothing can be judged with `samples` samples.
    pub(super) fn too_few<T>(samples: usize) -> Result<T> {
        Diag::new("search/too-few", "too few calibration samples to judge a size")
            .expected("at least 4 of a wanted class", samples)
            .help("give --keep, or more calibration samples")
            .err()
    }

    /// Fits a network of these widths and judges it.
    pub(super) fn verdict(&self, widths: &[usize], effort: Effort) -> Result<Verdict> {
        let Cutter { source, classes, .. } = *self.cutter;
        let own: Vec<usize> = (0..classes.len()).collect();
        let route = self.cutter.route(widths)?;
        let (mut losses, mut right) = (Vec::new(), 0.0);
        for fold in &self.folds {
            let graph = fold.fitted(self.cutter, &route, effort)?;
            let softmax = score::is_softmax(&graph);
            let rows = score::scores(&graph, source, self.samples, &fold.judged)?;
            for (row, teacher) in rows.iter().zip(&fold.teacher) {
                let student = score::log_probabilities(row, &own, softmax);
                losses.push(teacher.iter().zip(&student).map(|(t, s)| t.exp() * (t - s)).sum::<f64>());
            }
            right += score::accuracy(&score::masked(&rows, &own), &fold.truth) * rows.len() as f64;
        }
        let total = losses.len().max(1) as f64;
        let loss = losses.iter().sum::<f64>() / total;
        let squares = losses.iter().map(|l| (l - loss) * (l - loss)).sum::<f64>();
        let error = (squares / total / (total - 1.0).max(1.0)).sqrt();
        Ok(Verdict { loss, error, accuracy: right / total })
    }
}

/// Every sample judged once: fitted on, judged.
fn dealt(samples: &Samples, classes: &[usize]) -> Vec<(Vec<usize>, Vec<usize>)> {
    let mut seen = vec![0_usize; classes.len()];
    let mut parts = vec![(Vec::new(), Vec::new()); FOLDS];
    for i in of_classes(samples, classes) {
        let Some(k) = classes.iter().position(|&c| c == samples.labels[i] as usize) else { continue };
        for (fold, (fit, judged)) in parts.iter_mut().enumerate() {
            if seen[k] % FOLDS == fold { judged.push(i) } else { fit.push(i) }
        }
        seen[k] += 1;
    }
    parts
}
