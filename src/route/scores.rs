//! Scores made comparable: checked against the graph, cleaned, normalised per class and group.

use crate::diag::{Diag, Result};
use crate::ir::groups::{GroupId, Groups};
use crate::library::Relevance;
use crate::route::Combine;

/// Scores of a group that are closer than this share of its largest are a tie: engines on different machines agree to far
/// less, but not to the last bit.
pub const TIE: f64 = 1e-3;

/// Normalised scores of the wanted classes.
pub(super) struct Scores {
    /// `[group][wanted class][channel]`: the channel's share of the row's total magnitude.
    rows: Vec<Vec<Vec<f64>>>,
    combine: Combine,
}

impl Scores {
    /// Fails if the table belongs to another graph or a class is not in it.
    pub(super) fn new(relevance: &Relevance, groups: &Groups, classes: &[usize]) -> Result<Self> {
        check(relevance, groups, classes)?;
        let rows = relevance
            .groups
            .iter()
            .map(|group| classes.iter().map(|&class| normalise(&group.scores[class])).collect())
            .collect();
        Ok(Self { rows, combine: Combine::default() })
    }

    /// The same scores, ranked for the set in this way.
    pub(super) fn combined_by(self, combine: Combine) -> Self {
        Self { combine, ..self }
    }

    /// Channels of `group`, best first for the wanted class at `place`; a tie at `width` is broken by index.
    pub(super) fn ranked(&self, group: GroupId, place: usize, width: usize) -> Vec<usize> {
        let row = &self.rows[group.index()][place];
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&a, &b| row[b].total_cmp(&row[a]).then(a.cmp(&b)));
        break_tie(&mut order, width, |c| row[c], |_| true);
        order
    }

    /// One class's normalised row.
    pub(super) fn row(&self, group: GroupId, place: usize) -> &[f64] {
        &self.rows[group.index()][place]
    }

    /// Channels of `group`, best first for the whole set: by the class that wants a channel most (unless the mean
    /// is asked for), then by the sum over classes, then by index. `tier` comes before everything: true is better. A tie
    /// at `width` is broken by index alone; how many channels took part in it comes with the order.
    pub(super) fn ranked_for_set(
        &self,
        group: GroupId,
        width: usize,
        tier: impl Fn(usize) -> bool,
    ) -> (Vec<usize>, usize) {
        let rows = &self.rows[group.index()];
        let channels = rows.first().map_or(0, Vec::len);
        let sum = |c: usize| rows.iter().map(|row| row[c]).sum::<f64>();
        let value = |c: usize| match self.combine {
            Combine::Max => rows.iter().map(|row| row[c]).fold(f64::NEG_INFINITY, f64::max),
            Combine::Mean => sum(c),
        };
        let mut order: Vec<usize> = (0..channels).collect();
        order.sort_by(|&a, &b| {
            tier(b).cmp(&tier(a)).then(value(b).total_cmp(&value(a))).then(sum(b).total_cmp(&sum(a))).then(a.cmp(&b))
        });
        let tied = break_tie(&mut order, width, value, &tier);
        (order, tied)
    }
}

/// Puts the channels around the cut after the first `width` of `order` whose values are as good as equal to that of the
/// last one kept (and whose tier is the same) into the order of their indices. Returns how many they are; 0 if they are
/// all kept.
fn break_tie(order: &mut [usize], width: usize, value: impl Fn(usize) -> f64, tier: impl Fn(usize) -> bool) -> usize {
    let Some(&last) = width.checked_sub(1).and_then(|at| order.get(at)) else { return 0 };
    let largest = order.iter().map(|&c| value(c)).fold(0.0, f64::max);
    let tied = |&c: &usize| tier(c) == tier(last) && (value(c) - value(last)).abs() <= TIE * largest;
    let start = width - order[..width].iter().rev().take_while(|c| tied(c)).count();
    let end = width + order[width..].iter().take_while(|c| tied(c)).count();
    if end == width {
        return 0;
    }
    order[start..end].sort_unstable();
    end - start
}

/// Shares of the row's total magnitude; what is not finite counts as zero, a row of zeros stays zero.
fn normalise(row: &[f64]) -> Vec<f64> {
    let clean = |v: &f64| if v.is_finite() { *v } else { 0.0 };
    let largest = row.iter().map(clean).fold(0.0, |a: f64, v| a.max(v.abs()));
    if largest == 0.0 {
        return vec![0.0; row.len()];
    }
    // Divided by the largest first, so that the total cannot overflow.
    let total: f64 = row.iter().map(|v| (clean(v) / largest).abs()).sum();
    row.iter().map(|v| clean(v) / largest / total).collect()
}

fn check(relevance: &Relevance, groups: &Groups, classes: &[usize]) -> Result<()> {
    let stale = |what: &str| Diag::new("route/stale-relevance", what).help("run the attribution again for this model");
    if relevance.groups.len() != groups.groups.len() {
        return stale("the relevance table belongs to another graph")
            .expected(format!("{} channel groups", groups.groups.len()), relevance.groups.len())
            .err();
    }
    for (group, table) in groups.groups.iter().zip(&relevance.groups) {
        if group.name != table.name || group.channels != table.channels as usize {
            return stale("the relevance table belongs to another graph")
                .expected(
                    format!("group {} with {} channels", group.name, group.channels),
                    format!("{} with {}", table.name, table.channels),
                )
                .err();
        }
        let rows_fit = table.scores.iter().all(|row| row.len() == group.channels);
        if table.scores.len() != relevance.classes.len() || !rows_fit {
            return stale("the relevance table is incomplete").at(&group.name).err();
        }
    }
    if classes.is_empty() {
        return Diag::new("route/no-classes", "the class set is empty").help("name at least one class").err();
    }
    match classes.iter().find(|&&class| class >= relevance.classes.len()) {
        None => Ok(()),
        Some(class) => Diag::new("route/class-range", "no such class in the relevance table")
            .expected(format!("an index below {}", relevance.classes.len()), class)
            .err(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_ranked_by_its_keenest_class_unless_the_mean_is_asked_for() {
        let rows = vec![vec![vec![0.5, 0.4, 0.1], vec![0.0, 0.4, 0.6]]];
        let ranked = |combine| Scores { rows: rows.clone(), combine }.ranked_for_set(GroupId(0), 1, |_| true).0;
        assert_eq!(ranked(Combine::default()), [2, 0, 1]);
        assert_eq!(ranked(Combine::Mean), [1, 2, 0]);
    }

    #[test]
    fn what_is_as_good_as_equal_at_the_cut_goes_by_index() {
        let kept = |scores: [f64; 5], width: usize| {
            let scores = Scores { rows: vec![vec![scores.to_vec()]], combine: Combine::default() };
            let (order, tied) = scores.ranked_for_set(GroupId(0), width, |_| true);
            let mut kept = order[..width].to_vec();
            kept.sort_unstable();
            assert_eq!(kept, {
                let mut own = scores.ranked(GroupId(0), 0, width)[..width].to_vec();
                own.sort_unstable();
                own
            });
            (kept, tied)
        };
        // Two engines' scores, a rounding apart: channels 1 and 3 are equal, but for it.
        for noise in [-1e-7, 0.0, 1e-7] {
            assert_eq!(kept([1.0, 0.5, 0.1, 0.5 + noise, 0.2], 2), (vec![0, 1], 2));
            assert_eq!(kept([1.0, 0.5, 0.1, 0.5 + noise, 0.2], 3), (vec![0, 1, 3], 0), "both are kept");
        }
        assert_eq!(kept([1.0, 0.5, 0.1, 0.502, 0.2], 2), (vec![0, 3], 0), "no tie");
        assert_eq!(kept([0.0; 5], 2), (vec![0, 1], 5));
        assert_eq!(kept([1.0, 0.5, 0.1, 0.5, 0.2], 5), (vec![0, 1, 2, 3, 4], 0));
    }
}
