//! Which output channels of every source node stay, in which order.

use crate::ir::groups::{GroupKind, Groups};
use crate::ir::{Graph, NodeId};
use crate::route::Route;

/// Kept channels per source node.
pub(super) struct Kept {
    channels: Vec<Vec<u32>>,
    head_is_sliced: bool,
}

impl Kept {
    /// Hidden groups by the route's masks in source order, a sliceable head by class in the order given,
    /// everything else whole. The route fits the groups.
    pub(super) fn new(graph: &Graph, groups: &Groups, route: &Route, classes: &[usize]) -> Self {
        let head = groups.sliceable_head(graph);
        let logits = groups.of(groups.logits);
        let channels = graph
            .ids()
            .map(|id| {
                let refs = groups.of(id);
                if head.is_some() && refs.first().map(|c| c.group) == head {
                    // Each tensor of a sliceable head holds each class once.
                    let place = |class: usize| refs.iter().position(|c| *c == logits[class]);
                    return classes.iter().filter_map(|&class| place(class)).map(|c| c as u32).collect();
                }
                let stays = |c: usize| {
                    let group = refs[c].group;
                    groups.group(group).kind != GroupKind::Hidden || route.keep[group.index()][refs[c].index as usize]
                };
                (0..refs.len()).filter(|&c| stays(c)).map(|c| c as u32).collect()
            })
            .collect();
        Self { channels, head_is_sliced: head.is_some() }
    }

    /// Kept output channels (features) of `node`.
    pub(super) fn of(&self, node: NodeId) -> &[u32] {
        &self.channels[node.index()]
    }

    /// Whether the logits are cut by slicing.
    pub(super) fn head_is_sliced(&self) -> bool {
        self.head_is_sliced
    }
}
