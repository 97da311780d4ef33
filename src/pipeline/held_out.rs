//! Whether training has helped, by samples that it has not seen.

use crate::data::Samples;
use crate::diag::Result;
use crate::exec::Batch;
use crate::finetune::{Done, logits, soft_cross_entropy};
use crate::ir::{Graph, Shape};
use crate::pipeline::Source;
use crate::report::HeldOut;

/// How a network does on the held-out samples.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    /// On all of them.
    pub(super) all: HeldOut,
    /// Cross-entropy of each, in nats.
    losses: Vec<f64>,
}

/// An early number, for the user to watch.
pub(super) fn look(done: Done, rate: f64, now: &Judged, before: &Judged) -> String {
    format!("fine-tune: {:.2} epochs at rate {rate}, loss {:.3}; {}", done.epochs, done.loss, words(now, before))
}

/// Both networks' figures.
pub(super) fn words(now: &Judged, before: &Judged) -> String {
    format!(
        "held out {:.2} %, loss {:.3} (before {:.2} %, {:.3})",
        now.all.accuracy * 100.0,
        now.all.cross_entropy,
        before.all.accuracy * 100.0,
        before.all.cross_entropy
    )
}

/// Standard errors of the held-out accuracy that a trained network may be below, if its loss is lower.
const CHANCE: f64 = 0.5;

/// Standard errors of the mean difference that the loss has to be lower by.
const SURE: f64 = 1.0;

/// Less loss than chance explains, and no fewer right answers: every sample tells of the loss, but only the few whose answer
/// turns of accuracy. Not-a-number is not better.
pub(super) fn better(after: &Judged, before: &Judged) -> bool {
    let gains: Vec<f64> = before.losses.iter().zip(&after.losses).map(|(before, after)| before - after).collect();
    let n = gains.len().max(1) as f64;
    let mean = gains.iter().sum::<f64>() / n;
    let variance = gains.iter().map(|gain| (gain - mean).powi(2)).sum::<f64>() / n;
    let right = before.all.accuracy;
    let error = (right * (1.0 - right) / n).sqrt();
    mean > 0.0 && mean >= SURE * (variance / n).sqrt() && after.all.accuracy >= right - CHANCE * error
}

/// How `graph` does on `held_out`, whose right outputs are `truth`.
pub(super) fn judge(graph: &Graph, source: &Source, held_out: &Samples, truth: &[usize]) -> Result<Judged> {
    let all: Vec<usize> = (0..held_out.len()).collect();
    let rows = logits(graph, &source.case.input, held_out, &all, source.device)?;
    let mut losses = Vec::with_capacity(rows.len());
    let mut correct = 0;
    for (row, &k) in rows.into_iter().zip(truth) {
        let classes = row.len();
        let scores = Batch::new(Shape::vector(classes), 1, row)?;
        let one = soft_cross_entropy(&scores, &[&certain(k, classes)]);
        losses.push(one.sum);
        correct += one.correct;
    }
    let samples = held_out.len();
    let n = samples.max(1) as f64;
    let cross_entropy = losses.iter().sum::<f64>() / n;
    Ok(Judged { all: HeldOut { samples, accuracy: correct as f64 / n, cross_entropy }, losses })
}

/// All probability on class `k` of `classes`.
pub(super) fn certain(k: usize, classes: usize) -> Vec<f32> {
    (0..classes).map(|c| if c == k { 1.0 } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::{Judged, better};
    use crate::report::HeldOut;

    fn judged(accuracy: f64, losses: &[f64]) -> Judged {
        let samples = losses.len();
        let cross_entropy = losses.iter().sum::<f64>() / samples as f64;
        Judged { all: HeldOut { samples, accuracy, cross_entropy }, losses: losses.to_vec() }
    }

    #[test]
    fn better_is_more_than_chance() {
        let before = judged(0.75, &[0.5, 0.4, 0.3, 0.8]);
        assert!(better(&judged(0.75, &[0.4, 0.3, 0.25, 0.7]), &before));
        assert!(!better(&before, &before));
        assert!(!better(&judged(0.75, &[0.6, 0.5, 0.4, 0.9]), &before));
        // The mean is lower by one sample's luck.
        assert!(!better(&judged(0.75, &[0.5, 0.5, 0.4, 0.5]), &before));
        // Half a standard error is 0.11 here.
        assert!(better(&judged(0.65, &[0.4, 0.3, 0.25, 0.7]), &before));
        assert!(!better(&judged(0.5, &[0.4, 0.3, 0.25, 0.7]), &before));
        assert!(!better(&judged(0.75, &[0.4, f64::NAN, 0.25, 0.7]), &before));
    }
}
