//! `fratc components`: the classes of a source as parts to build with.

use std::path::{Path, PathBuf};

use crate::assemble::assemble;
use crate::attribute::{self, Method};
use crate::diag::Result;
use crate::ir::groups::GroupKind;
use crate::library::{self, Relevance};
use crate::output;
use crate::pipeline::inputs::spare;
use crate::pipeline::{Progress, Source};
use crate::report::{self, ClassPart, Components, RouteStrip, SCHEMA};
use crate::route::{self, Route};

/// What the user wants.
#[derive(Debug, Clone)]
pub struct ComponentsOptions {
    /// Classes to list; empty for the case's, else all.
    pub classes: Vec<String>,
    /// Share of a group's largest score from which on a channel is on the class's route.
    pub threshold: f64,
    /// A set that each other class would be added to; empty: none.
    pub to: Vec<String>,
    /// A route library to use instead of attributing.
    pub library: Option<PathBuf>,
    /// The figure to write.
    pub svg: Option<PathBuf>,
}

/// Lists the classes of the case at `path`.
pub fn components(path: &Path, options: &ComponentsOptions, progress: &dyn Progress) -> Result<Components> {
    if let Some(svg) = &options.svg {
        spare(svg, [Some(path), options.library.as_deref()].into_iter().flatten())?;
    }
    progress.stage("load");
    let source = Source::open(path)?;
    let classes = source.any_classes(&options.classes)?;
    let to = if options.to.is_empty() { Vec::new() } else { source.any_classes(&options.to)? };
    let mut all = classes.clone();
    all.extend(to.iter().filter(|c| !classes.contains(c)));
    progress.stage("attribute");
    let relevance = relevance(&source, &all, options.library.as_deref())?;
    // Without links, which bring back most channels that the score leaves out where layers are narrow.
    let by_score = route::RouteOptions { link_factor: None, ..route::RouteOptions::default() };
    let critical = route::by_threshold(&relevance, &source.groups, &all, options.threshold, &by_score)?;
    let own = |class: usize| -> &[Vec<bool>] {
        critical.per_class.iter().find(|c| c.class == class).map_or(&[], |c| c.keep.as_slice())
    };
    let base = (!to.is_empty()).then(|| cost(&source, &joined(to.iter().map(|&c| own(c))), &to)).transpose()?;
    let mut parts = Vec::with_capacity(classes.len());
    for &class in &classes {
        let (macs, params) = cost(&source, own(class), &[class])?;
        let adds = match base {
            Some((macs, params)) if !to.contains(&class) => {
                let set = [to.as_slice(), &[class]].concat();
                let with = cost(&source, &joined(set.iter().map(|&c| own(c))), &set)?;
                Some([with.0.saturating_sub(macs), with.1.saturating_sub(params) as u64])
            }
            _ => None,
        };
        let overlap = classes.iter().map(|&other| overlap(&source, own(class), own(other))).collect();
        let name = source.case.label_names[class].clone();
        parts.push(ClassPart { name, macs, params, overlap, adds });
    }
    let hidden = |i: &usize| source.groups.groups[*i].kind == GroupKind::Hidden;
    let strips = (0..source.groups.groups.len()).filter(hidden).map(|i| RouteStrip {
        group: source.groups.groups[i].name.clone(),
        channels: source.groups.groups[i].channels,
        kept: classes.iter().map(|&c| indices(&own(c)[i])).collect(),
    });
    let components = Components {
        schema: SCHEMA,
        model: source.model_name.clone(),
        method: relevance.method.clone(),
        threshold: options.threshold,
        source_macs: source.graph.macs(),
        source_params: source.graph.params(),
        to: source.names(&to),
        classes: parts,
        routes: strips.collect(),
    };
    if let Some(path) = &options.svg {
        progress.stage("write");
        output::write_file(path, report::routes_svg(&components).as_bytes())?;
    }
    Ok(components)
}

/// The scores of `classes`, each in contrast to all others: what is a class's own does not hang on who asks.
fn relevance(source: &Source, classes: &[usize], library: Option<&Path>) -> Result<Relevance> {
    let samples = source.calibration()?;
    samples.require_classes(classes, &source.case.label_names)?;
    if let Some(path) = library {
        let relevance = library::load(path)?;
        relevance.check_fresh(&source.sha256, &samples.sha256()).map_err(|d| Box::new(d.at(path.display())))?;
        return Ok(relevance);
    }
    let options = attribute::Options {
        method: Method::default(),
        classes: Some(classes.to_vec()),
        ..attribute::Options::default()
    };
    super::attribute::relevance(source, &options)
}

/// Multiply-accumulates and parameters of the network that holds `keep`.
fn cost(source: &Source, keep: &[Vec<bool>], classes: &[usize]) -> Result<(u64, usize)> {
    let route = Route::from_masks(&source.groups, keep.to_vec())?;
    let graph = assemble(&source.graph, &source.groups, &route, classes)?.graph;
    Ok((graph.macs(), graph.params()))
}

/// Channels that any of the routes holds.
fn joined<'a>(routes: impl Iterator<Item = &'a [Vec<bool>]>) -> Vec<Vec<bool>> {
    let mut all: Vec<Vec<bool>> = Vec::new();
    for route in routes {
        if all.is_empty() {
            all = route.to_vec();
        }
        for (mine, other) in all.iter_mut().zip(route) {
            mine.iter_mut().zip(other).for_each(|(m, o)| *m |= o);
        }
    }
    all
}

/// Hidden channels that two routes share, over those that either holds.
fn overlap(source: &Source, a: &[Vec<bool>], b: &[Vec<bool>]) -> f64 {
    let (mut both, mut either) = (0, 0);
    for (group, (a, b)) in source.groups.groups.iter().zip(a.iter().zip(b)) {
        if group.kind == GroupKind::Hidden {
            both += a.iter().zip(b).filter(|(a, b)| **a && **b).count();
            either += a.iter().zip(b).filter(|(a, b)| **a || **b).count();
        }
    }
    f64::from(both as u32) / f64::from((either as u32).max(1))
}

fn indices(mask: &[bool]) -> Vec<u32> {
    (0..mask.len()).filter(|&i| mask[i]).map(|i| i as u32).collect()
}
