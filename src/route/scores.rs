//! Scores made comparable: checked against the graph, cleaned, normalised per class and group.

use crate::diag::{Diag, Result};
use crate::ir::groups::{GroupId, Groups};
use crate::library::Relevance;
use crate::route::Combine;

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

    /// Channels of `group`, best first for the wanted class at `place`.
    pub(super) fn ranked(&self, group: GroupId, place: usize) -> Vec<usize> {
        let row = &self.rows[group.index()][place];
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&a, &b| row[b].total_cmp(&row[a]).then(a.cmp(&b)));
        order
    }

    /// One class's normalised row.
    pub(super) fn row(&self, group: GroupId, place: usize) -> &[f64] {
        &self.rows[group.index()][place]
    }

    /// Channels of `group`, best first for the whole set: by the class that wants a channel most (unless the mean
    /// is asked for), then by the sum over classes, then by index. `tier` comes before everything: true is better.
    pub(super) fn ranked_for_set(&self, group: GroupId, tier: impl Fn(usize) -> bool) -> Vec<usize> {
        let rows = &self.rows[group.index()];
        let channels = rows.first().map_or(0, Vec::len);
        let best = |c: usize| match self.combine {
            Combine::Max => rows.iter().map(|row| row[c]).fold(f64::NEG_INFINITY, f64::max),
            Combine::Mean => 0.0,
        };
        let sum = |c: usize| rows.iter().map(|row| row[c]).sum::<f64>();
        let mut order: Vec<usize> = (0..channels).collect();
        order.sort_by(|&a, &b| {
            tier(b).cmp(&tier(a)).then(best(b).total_cmp(&best(a))).then(sum(b).total_cmp(&sum(a))).then(a.cmp(&b))
        });
        order
    }
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
        let ranked = |combine| Scores { rows: rows.clone(), combine }.ranked_for_set(GroupId(0), |_| true);
        assert_eq!(ranked(Combine::default()), [2, 0, 1]);
        assert_eq!(ranked(Combine::Mean), [1, 2, 0]);
    }
}
