//! Routes of a given size.

use crate::diag::{Diag, Result};
use crate::ir::groups::{GroupKind, Groups};
use crate::library::Relevance;
use crate::route::analysis::{Links, analyse};
use crate::route::scores::Scores;
use crate::route::{ClassRoute, Route, RouteOptions, settle};

/// Keeps `ceil(ratio · channels)` channels of every hidden group.
///
/// A class's critical channels are its best that many. The set keeps channels on the route of any wanted class
/// before all others, and among equals those that some class wants most.
pub fn by_ratio(
    relevance: &Relevance,
    groups: &Groups,
    classes: &[usize],
    ratio: f64,
    options: &RouteOptions,
) -> Result<Route> {
    if !(ratio > 0.0 && ratio <= 1.0) {
        return Diag::new("route/ratio", "the keep ratio is out of range").expected("above 0, at most 1", ratio).err();
    }
    let scores = Scores::new(relevance, groups, classes)?.combined_by(options.combine);
    let links = Links::new(relevance, groups, options)?;
    let mut per_class = Vec::with_capacity(classes.len());
    let mut changes = Vec::new();
    for (place, &class) in classes.iter().enumerate() {
        let mut critical: Vec<Vec<bool>> = groups.groups.iter().map(|g| vec![false; g.channels]).collect();
        for id in groups.ids() {
            let wanted = keep_count(groups.group(id).channels, ratio);
            for &channel in scores.ranked(id, place).iter().take(wanted) {
                critical[id.index()][channel] = true;
            }
        }
        let (mut keep, change) = analyse(&links, groups, class, &critical)?;
        settle(groups, &mut keep, |id| scores.ranked(id, place)[0]);
        changes.extend(change);
        per_class.push(ClassRoute { class, keep });
    }
    let mut keep: Vec<Vec<bool>> = groups.groups.iter().map(|g| vec![false; g.channels]).collect();
    for id in groups.ids().filter(|&id| groups.group(id).kind == GroupKind::Hidden) {
        let on_a_route = |channel: usize| per_class.iter().any(|c| c.keep[id.index()][channel]);
        let wanted = keep_count(groups.group(id).channels, ratio);
        for &channel in scores.ranked_for_set(id, on_a_route).iter().take(wanted) {
            keep[id.index()][channel] = true;
        }
    }
    settle(groups, &mut keep, |_| 0);
    Ok(Route { keep, per_class, changes })
}

/// `ceil(ratio · channels)`, at least 1; 0.1 of 30 is 3 although 0.1 · 30 is a little more in floating point.
fn keep_count(channels: usize, ratio: f64) -> usize {
    let exact = ratio * channels as f64;
    ((exact - 1e-9 * exact).ceil() as usize).clamp(1, channels.max(1))
}

#[cfg(test)]
mod tests {
    use super::keep_count;

    #[test]
    fn counts_round_up_but_not_for_rounding_noise() {
        assert_eq!(keep_count(30, 0.1), 3);
        assert_eq!(keep_count(31, 0.1), 4);
        assert_eq!(keep_count(5, 0.5), 3);
        assert_eq!(keep_count(7, 1.0), 7);
        assert_eq!(keep_count(7, 1e-12), 1);
    }
}
