//! The smallest ratio that keeps the accuracy.
//!
//! In: a closure from keep ratio to accuracy on held-out calibration samples, and the accuracy to hold. Out: the
//! smallest ratio of the grid found by bisection, and every ratio tried. Accuracy need not rise with the ratio;
//! bisection then finds a ratio that holds, though perhaps not the smallest.

use crate::diag::Result;

/// Ratios are multiples of `1 / STEPS`: fine enough that neighbours differ by a channel or two in layers of 16-64.
pub const STEPS: u32 = 32;

/// What the search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The smallest ratio that held; 1 if none below did.
    pub keep: f64,
    /// Ratio and accuracy, in the order tried.
    pub tried: Vec<(f64, f64)>,
}

/// Finds the smallest ratio in `1/STEPS..=1` whose accuracy is at least `floor`. The whole network (ratio 1) is
/// taken to hold and is not tried.
pub fn smallest_keep(floor: f64, mut accuracy: impl FnMut(f64) -> Result<f64>) -> Result<Found> {
    let (mut fails, mut holds) = (0, STEPS);
    let mut tried = Vec::new();
    while holds - fails > 1 {
        let middle = u32::midpoint(fails, holds);
        let keep = f64::from(middle) / f64::from(STEPS);
        let reached = accuracy(keep)?;
        tried.push((keep, reached));
        if reached >= floor {
            holds = middle;
        } else {
            fails = middle;
        }
    }
    Ok(Found { keep: f64::from(holds) / f64::from(STEPS), tried })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_threshold_of_a_monotone_curve() {
        for threshold in 1..=STEPS {
            let at = f64::from(threshold) / f64::from(STEPS);
            let found = smallest_keep(0.9, |keep| Ok(if keep >= at { 0.95 } else { 0.5 })).expect("no failure");
            assert!((found.keep - at).abs() < 1e-12);
            assert!(found.tried.len() <= 6);
        }
    }

    #[test]
    fn keeps_everything_when_nothing_smaller_holds() {
        assert!((smallest_keep(0.9, |_| Ok(0.1)).expect("no failure").keep - 1.0).abs() < 1e-12);
    }
}
