//! Seeded random scores, the same for every class: the floor that every method must beat.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::ir::groups::Groups;

/// Per group, per channel, 0..1.
pub(super) fn scores(groups: &Groups, seed: u64) -> Vec<Vec<f64>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = || f64::from(random.next_u32()) / (f64::from(u32::MAX) + 1.0);
    groups.groups.iter().map(|g| (0..g.channels).map(|_| draw()).collect()).collect()
}
