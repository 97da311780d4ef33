//! Routes by score.

use crate::diag::{Diag, Result};
use crate::ir::groups::Groups;
use crate::library::Relevance;
use crate::route::analysis::{Links, analyse};
use crate::route::scores::Scores;
use crate::route::{ClassRoute, Route, RouteOptions, settle};

/// Keeps the channels that are critical to any wanted class: score at least `threshold` times the largest of
/// the class's scores in the group, and on the class's path of links.
pub fn by_threshold(
    relevance: &Relevance,
    groups: &Groups,
    classes: &[usize],
    threshold: f64,
    options: &RouteOptions,
) -> Result<Route> {
    if !(0.0..=1.0).contains(&threshold) {
        return Diag::new("route/threshold", "the threshold is out of range").expected("0 to 1", threshold).err();
    }
    let scores = Scores::new(relevance, groups, classes)?;
    let links = Links::new(relevance, groups, options)?;
    let mut keep: Vec<Vec<bool>> = groups.groups.iter().map(|g| vec![false; g.channels]).collect();
    let mut per_class = Vec::with_capacity(classes.len());
    let mut changes = Vec::new();
    for (place, &class) in classes.iter().enumerate() {
        let critical: Vec<Vec<bool>> = groups
            .ids()
            .map(|id| {
                let row = scores.row(id, place);
                let largest = row.iter().copied().fold(0.0, f64::max);
                row.iter().map(|&s| s > 0.0 && s >= threshold * largest).collect()
            })
            .collect();
        let (mut own, change) = analyse(&links, groups, class, &critical)?;
        settle(groups, &mut own, |id| scores.ranked(id, place, 1)[0]);
        for (set, mask) in keep.iter_mut().zip(&own) {
            set.iter_mut().zip(mask).for_each(|(s, &m)| *s |= m);
        }
        changes.extend(change);
        per_class.push(ClassRoute { class, keep: own });
    }
    settle(groups, &mut keep, |_| 0);
    Ok(Route { keep, per_class, changes, ties: 0 })
}
