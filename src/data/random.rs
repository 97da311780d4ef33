//! Random inputs, for calibration when there is no data.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::data::{InputContract, Samples};

impl Samples {
    /// `n` samples of evenly distributed bytes, the same for the same seed everywhere. Their labels are all 0
    /// and mean nothing: nothing may be scored on them.
    #[must_use]
    pub fn random(contract: &InputContract, n: usize, seed: u64) -> Self {
        let mut raw = vec![0; n * contract.len()];
        ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut raw);
        Self { raw, labels: vec![0; n], ..Self::empty(contract) }
    }
}
