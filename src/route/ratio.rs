//! Routes that keep the same share of every group.

use crate::diag::{Diag, Result};
use crate::ir::groups::Groups;
use crate::library::Relevance;
use crate::route::{Route, RouteOptions, by_widths};

/// Keeps `ceil(ratio · channels)` channels of every hidden group, chosen as in [`by_widths`].
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
    let widths: Vec<usize> = groups.groups.iter().map(|g| keep_count(g.channels, ratio)).collect();
    by_widths(relevance, groups, classes, &widths, options)
}

/// `ceil(ratio · channels)`, at least 1; 0.1 of 30 is 3 although 0.1 · 30 is a little more in floating point.
pub fn keep_count(channels: usize, ratio: f64) -> usize {
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
