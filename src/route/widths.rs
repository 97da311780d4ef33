//! Routes that keep a given number of channels of each group.

use crate::diag::{Diag, Result};
use crate::ir::groups::{GroupKind, Groups};
use crate::library::Relevance;
use crate::route::analysis::{Links, analyse};
use crate::route::scores::Scores;
use crate::route::{ClassRoute, Route, RouteOptions, settle};

/// Keeps `widths[g]` channels of hidden group `g`, at most all; of a width of 0, none.
///
/// A class's critical channels are its best that many. The set keeps channels on the route of any wanted class
/// before all others, and among equals those that some class wants most; where the cut goes through a tie
/// ([`TIE`](crate::route::TIE)), the lower index. In the other groups, which are never
/// cut, the width says how many channels count as critical.
pub fn by_widths(
    relevance: &Relevance,
    groups: &Groups,
    classes: &[usize],
    widths: &[usize],
    options: &RouteOptions,
) -> Result<Route> {
    if widths.len() != groups.groups.len() {
        return Diag::new("route/widths", "the widths belong to another graph")
            .expected(format!("{} groups", groups.groups.len()), widths.len())
            .err();
    }
    let scores = Scores::new(relevance, groups, classes)?.combined_by(options.combine);
    let links = Links::new(relevance, groups, options)?;
    let mut per_class = Vec::with_capacity(classes.len());
    let mut changes = Vec::new();
    for (place, &class) in classes.iter().enumerate() {
        let mut critical: Vec<Vec<bool>> = groups.groups.iter().map(|g| vec![false; g.channels]).collect();
        for id in groups.ids() {
            let width = widths[id.index()].max(1);
            for &channel in scores.ranked(id, place, width).iter().take(width) {
                critical[id.index()][channel] = true;
            }
        }
        let (mut keep, change) = analyse(&links, groups, class, &critical)?;
        settle(groups, &mut keep, |id| scores.ranked(id, place, 1)[0]);
        changes.extend(change);
        per_class.push(ClassRoute { class, keep });
    }
    let mut keep: Vec<Vec<bool>> = groups.groups.iter().map(|g| vec![false; g.channels]).collect();
    let mut ties = 0;
    for id in groups.ids().filter(|&id| groups.group(id).kind == GroupKind::Hidden) {
        let on_a_route = |channel: usize| per_class.iter().any(|c| c.keep[id.index()][channel]);
        let width = widths[id.index()];
        let (order, tied) = scores.ranked_for_set(id, width, on_a_route);
        ties += tied;
        for &channel in order.iter().take(width) {
            keep[id.index()][channel] = true;
        }
    }
    for id in groups.ids().filter(|&id| groups.group(id).kind != GroupKind::Hidden) {
        keep[id.index()].fill(true);
    }
    Ok(Route { keep, per_class, changes, ties })
}
