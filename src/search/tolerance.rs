//! A tolerance in points of accuracy, told by a loss that is smoother than accuracy.
//!
//! In: networks measured on the same samples, each with its divergence from the source (nats) and the accuracy it
//! lost. Out: how much accuracy a nat costs on these samples, and the smallest network of a path within a loss.
//!
//! Why one number will do: let a network's log-odds differ from the source's by small errors of variance `v`. The
//! divergence is least at `v = 0`, so it grows with `v`, not with its root. Accuracy changes where an error turns
//! the largest score; with errors of either sign the wins and losses of nearly tied samples cancel, and what is left
//! grows with `v` too. So accuracy lost per nat belongs to the samples, not to the network, and every network
//! that was measured tells something of it: together far more than the few samples that one of them turns.

use crate::diag::Result;

/// One network on the samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Mean divergence from the source, in nats.
    pub loss: f64,
    /// Accuracy below the source's, as a fraction; negative if it is better.
    pub drop: f64,
}

/// What is believed before anything is measured: accuracy lost per nat, and as if it had been seen over
/// so many nats: the networks of a search add up to far more.
const PRIOR: (f64, f64) = (0.5, 0.02);

/// Networks that lose more than this (a fraction) say little of small losses.
const SMALL: f64 = 0.1;

/// Networks of a path measured with care at most.
const LOOKS: usize = 5;

/// What a careful measurement is of a rough one, before one was made: 0.44 to 0.65 in six looks at `cnn_fmnist`.
const CARE: f64 = 0.6;

/// Looks that trust the path's own losses; after these the path is halved.
const GUESSES: usize = 3;

/// Accuracy (a fraction) lost per nat: the ratio of both sums over networks that lose little.
pub fn drop_per_nat(seen: &[Seen]) -> f64 {
    let (mut drop, mut loss) = (PRIOR.0 * PRIOR.1, PRIOR.1);
    for network in seen.iter().filter(|s| s.drop <= SMALL && s.loss.is_finite()) {
        drop += network.drop;
        loss += network.loss;
    }
    // Networks that are better than their source must not make every loss acceptable.
    (drop / loss).max(PRIOR.0 / 4.0)
}

/// The last network of a path (by index, widest first) whose careful measurement is at most `limit`. `rough` are the
/// path's own losses; those measured with care are usually a constant factor below them. The first network, the
/// widest, is taken to hold.
pub fn smallest_within(rough: &[f64], limit: f64, mut careful: impl FnMut(usize) -> Result<f64>) -> Result<usize> {
    let (mut holds, mut fails) = (0, rough.len());
    let mut factor = CARE;
    for look in 0..LOOKS {
        if fails - holds <= 1 {
            break;
        }
        let guess = (holds + 1..fails).rev().find(|&i| rough[i] * factor <= limit).unwrap_or(holds + 1);
        let at = if look < GUESSES { guess } else { usize::midpoint(holds, fails) };
        let loss = careful(at)?;
        if loss <= limit {
            holds = at;
        } else {
            fails = at;
        }
        if rough[at] > 0.0 && loss > 0.0 {
            factor = loss / rough[at];
        }
    }
    Ok(holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_networks_outweigh_the_prior_and_one_lucky_one() {
        // 0.3 of accuracy per nat, each network off by up to half a point.
        let noise = [0.005, -0.004, 0.003, -0.005, 0.001, 0.004, -0.003, -0.001];
        let seen: Vec<Seen> = noise
            .iter()
            .zip(1..)
            .map(|(n, k)| Seen { loss: 0.03 * f64::from(k), drop: 0.009 * f64::from(k) + n })
            .collect();
        assert!((drop_per_nat(&seen) - 0.3).abs() < 0.02);
        assert!(drop_per_nat(&[]) > 0.0);
        assert!(drop_per_nat(&[Seen { loss: 0.5, drop: -0.05 }]) > 0.0);
        // A useless network says nothing.
        assert!((drop_per_nat(&[Seen { loss: 3.0, drop: 0.6 }]) - drop_per_nat(&[])).abs() < 1e-12);
    }

    #[test]
    fn the_smallest_that_holds_is_found_in_a_few_looks() {
        let rough: Vec<f64> = (0..40).map(|k| 0.001 * f64::from(k * k)).collect();
        for last in 0..40 {
            // Care makes every loss smaller by a third, or to a fifth.
            for care in [1.5, 5.0] {
                let limit = rough[last] / care + 1e-9;
                let mut looks = 0;
                let found = smallest_within(&rough, limit, |i| {
                    looks += 1;
                    Ok(rough[i] / care)
                });
                let found = found.expect("no failure");
                assert!(rough[found] / care <= limit && last - found <= 2, "{found} for {last}");
                assert!(looks <= LOOKS);
            }
        }
    }

    #[test]
    fn the_widest_is_kept_where_nothing_else_holds() {
        assert_eq!(smallest_within(&[0.0, 1.0, 2.0], 0.1, |_| Ok(5.0)).expect("no failure"), 0);
        assert_eq!(smallest_within(&[0.0], 0.1, |_| Ok(5.0)).expect("no failure"), 0);
    }
}
