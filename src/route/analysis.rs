//! Relevance analysis in both directions: which critical channels lie on a class's path through the network.
//!
//! A channel supports a channel of the next layer if its share of that channel's positive contribution is
//! large enough: a link. A class's route holds the critical channels on a path of links from the input to the
//! class's logit. Channels that are not critical but carry a link from one critical channel to another join;
//! critical channels that nothing relevant feeds, or that nothing relevant reads, leave.

use std::collections::BTreeMap;

use crate::diag::{Diag, Result};
use crate::ir::groups::{ChannelRef, GroupId, GroupKind, Groups};
use crate::library::{LayerLinks, Relevance};
use crate::route::{Change, RouteOptions};

/// The link tables of a graph, checked against its groups.
pub struct Links<'a> {
    tables: &'a [LayerLinks],
    /// `None`: no analysis.
    factor: Option<f64>,
}

impl<'a> Links<'a> {
    /// Fails if a table names channels that the graph does not have.
    pub fn new(relevance: &'a Relevance, groups: &Groups, options: &RouteOptions) -> Result<Self> {
        let exists =
            |c: &ChannelRef| groups.groups.get(c.group.index()).is_some_and(|g| (c.index as usize) < g.channels);
        for table in &relevance.links {
            let LayerLinks { layer, from, to, shares } = table;
            let fits = from.iter().chain(to).all(exists)
                && shares.len() == relevance.classes.len()
                && shares.iter().all(|s| s.is_empty() || s.len() == from.len() * to.len());
            if !fits {
                return Diag::new("route/stale-links", "the table of links does not fit the graph")
                    .at(layer)
                    .help("run the attribution again for this model")
                    .err();
            }
        }
        let factor = options.link_factor.filter(|_| !relevance.links.is_empty());
        Ok(Self { tables: &relevance.links, factor })
    }

    /// `(from, to)` pairs of one class. NaN shares are no links.
    fn of_class(&self, class: usize, factor: f64) -> Vec<(ChannelRef, ChannelRef)> {
        let mut links = Vec::new();
        for LayerLinks { layer: _, from, to, shares } in self.tables {
            let least = factor / from.len().max(1) as f64;
            for (row, &target) in shares[class].chunks(from.len().max(1)).zip(to) {
                let strong = row.iter().zip(from).filter(|(share, _)| f64::from(**share) > least);
                links.extend(strong.map(|(_, &source)| (source, target)));
            }
        }
        links
    }
}

/// The class's route within `critical` (`[group][channel]`), and what changed per hidden group.
pub fn analyse(
    links: &Links<'_>,
    groups: &Groups,
    class: usize,
    critical: &[Vec<bool>],
) -> Result<(Vec<Vec<bool>>, Vec<Change>)> {
    let Some(factor) = links.factor else {
        return Ok((critical.to_vec(), Vec::new()));
    };
    let logit = *groups
        .of(groups.logits)
        .get(class)
        .ok_or_else(|| Diag::new("route/class-range", format!("the graph has no class {class}")))?;
    let is = |mask: &[Vec<bool>], c: ChannelRef| mask[c.group.index()][c.index as usize];
    let links = links.of_class(class, factor);

    // Ends of paths count as critical, whatever their score.
    let mut relevant = critical.to_vec();
    for id in groups.ids() {
        match groups.group(id).kind {
            GroupKind::Input => relevant[id.index()].fill(true),
            GroupKind::Head => relevant[id.index()].fill(false),
            GroupKind::Hidden | GroupKind::Frozen => {}
        }
    }
    relevant[logit.group.index()][logit.index as usize] = true;

    let none: Vec<Vec<bool>> = critical.iter().map(|mask| vec![false; mask.len()]).collect();
    let (mut fed, mut read) = (none.clone(), none.clone());
    for &(from, to) in &links {
        fed[to.group.index()][to.index as usize] |= is(&relevant, from);
        read[from.group.index()][from.index as usize] |= is(&relevant, to);
    }
    let mut candidates = relevant.clone();
    for id in groups.ids().filter(|&id| groups.group(id).kind == GroupKind::Hidden) {
        for (channel, candidate) in candidates[id.index()].iter_mut().enumerate() {
            *candidate |= fed[id.index()][channel] && read[id.index()][channel];
        }
    }

    let inputs = groups.ids().filter(|&id| groups.group(id).kind == GroupKind::Input);
    let starts: Vec<ChannelRef> = inputs
        .flat_map(|group| (0..groups.group(group).channels as u32).map(move |index| ChannelRef { group, index }))
        .collect();
    let reversed: Vec<(ChannelRef, ChannelRef)> = links.iter().map(|&(from, to)| (to, from)).collect();
    let forward = reach(&starts, &links, &candidates);
    let backward = reach(&[logit], &reversed, &candidates);

    let mut route = none;
    let mut changes = Vec::new();
    for group in groups.ids().filter(|&id| groups.group(id).kind == GroupKind::Hidden) {
        let g = group.index();
        for channel in 0..route[g].len() {
            route[g][channel] = forward[g][channel] && backward[g][channel];
        }
        let count = |f: &dyn Fn(usize) -> bool| (0..route[g].len()).filter(|&c| f(c)).count();
        changes.push(Change {
            class,
            group,
            critical: count(&|c| critical[g][c]),
            left: count(&|c| critical[g][c] && !route[g][c]),
            joined: count(&|c| !critical[g][c] && route[g][c]),
        });
    }
    Ok((route, changes))
}

/// Everything that a path of links inside `allowed` connects to `starts`.
fn reach(starts: &[ChannelRef], links: &[(ChannelRef, ChannelRef)], allowed: &[Vec<bool>]) -> Vec<Vec<bool>> {
    let mut next: BTreeMap<ChannelRef, Vec<ChannelRef>> = BTreeMap::new();
    for &(from, to) in links {
        next.entry(from).or_default().push(to);
    }
    let mut seen: Vec<Vec<bool>> = allowed.iter().map(|mask| vec![false; mask.len()]).collect();
    let mut stack = starts.to_vec();
    while let Some(ChannelRef { group: GroupId(group), index }) = stack.pop() {
        let (g, c) = (group as usize, index as usize);
        if allowed[g][c] && !std::mem::replace(&mut seen[g][c], true) {
            stack.extend(next.get(&ChannelRef { group: GroupId(group), index }).into_iter().flatten());
        }
    }
    seen
}
