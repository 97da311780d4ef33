//! How wrong scores are, and in which direction.

use crate::exec::Batch;

/// The loss of a batch.
#[derive(Debug, Clone)]
pub struct Loss {
    /// Summed over the samples.
    pub sum: f64,
    /// Samples whose largest score is the label's.
    pub correct: usize,
    /// Gradient of the sum with respect to the scores.
    pub gradient: Batch<f32>,
}

/// Softmax cross-entropy of logits `[classes, N, 1, 1]` against one label a sample, in nats.
///
/// With `smoothing` s the target is 1 − s on the label and s/classes on all, which keeps logits bounded.
pub fn cross_entropy(logits: &Batch<f32>, labels: &[u32], smoothing: f64) -> Loss {
    let (classes, n) = (logits.shape.c, logits.n);
    let mut gradient = Batch::zeros(logits.shape, n);
    let (mut sum, mut correct) = (0.0, 0);
    for (i, &label) in labels.iter().enumerate().take(n) {
        let score = |c: usize| f64::from(logits.data[c * n + i]);
        let largest = (0..classes).map(score).fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = (0..classes).map(|c| (score(c) - largest).exp()).sum();
        for c in 0..classes {
            let log_p = score(c) - largest - total.ln();
            let hit = if c == label as usize { 1.0 - smoothing } else { 0.0 };
            let target = hit + smoothing / classes as f64;
            sum -= target * log_p;
            gradient.data[c * n + i] = (log_p.exp() - target) as f32;
        }
        correct += usize::from(logits.argmax(i) == label as usize);
    }
    Loss { sum, correct, gradient }
}

/// Softmax cross-entropy of logits `[classes, N, 1, 1]` against one row of class probabilities a sample, in nats.
///
/// A sample counts as right where its largest score is its row's largest probability.
pub fn soft_cross_entropy(logits: &Batch<f32>, targets: &[&[f32]]) -> Loss {
    let (classes, n) = (logits.shape.c, logits.n);
    let mut gradient = Batch::zeros(logits.shape, n);
    let (mut sum, mut correct) = (0.0, 0);
    for (i, row) in targets.iter().enumerate().take(n) {
        let score = |c: usize| f64::from(logits.data[c * n + i]);
        let largest = (0..classes).map(score).fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = (0..classes).map(|c| (score(c) - largest).exp()).sum();
        let mut best = 0;
        for (c, &target) in row.iter().enumerate().take(classes) {
            let log_p = score(c) - largest - total.ln();
            sum -= f64::from(target) * log_p;
            gradient.data[c * n + i] = (log_p.exp() - f64::from(target)) as f32;
            if target > row[best] {
                best = c;
            }
        }
        correct += usize::from(logits.argmax(i) == best);
    }
    Loss { sum, correct, gradient }
}

#[cfg(test)]
mod tests {
    use super::{cross_entropy, soft_cross_entropy};
    use crate::exec::Batch;
    use crate::ir::Shape;

    #[test]
    fn gradient_is_the_slope_of_the_loss() {
        let base = vec![0.3f32, -1.0, 2.0, 0.5, 0.25, 1.5];
        let batch = |data| Batch::new(Shape::vector(3), 2, data).expect("3 classes, 2 samples");
        for smoothing in [0.0, 0.1] {
            let loss = |data: Vec<f32>| cross_entropy(&batch(data), &[2, 0], smoothing);
            let exact = loss(base.clone()).gradient;
            for i in 0..base.len() {
                let moved = |by: f32| {
                    let mut data = base.clone();
                    data[i] += by;
                    loss(data).sum
                };
                let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                assert!((slope - f64::from(exact.data[i])).abs() < 1e-4, "{i}: {slope} and {}", exact.data[i]);
            }
        }
    }

    #[test]
    fn a_certain_row_is_a_label() {
        let logits = Batch::new(Shape::vector(3), 2, vec![0.3f32, -1.0, 2.0, 0.5, 0.25, 1.5]).expect("3 classes");
        let hard = cross_entropy(&logits, &[2, 0], 0.0);
        let soft = soft_cross_entropy(&logits, &[&[0.0, 0.0, 1.0], &[1.0, 0.0, 0.0]]);
        assert_eq!((hard.sum, hard.correct, hard.gradient.data), (soft.sum, soft.correct, soft.gradient.data));
    }

    #[test]
    fn nothing_pulls_where_the_probabilities_are_met() {
        let row = [0.2f32, 0.5, 0.3];
        let logits = Batch::new(Shape::vector(3), 1, row.map(f32::ln).to_vec()).expect("3 classes");
        assert!(soft_cross_entropy(&logits, &[&row]).gradient.data.iter().all(|g| g.abs() < 1e-6));
    }
}
