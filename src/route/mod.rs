//! Decides which channels a class set needs.
//!
//! In: [`Relevance`] (scores per group, class and channel, and links between layers), the channel [`Groups`] of
//! the same graph, the wanted classes, and widths, a keep ratio or a threshold. Out: a [`Route`]: one mask per
//! group for the set, one per group and class, and what relevance analysis changed against the plain scores.
//!
//! Guaranteed: pure and deterministic (ties, closer than [`TIE`], go to the lower index); every group keeps at least one channel;
//! groups tied to the input or the logits are whole; NaN, infinite, all-zero and constant scores are harmless.
//!
//! Steps: [`widths`], [`ratio`] or [`threshold`] finds each class's critical channels; [`analysis`] keeps those
//! that lie on a path of links from the input to the class's logit; the set is the union, or the best of it.

pub mod analysis;
pub mod order;
pub mod ratio;
pub mod threshold;
pub mod widths;

mod scores;

pub use order::reorder;
pub use ratio::{by_ratio, keep_count};
pub use scores::TIE;
pub use threshold::by_threshold;
pub use widths::by_widths;

use crate::diag::{Diag, Result};
use crate::ir::groups::{GroupId, GroupKind, Groups};
#[cfg(doc)]
use crate::library::Relevance;

/// Kept channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// For the class set: `[group][channel]`, in the order of [`Groups::groups`].
    pub keep: Vec<Vec<bool>>,
    /// For each wanted class alone, in the order asked for; empty if the route was not made from scores.
    pub per_class: Vec<ClassRoute>,
    /// What relevance analysis changed, per class and hidden group; empty without links.
    pub changes: Vec<Change>,
    /// Channels at the cut of their group whose scores for the set are as good as equal ([`TIE`]), kept or not by the order
    /// of their indices; the same channels on every engine, up to where the tie itself begins.
    pub ties: usize,
}

/// One class's own route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassRoute {
    /// Source class.
    pub class: usize,
    /// `[group][channel]`.
    pub keep: Vec<Vec<bool>>,
}

/// How relevance analysis changed one class's critical channels in one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Source class.
    pub class: usize,
    /// The group.
    pub group: GroupId,
    /// Critical channels by score alone.
    pub critical: usize,
    /// Critical channels that left: nothing relevant feeds or reads them.
    pub left: usize,
    /// Channels that joined: they carry a link between two critical ones.
    pub joined: usize,
}

/// How routes are made from scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RouteOptions {
    /// A channel supports another if its share of the other's positive contribution exceeds this multiple of
    /// an even share (one over the number of channels read). `None` skips relevance analysis.
    pub link_factor: Option<f64>,
    /// How a set's channels are ranked from its classes' scores (by ratio only).
    pub combine: Combine,
}

/// How the scores of several classes become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Combine {
    /// By the class that wants a channel most, so that no class is outvoted.
    #[default]
    Max,
    /// By the mean over the classes: not clearly better or worse on held-out samples (docs/study-choices.md).
    Mean,
}

impl Default for RouteOptions {
    /// Half an even share: links that carry next to nothing break, ordinary ones do not.
    fn default() -> Self {
        Self { link_factor: Some(0.5), combine: Combine::default() }
    }
}

impl Route {
    /// Keeps everything.
    pub fn whole(groups: &Groups) -> Self {
        let keep = groups.groups.iter().map(|g| vec![true; g.channels]).collect();
        Self { keep, per_class: Vec::new(), changes: Vec::new(), ties: 0 }
    }

    /// A route from one mask per group.
    pub fn from_masks(groups: &Groups, keep: Vec<Vec<bool>>) -> Result<Self> {
        let route = Self { keep, per_class: Vec::new(), changes: Vec::new(), ties: 0 };
        route.check(groups)?;
        Ok(route)
    }

    /// Fails unless there is a mask of the right length for every group, and only hidden groups lose all channels.
    pub fn check(&self, groups: &Groups) -> Result<()> {
        if self.keep.len() != groups.groups.len() {
            return Diag::new("route/groups", "the route belongs to another graph")
                .expected(format!("{} groups", groups.groups.len()), self.keep.len())
                .err();
        }
        for (group, mask) in groups.groups.iter().zip(&self.keep) {
            if mask.len() != group.channels {
                return Diag::new("route/channels", "the route's mask does not fit the group")
                    .at(&group.name)
                    .expected(format!("{} channels", group.channels), mask.len())
                    .err();
            }
            if group.kind != GroupKind::Hidden && !mask.contains(&true) {
                return Diag::new("route/empty-group", "the route keeps no channel").at(&group.name).err();
            }
        }
        Ok(())
    }

    /// `(kept, all)` channels of `group`.
    pub fn count(&self, group: GroupId) -> (usize, usize) {
        let mask = &self.keep[group.index()];
        (mask.iter().filter(|&&k| k).count(), mask.len())
    }
}

/// Makes masks safe to cut by: groups that routes never cut become whole, empty ones get their best channel.
fn settle(groups: &Groups, keep: &mut [Vec<bool>], best: impl Fn(GroupId) -> usize) {
    for id in groups.ids() {
        let mask = &mut keep[id.index()];
        if groups.group(id).kind != GroupKind::Hidden {
            mask.fill(true);
        } else if !mask.contains(&true) {
            mask[best(id)] = true;
        }
    }
}
