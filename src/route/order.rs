//! Routes by a given order of each group's channels.

use crate::diag::{Diag, Result};
use crate::ir::groups::{GroupKind, Groups};
use crate::route::Route;

/// Keeps the first `widths[g]` channels of `order[g]` in every hidden group that has an order; other groups, and the
/// classes' own routes, stay as they are.
///
/// Errors: `route/order` unless an order holds every channel of its group once.
pub fn reorder(route: &mut Route, groups: &Groups, order: &[Vec<usize>], widths: &[usize]) -> Result<()> {
    let all = groups.groups.iter().zip(&mut route.keep).zip(order.iter().zip(widths));
    let mut every = true;
    for ((group, keep), (order, &width)) in all {
        if group.kind != GroupKind::Hidden {
            continue;
        }
        if order.is_empty() {
            every = false;
            continue;
        }
        let mut sorted = order.clone();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..group.channels) {
            return Diag::new("route/order", "the order of channels belongs to another graph").at(&group.name).err();
        }
        keep.fill(false);
        order.iter().take(width).for_each(|&c| keep[c] = true);
    }
    // Ties are of scores.
    if every {
        route.ties = 0;
    }
    Ok(())
}
