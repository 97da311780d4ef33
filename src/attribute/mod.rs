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
//! Scores are taken at route points (`points`): the activation's result between one parameter layer and the
//! next. A channel group that has several (residual stages, depthwise pairs, concat readers) gets their sum.
//!
//! Guaranteed: every class is scored from equally many calibration samples; sums run in f64 over fixed chunks
//! in order, so the table is bit-identical for any thread count; no score is NaN, infinite or negative.

mod activation;
mod contribution;
mod frat;
mod l1;
mod links;
mod measure;
mod options;
mod points;
mod random;
mod seed;
mod select;
mod source;
mod taylor;

pub use activation::Activation;
pub use frat::Frat;
pub use measure::{Measure, point_sums};
pub use options::{Method, Options, Target};
pub use points::route_points;
pub use source::Source;
pub use taylor::Taylor;

use crate::diag::{Diag, Result};
use crate::exec::{Network, for_chunks};
use crate::ir::groups::Groups;
use crate::ir::{Graph, NodeId};
use crate::library::{GroupScores, Relevance};
use links::LinkSums;

/// Attributes every class of `source` (or those of [`Options::classes`]) on the current rayon pool.
///
/// Errors: `attribute/class-count`, `attribute/class-without-samples`, `attribute/not-finite`, those of the
/// engine, and `data/…` where the samples do not fit the model.
pub fn attribute(graph: &Graph, groups: &Groups, source: &Source<'_>, options: &Options) -> Result<Relevance> {
    source.check(graph)?;
    let network = Network::<f32>::new(graph)?;
    let wanted = options.wanted(source.classes.len())?;
    let selection = select::select(&network, source, &wanted, options)?;

    let per_group = route_points(graph, groups);
    let mut points: Vec<NodeId> = per_group.iter().flatten().copied().collect();
    points.sort_unstable();
    points.dedup();
    let measure = measured(options);
    let mut scores: Vec<Vec<Vec<f64>>> =
        groups.groups.iter().map(|g| vec![vec![0.0; g.channels]; source.classes.len()]).collect();
    let mut link_sums = links::layers(graph, groups, source.classes.len());
    for &class in &wanted {
        let indices = &selection.indices[class];
        let chunks = for_chunks(indices.len(), |range| {
            let acts = network.forward(&source.batch(graph, &indices[range])?)?;
            let sums = measure.as_ref().map(|m| m.chunk(&network, &acts, class, &points)).transpose()?;
            let links: Vec<Vec<f64>> = link_sums.iter().map(|layer| layer.chunk(graph, &acts)).collect();
            Ok((sums, links))
        })?;
        for (sums, links) in chunks {
            for (layer, part) in link_sums.iter_mut().zip(links) {
                layer.add(class, &part);
            }
            for (&point, sums) in points.iter().zip(sums.iter().flatten()) {
                for (channel, &sum) in groups.of(point).iter().zip(sums) {
                    scores[channel.group.index()][class][channel.index as usize] += sum / indices.len() as f64;
                }
            }
        }
    }
    let table: Option<Vec<Vec<f64>>> = match options.method {
        Method::L1 => Some(l1::scores(graph, groups)),
        Method::Random => Some(random::scores(groups, options.seed)),
        Method::Frat | Method::Taylor | Method::Activation | Method::Contribution => None,
    };
    for &class in &wanted {
        if options.method == Method::Contribution {
            for (rows, row) in scores.iter_mut().zip(contribution::scores(graph, groups, &link_sums, class)) {
                rows[class] = row;
            }
        }
        for (rows, row) in scores.iter_mut().zip(table.iter().flatten()) {
            rows[class].clone_from(row);
        }
    }
    if scores.iter().flatten().flatten().any(|s| !s.is_finite()) {
        return Diag::new("attribute/not-finite", "a score is not a finite number")
            .help("the model's activations or gradients overflow on these samples; check the input's scale and mean")
            .err();
    }
    let name = |id: &NodeId| graph.node(*id).name.clone();
    Ok(Relevance {
        tool_version: env!("CARGO_PKG_VERSION").into(),
        model: source.model.into(),
        model_sha256: source.model_sha256.into(),
        data_sha256: source.samples.sha256(),
        classes: source.classes.to_vec(),
        method: options.method.name().into(),
        options: options.text(),
        samples_per_class: selection.per_class as u32,
        selected: selection.indices.iter().map(|s| s.iter().map(|&i| i as u32).collect()).collect(),
        wrong: selection.wrong,
        groups: groups
            .groups
            .iter()
            .zip(&per_group)
            .zip(scores)
            .map(|((group, points), scores)| GroupScores {
                name: group.name.clone(),
                channels: group.channels as u32,
                points: points.iter().map(name).collect(),
                scores,
            })
            .collect(),
        links: link_sums.into_iter().map(|layer: LinkSums| layer.finish(graph)).collect(),
    })
}

/// The methods that are measured at route points.
fn measured(options: &Options) -> Option<Box<dyn Measure<f32>>> {
    let Options { target, weighted, ref within, .. } = *options;
    match options.method {
        Method::Frat => Some(Box::new(Frat { target, weighted, within: within.clone() })),
        Method::Taylor => Some(Box::new(Taylor { target, within: within.clone() })),
        Method::Activation => Some(Box::new(Activation)),
        Method::Contribution | Method::L1 | Method::Random => None,
    }
}
