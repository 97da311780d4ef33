//! The gradient of a class's score with respect to the logits, per sample, and sums of what follows from it.

use crate::attribute::Target;
use crate::diag::Result;
use crate::exec::{Activations, Batch, Float, Network};
use crate::ir::NodeId;

/// Per point and channel, what `sums` makes of the gradient, with respect to the point's tensor, of the sum over the batch
/// of `class`'s score, and of the tensor; zeros where the score does not depend on it. A
/// gradient is dropped as soon as nothing needs it.
pub(super) fn point_sums<T: Float>(
    network: &Network<T>,
    acts: &Activations<T>,
    (class, target, within): (usize, Target, Option<&[usize]>),
    points: &[NodeId],
    sums: impl Fn(&Batch<T>, &Batch<T>) -> Vec<f64>,
) -> Result<Vec<Vec<f64>>> {
    let logits = network.graph().logits();
    let seed = seed(acts.get(logits), class, target, within);
    let mut found: Vec<Vec<f64>> = points.iter().map(|&id| vec![0.0; acts.get(id).shape.c]).collect();
    network.backward_at(acts, &[(logits, seed)], points, &mut |id, gradient| {
        let of_this = sums(&gradient, acts.get(id));
        for (found, _) in found.iter_mut().zip(points).filter(|(_, point)| **point == id) {
            found.clone_from(&of_this);
        }
    })?;
    Ok(found)
}

pub(super) fn seed<T: Float>(logits: &Batch<T>, class: usize, target: Target, within: Option<&[usize]>) -> Batch<T> {
    let mut members: Vec<usize> = within.map_or_else(|| (0..logits.shape.c).collect(), <[usize]>::to_vec);
    members.push(class);
    members.sort_unstable();
    members.dedup();
    let mut seed = Batch::zeros(logits.shape, logits.n);
    for n in 0..logits.n {
        let z = |c: usize| logits.plane(c, n)[0].wide();
        let mut put = |c: usize, v: f64| seed.data[c * logits.n + n] += T::of(v);
        let top = members.iter().map(|&c| z(c)).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = members.iter().map(|&c| (z(c) - top).exp()).sum();
        let p = |c: usize| (z(c) - top).exp() / sum;
        let delta = |c: usize| if c == class { 1.0 } else { 0.0 };
        match target {
            Target::Probability => members.iter().for_each(|&c| put(c, p(class) * (delta(c) - p(c)))),
            Target::LogProbability => members.iter().for_each(|&c| put(c, delta(c) - p(c))),
            Target::Margin => {
                put(class, 1.0);
                let others = members.iter().copied().filter(|&c| c != class);
                if let Some(rival) = others.reduce(|a, b| if z(b) > z(a) { b } else { a }) {
                    put(rival, -1.0);
                }
            }
        }
    }
    seed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Shape;

    fn seeds(target: Target, within: Option<&[usize]>) -> Vec<f64> {
        let logits = Batch::new(Shape::vector(3), 1, vec![1.0f64, 0.0, 0.5]).expect("fits");
        seed(&logits, 0, target, within).data
    }

    #[test]
    fn each_target_has_the_gradient_of_its_formula() {
        let score = |z: &[f64], target| {
            let sum: f64 = z.iter().map(|v| v.exp()).sum();
            match target {
                Target::Probability => z[0].exp() / sum,
                Target::LogProbability => z[0] - sum.ln(),
                Target::Margin => z[0] - z[1].max(z[2]),
            }
        };
        for target in Target::ALL {
            for (c, got) in seeds(target, None).into_iter().enumerate() {
                let mut z = [1.0, 0.0, 0.5];
                z[c] += 1e-6;
                let up = score(&z, target);
                z[c] -= 2e-6;
                let down = score(&z, target);
                assert!((got - (up - down) / 2e-6).abs() < 1e-8, "{} {c}: {got}", target.name());
            }
        }
    }

    #[test]
    fn a_set_restricts_the_contrast() {
        assert_eq!(seeds(Target::Margin, Some(&[1])), [1.0, -1.0, 0.0]);
        assert_eq!(seeds(Target::LogProbability, Some(&[0, 1])).get(2), Some(&0.0));
        assert_eq!(seeds(Target::Margin, Some(&[0])), [1.0, 0.0, 0.0]);
    }
}
