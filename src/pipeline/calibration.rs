//! Which calibration samples serve which choice.

use crate::data::Samples;

/// Every `HELD_OUT`-th sample of a class is kept apart to judge choices: enough to see a point with a few hundred
/// samples, little enough that refit keeps most of them.
const HELD_OUT: usize = 4;

/// Calibration samples of the wanted classes, by index into the whole split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// To fit on.
    pub fit: Vec<usize>,
    /// To judge on.
    pub held_out: Vec<usize>,
}

/// Splits the samples of `classes`, every class alike, in file order.
pub fn split(samples: &Samples, classes: &[usize]) -> Split {
    let mut seen = vec![0_usize; classes.len()];
    let mut split = Split { fit: Vec::new(), held_out: Vec::new() };
    for (i, &label) in samples.labels.iter().enumerate() {
        let Some(k) = classes.iter().position(|&c| c == label as usize) else { continue };
        seen[k] += 1;
        if seen[k].is_multiple_of(HELD_OUT) {
            split.held_out.push(i);
        } else {
            split.fit.push(i);
        }
    }
    split
}

/// Indices of the samples of `classes`, in file order.
pub fn of_classes(samples: &Samples, classes: &[usize]) -> Vec<usize> {
    (0..samples.len()).filter(|&i| classes.contains(&(samples.labels[i] as usize))).collect()
}
