//! A width for each channel group: a path of networks from whole to small.
//!
//! From the whole network downwards, each step narrows the group whose narrowing loses least for what it saves.
//! A step's loss is measured with all the narrowing that went before. Measuring every group at every step would
//! take groups × steps fits; a group is measured again only when its last known price is the lowest of all. As
//! prices rise while a network shrinks, the old ones are bounds, and little is missed.

use crate::diag::Result;

/// Groups from this many channels on have widths that are multiples of 4; smaller ones of 2.
const LARGE: usize = 64;

/// A step keeps about this share of a group's channels: finer steps cost more fits than they gain.
const SHRINK: f64 = 0.8;

/// One network of the path.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Channels kept of every group.
    pub widths: Vec<usize>,
    /// What the network costs.
    pub cost: u64,
    /// What it loses.
    pub loss: f64,
}

/// Widths of the multiples that kernels like: 4 for a large group, else 2.
fn grain(channels: usize) -> usize {
    if channels >= LARGE { 4 } else { 2 }
}

/// Widths worth trying for a group of `channels`, ascending, the whole group last.
pub fn choices(channels: usize) -> Vec<usize> {
    let grain = grain(channels);
    let mut widths = vec![channels];
    let mut width = channels;
    while width > grain {
        let next = (width as f64 * SHRINK / grain as f64).round() as usize * grain;
        width = next.min((width - 1) / grain * grain).max(grain);
        widths.push(width);
    }
    widths.reverse();
    widths
}

/// The same down to one channel. Kernels do not like widths below [`choices`]: they are for limits that nothing wider meets.
pub fn choices_to_one(channels: usize) -> Vec<usize> {
    let choices = choices(channels);
    [1, 2].into_iter().filter(|&width| width < choices[0]).chain(choices.iter().copied()).collect()
}

/// A group's next narrowing.
#[derive(Debug, Clone, Copy)]
struct Offer {
    /// Loss per unit of cost saved, as last measured.
    price: f64,
    /// Loss of the network with this narrowing.
    loss: f64,
    /// Steps taken when it was measured.
    measured_at: usize,
}

/// The path from the widest of `choices` (per group, ascending) downwards, until `done` says so of the last
/// step or nothing can be narrowed. Steps that save nothing are not taken.
pub fn descend(
    choices: &[Vec<usize>],
    mut cost: impl FnMut(&[usize]) -> Result<u64>,
    mut loss: impl FnMut(&[usize]) -> Result<f64>,
    mut done: impl FnMut(&Step) -> bool,
) -> Result<Vec<Step>> {
    let mut at: Vec<usize> = choices.iter().map(|c| c.len() - 1).collect();
    let widths = |at: &[usize]| -> Vec<usize> { at.iter().zip(choices).map(|(&i, c)| c[i]).collect() };
    let whole = widths(&at);
    let mut path = vec![Step { cost: cost(&whole)?, loss: loss(&whole)?, widths: whole }];
    let mut offers: Vec<Option<Offer>> = vec![None; choices.len()];
    while !done(&path[path.len() - 1]) {
        let now = path[path.len() - 1].clone();
        let taken = loop {
            // Not yet measured first, then the lowest price; the first of equals.
            let open = (0..choices.len()).filter(|&g| at[g] > 0);
            let price = |g: &usize| offers[*g].map_or(f64::NEG_INFINITY, |o: Offer| o.price);
            let Some(group) = open.min_by(|a, b| price(a).total_cmp(&price(b))) else { break None };
            if let Some(offer) = offers[group].filter(|o| o.measured_at == path.len()) {
                break (offer.price < f64::INFINITY).then_some((group, offer));
            }
            at[group] -= 1;
            let narrowed = widths(&at);
            at[group] += 1;
            let saved = now.cost.saturating_sub(cost(&narrowed)?);
            let offer = if saved == 0 {
                Offer { price: f64::INFINITY, loss: now.loss, measured_at: path.len() }
            } else {
                let loss = loss(&narrowed)?;
                Offer { price: (loss - now.loss) / saved as f64, loss, measured_at: path.len() }
            };
            offers[group] = Some(offer);
        };
        let Some((group, offer)) = taken else { break };
        at[group] -= 1;
        let widths = widths(&at);
        path.push(Step { cost: cost(&widths)?, loss: offer.loss, widths });
    }
    Ok(path)
}

/// Widens `widths` where the budget `limit` leaves room, in steps of a few channels, never beyond `most`: first
/// the group whose last narrowing on `path` was the dearest.
pub fn widen(
    path: &[Step],
    widths: &[usize],
    most: &[usize],
    limit: u64,
    mut cost: impl FnMut(&[usize]) -> Result<u64>,
) -> Result<Vec<usize>> {
    let mut dearest: Vec<(f64, usize)> = Vec::new();
    for group in 0..widths.len() {
        let last = path.windows(2).rev().find(|pair| pair[0].widths[group] != pair[1].widths[group]);
        if let Some([before, after]) = last {
            let saved = before.cost.saturating_sub(after.cost).max(1);
            dearest.push(((after.loss - before.loss) / saved as f64, group));
        }
    }
    dearest.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut widths = widths.to_vec();
    for (_, group) in dearest {
        let grain = grain(most[group]);
        let top = path.iter().rev().map(|s| s.widths[group]).find(|&w| w > widths[group]).unwrap_or(widths[group]);
        while widths[group] < top {
            let before = widths[group];
            widths[group] = ((before / grain + 1) * grain).min(top);
            if cost(&widths)? > limit {
                widths[group] = before;
                break;
            }
        }
    }
    Ok(widths)
}

/// Between two networks: per group the geometric mean, down to a width that kernels like. As work is a sum of products of
/// two widths, it is at most the mean of both networks' work.
pub fn between(a: &[usize], b: &[usize], most: &[usize]) -> Vec<usize> {
    let mean = |((&a, &b), &most): ((&usize, &usize), &usize)| {
        let (grain, mean) = (grain(most), ((a * b) as f64).sqrt());
        if a == b { a } else { ((mean / grain as f64) as usize * grain).max(grain.min(a.min(b))) }
    };
    a.iter().zip(b).zip(most).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_two_networks_lies_no_more_work_than_their_mean() {
        let (a, b) = ([3, 8, 64, 0, 7], [3, 30, 20, 6, 1]);
        let mean = between(&a, &b, &[3, 32, 64, 8, 8]);
        assert_eq!(mean, [3, 14, 32, 0, 2]);
        let work = |w: &[usize]| w.windows(2).map(|w| w[0] * w[1]).sum::<usize>();
        assert!(2 * work(&mean) <= work(&a) + work(&b));
    }

    #[test]
    fn choices_are_multiples_down_to_the_smallest() {
        assert_eq!(choices(8), [2, 4, 6, 8]);
        assert_eq!(choices(3), [2, 3]);
        assert_eq!(choices(1), [1]);
        assert_eq!(choices(2), [2]);
        let large = choices(130);
        assert_eq!((large[0], large[large.len() - 1]), (4, 130));
        assert!(large[..large.len() - 1].iter().all(|w| w % 4 == 0));
        assert!(large.windows(2).all(|w| w[0] < w[1]));
    }

    #[test]
    fn below_the_choices_lies_one_channel() {
        assert_eq!(choices_to_one(1), [1]);
        assert_eq!(choices_to_one(3), [1, 2, 3]);
        assert_eq!(choices_to_one(64)[..4], [1, 2, 4, 8]);
        assert!([2, 16, 64, 130].iter().all(|&n| choices_to_one(n).ends_with(&choices(n))));
    }

    /// Losses a[g]/width, convex; costs c[g]·width.
    fn curves() -> ([f64; 3], [u64; 3], Vec<Vec<usize>>) {
        ([1.0, 8.0, 0.1], [10, 10, 30], vec![choices(32); 3])
    }

    #[test]
    fn every_step_is_the_optimum_of_its_cost_on_convex_curves() {
        let (a, c, choices) = curves();
        let loss = |w: &[usize]| w.iter().zip(a).map(|(&w, a)| a / w as f64).sum::<f64>();
        let cost = |w: &[usize]| w.iter().zip(c).map(|(&w, c)| c * w as u64).sum::<u64>();
        let path = descend(&choices, |w| Ok(cost(w)), |w| Ok(loss(w)), |_| false).expect("no failure");
        assert_eq!(path[path.len() - 1].widths, [2, 2, 2]);
        for step in &path {
            // By brute force: no network on the grid that costs no more loses less.
            for &w0 in &choices[0] {
                for &w1 in &choices[1] {
                    for &w2 in &choices[2] {
                        let other = [w0, w1, w2];
                        if cost(&other) <= step.cost {
                            assert!(loss(&other) >= step.loss * 0.999_999, "{other:?} beats {step:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn lazy_measuring_takes_few_measurements() {
        let choices = vec![choices(64); 8];
        let mut calls = 0;
        let loss = |w: &[usize]| w.iter().enumerate().map(|(g, &w)| (g + 1) as f64 / w as f64).sum::<f64>();
        let cost = |w: &[usize]| w.iter().map(|&w| w as u64).sum::<u64>();
        let path = descend(
            &choices,
            |w| Ok(cost(w)),
            |w| {
                calls += 1;
                Ok(loss(w))
            },
            |_| false,
        )
        .expect("no failure");
        assert!(calls < 3 * path.len(), "{calls} measurements for {} steps", path.len());
    }

    #[test]
    fn stops_when_told_and_widens_up_to_the_limit() {
        let (a, c, choices) = curves();
        let loss = |w: &[usize]| w.iter().zip(a).map(|(&w, a)| a / w as f64).sum::<f64>();
        let cost = |w: &[usize]| w.iter().zip(c).map(|(&w, c)| c * w as u64).sum::<u64>();
        for limit in [100, 333, 500, 777, 1200] {
            let path = descend(&choices, |w| Ok(cost(w)), |w| Ok(loss(w)), |s| s.cost <= limit).expect("no failure");
            let last = &path[path.len() - 1];
            assert!(last.cost <= limit && path[..path.len() - 1].iter().all(|s| s.cost > limit));
            let wide = widen(&path, &last.widths, &[32; 3], limit, |w| Ok(cost(w))).expect("no failure");
            assert!(cost(&wide) <= limit && loss(&wide) <= last.loss);
        }
    }

    #[test]
    fn groups_that_save_nothing_are_left_alone() {
        let choices = vec![choices(8), choices(8)];
        let path = descend(&choices, |w| Ok(w[0] as u64), |w| Ok(1.0 / w[0] as f64), |_| false).expect("no failure");
        assert_eq!(path[path.len() - 1].widths, [2, 8]);
    }
}
