//! How much each class needs each channel: graph and calibration samples to a [`Relevance`] table.
//!
//! In: a verified graph (batch norm folded or not), its channel groups, calibration samples. Out: per class
//! and channel group one score per channel, and for every layer the share of each input channel in each
//! output channel's positive contribution (`links`). One file per method:
//!
//! - [`Frat`]: positive gradients of the class's score at the route points, elementwise before summing;
//! - [`Taylor`]: absolute gradient × activation;
//! - [`Activation`]: mean absolute activation;
//! - `contribution`: positive contributions between layers, thresholded and walked back from the head;
//! - `l1`: weights only; `random`: the floor that every method must beat.
//!
//! [`cover`] orders the channels of a group by what they stand for among the others, for one class set.
//!
//! Scores are taken at route points (`points`): the activation's result between one parameter layer and the
//! next. A channel group that has several (residual stages, depthwise pairs, concat readers) gets their sum.
//!
//! The work can be shared out ([`Attribution`], [`run_shard`], [`merge`]): the result has the same bytes.
//!
//! Guaranteed: every class is scored from equally many calibration samples; sums run in f64 over fixed chunks
//! in order, so the table is bit-identical for any thread count; no score is NaN, infinite or negative.

mod activation;
mod attribution;
mod contribution;
mod cover;
mod frat;
mod l1;
mod links;
mod manifest;
mod measure;
mod on_device;
mod options;
mod points;
mod random;
mod seed;
mod select;
mod shard;
mod source;
mod taylor;

pub use activation::Activation;
pub use attribution::{Attribution, Totals};
pub use cover::cover;
pub use frat::Frat;
pub use manifest::{Chunk, Manifest};
pub use measure::{Measure, point_sums};
pub use options::{Links, Method, Options, Target};
pub use points::route_points;
pub use shard::{Shard, manifest_of, merge, run_shard};
pub use source::Source;
pub use taylor::Taylor;

use crate::device::Place;
use crate::diag::Result;
use crate::ir::Graph;
use crate::ir::groups::Groups;
use crate::library::Relevance;

/// Attributes every class of `source` (or those of [`Options::classes`]) on the current rayon pool.
///
/// Errors: those of [`Attribution`]'s steps.
pub fn attribute(graph: &Graph, groups: &Groups, source: &Source<'_>, options: &Options) -> Result<Relevance> {
    attribute_at(Place::Host, graph, groups, source, options)
}

/// The same with the network run at `place`.
pub fn attribute_at(
    place: Place,
    graph: &Graph,
    groups: &Groups,
    source: &Source<'_>,
    options: &Options,
) -> Result<Relevance> {
    let attribution = Attribution::new(graph, groups, source, place)?;
    let manifest = attribution.select(options)?;
    let chunks = manifest.chunks();
    let mut totals = attribution.totals(&manifest);
    let numbers: Vec<usize> = (0..chunks.len()).collect();
    attribution.run(&manifest, &numbers, &mut |number, part| {
        attribution.add(&mut totals, &manifest, &chunks[number], part);
        Ok(())
    })?;
    attribution.finish(&manifest, totals)
}
