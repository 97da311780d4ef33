//! Cutting samples into chunks whose results do not depend on the thread count.

use std::ops::Range;

use rayon::prelude::*;

use crate::diag::Result;

/// Samples per chunk of work. Large enough that a convolution's matrix product is worth its packing, small
/// enough that every activation of a chunk stays near the caches.
pub const CHUNK: usize = 16;

/// Runs `f` on `0..samples` in chunks of [`CHUNK`], on the current rayon pool, and returns the results in
/// chunk order (of several errors, the first chunk's).
pub fn for_chunks<R: Send>(samples: usize, f: impl Fn(Range<usize>) -> Result<R> + Sync) -> Result<Vec<R>> {
    let results: Vec<Result<R>> = (0..samples.div_ceil(CHUNK))
        .into_par_iter()
        .map(|chunk| f(chunk * CHUNK..samples.min((chunk + 1) * CHUNK)))
        .collect();
    results.into_iter().collect()
}
