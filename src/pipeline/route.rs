//! From a source to the small float network: attribute, choose a size, assemble, refit.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::assemble::{Assembled, assemble};
use crate::attribute::{self, Method};
use crate::diag::{Diag, Result};
use crate::ir::Graph;
use crate::ir::groups::GroupKind;
use crate::library::{self, Relevance};
use crate::pipeline::calibration::{Split, split};
use crate::pipeline::{Progress, Source, score};
use crate::refit::{self, RefitOptions};
use crate::report;
use crate::route;
use crate::search::smallest_keep;

/// Accuracy given away at most when the user names neither a ratio nor a tolerance, in points.
const DEFAULT_DROP: f64 = 1.0;

/// What the user wants of the route; what is `None` the case file decides, else the default.
#[derive(Debug, Clone, Default)]
pub struct RouteOptions {
    /// Class tokens; empty for the case's classes, else all.
    pub classes: Vec<String>,
    /// Share of channels to keep in every group.
    pub keep: Option<f64>,
    /// Points of accuracy to give away at most.
    pub max_drop: Option<f64>,
    /// How critical channels are found.
    pub method: Option<Method>,
    /// A route library to use instead of attributing.
    pub library: Option<PathBuf>,
    /// Whether weights are refitted.
    pub refit: Option<bool>,
    /// Seed of every random choice.
    pub seed: Option<u64>,
}

/// [`RouteOptions`] with the case file's options and the defaults filled in, and checked.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Share of channels to keep in every group.
    pub keep: Option<f64>,
    /// Points of accuracy to give away at most.
    pub max_drop: Option<f64>,
    /// How critical channels are found.
    pub method: Method,
    /// A route library to use instead of attributing.
    pub library: Option<PathBuf>,
    /// Whether weights are refitted.
    pub refit: bool,
    /// Seed of every random choice.
    pub seed: u64,
}

impl RouteOptions {
    /// Fills in what the case file says; flags go before it.
    pub fn resolve(&self, source: &Source) -> Result<Wanted> {
        let case = &source.case.options;
        // A size on the command line replaces a size of the other kind in the case file.
        let given = self.keep.is_some() || self.max_drop.is_some();
        let (keep, max_drop) = if given { (self.keep, self.max_drop) } else { (case.keep, case.max_drop) };
        if let Some(keep) = keep.filter(|k| !(*k > 0.0 && *k <= 1.0)) {
            return Diag::new("route/keep", "the share of channels to keep is out of range")
                .expected("more than 0, at most 1", keep)
                .help("for example --keep 0.5")
                .err();
        }
        if let Some(drop) = max_drop.filter(|d| !(0.0..=100.0).contains(d)) {
            return Diag::new("route/max-drop", "the accuracy to give away is out of range")
                .expected("0 to 100 points", drop)
                .help("for example --max-drop 1.0")
                .err();
        }
        let method = match (self.method, &case.method) {
            (Some(method), _) => method,
            (None, Some(name)) => name.parse()?,
            (None, None) => Method::default(),
        };
        Ok(Wanted {
            keep,
            max_drop,
            method,
            library: self.library.clone(),
            refit: self.refit.or(case.refit).unwrap_or(true),
            seed: self.seed.or(case.seed).unwrap_or(0),
        })
    }
}

/// The small float network and how it came about.
#[derive(Debug, Clone)]
pub struct Cut {
    /// The network, logits in the wanted order.
    pub graph: Graph,
    /// Size and search, for the report.
    pub route: report::Route,
    /// Channels kept and channels there were, by group name.
    pub channels: BTreeMap<String, [usize; 2]>,
    /// Attribution method, if anything was cut by it.
    pub method: Option<String>,
}

/// Cuts the routes of `classes` (indices into the source's) out of `source`.
pub fn cut(source: &Source, classes: &[usize], options: &Wanted, progress: &dyn Progress) -> Result<Cut> {
    let whole = classes.iter().copied().eq(0..source.graph.classes());
    let keep = options.keep.or_else(|| (whole && options.max_drop.is_none()).then_some(1.0));
    if keep == Some(1.0) {
        let chosen_by = if options.keep.is_some() { "--keep" } else { "all classes wanted" };
        return uncut(source, classes, chosen_by);
    }

    source.calibration()?.require_classes(classes, &source.case.label_names)?;
    let relevance = relevance(source, classes, options, progress)?;
    let samples = split(source.calibration()?, classes);
    let cutter = Cutter { source, classes, relevance: &relevance, refit: options.refit, seed: options.seed };
    let Some(ratio) = keep else {
        return search(&cutter, &samples, options, progress);
    };
    progress.stage("assemble and refit");
    let (graph, channels) = cutter.at(ratio, &samples.all())?;
    let route = report::Route {
        keep: ratio,
        chosen_by: "--keep",
        refit: options.refit,
        tried: Vec::new(),
        held_out_base: None,
    };
    Ok(Cut { graph, route, channels, method: Some(relevance.method.clone()) })
}

/// The smallest network within the tolerance on held-out calibration samples.
fn search(cutter: &Cutter<'_>, samples: &Split, options: &Wanted, progress: &dyn Progress) -> Result<Cut> {
    progress.stage("search");
    let Cutter { source, classes, .. } = cutter;
    let all = source.calibration()?;
    if samples.held_out.is_empty() {
        return Diag::new("search/too-few", "too few calibration samples to judge a size")
            .expected("at least 4 of a wanted class", samples.fit.len())
            .help("give --keep, or more calibration samples")
            .err();
    }
    let truth = score::wanted(all, &samples.held_out, classes);
    let base_rows = score::scores(&source.graph, &source.case.input, all, &samples.held_out)?;
    let base = score::accuracy(&score::masked(&base_rows, classes), &truth);
    let drop = options.max_drop.unwrap_or(DEFAULT_DROP) / 100.0;
    let own: Vec<usize> = (0..classes.len()).collect();
    let found = smallest_keep(base - drop, |ratio| {
        let (graph, _) = cutter.at(ratio, &samples.fit)?;
        let rows = score::scores(&graph, &source.case.input, all, &samples.held_out)?;
        Ok(score::accuracy(&score::masked(&rows, &own), &truth))
    })?;
    progress.stage("assemble and refit");
    let (graph, channels) = cutter.at(found.keep, &samples.all())?;
    let route = report::Route {
        keep: found.keep,
        chosen_by: if options.max_drop.is_some() {
            "--max-drop"
        } else {
            "within 1 point on held-out calibration samples"
        },
        refit: options.refit,
        tried: found.tried,
        held_out_base: Some(base),
    };
    Ok(Cut { graph, route, channels, method: Some(cutter.relevance.method.clone()) })
}

/// All channels, only the head cut to the classes.
fn uncut(source: &Source, classes: &[usize], chosen_by: &'static str) -> Result<Cut> {
    let route = route::Route::whole(&source.groups);
    let assembled = assemble(&source.graph, &source.groups, &route, classes)?;
    let channels = channels(source, &route);
    let route = report::Route { keep: 1.0, chosen_by, refit: false, tried: Vec::new(), held_out_base: None };
    Ok(Cut { graph: assembled.graph, route, channels, method: None })
}

/// The relevance table: read back if given; else computed for the wanted classes, each in contrast to the others
/// of the set, which ranks channels better than contrast to all classes does.
fn relevance(source: &Source, classes: &[usize], options: &Wanted, progress: &dyn Progress) -> Result<Relevance> {
    progress.stage("attribute");
    if let Some(path) = &options.library {
        let relevance = library::load(path)?;
        let data = source.calibration()?.sha256();
        relevance.check_fresh(&source.sha256, &data).map_err(|d| Box::new(d.at(path.display())))?;
        return Ok(relevance);
    }
    let wanted = attribute::Options {
        method: options.method,
        classes: Some(classes.to_vec()),
        within: Some(classes.to_vec()),
        seed: options.seed,
        ..attribute::Options::default()
    };
    super::attribute::relevance(source, &wanted)
}

/// Everything that stays the same from one ratio to the next.
struct Cutter<'a> {
    source: &'a Source,
    classes: &'a [usize],
    relevance: &'a Relevance,
    refit: bool,
    seed: u64,
}

impl Cutter<'_> {
    /// The small network at `ratio`, fitted on the calibration samples `fit`.
    fn at(&self, ratio: f64, fit: &[usize]) -> Result<(Graph, BTreeMap<String, [usize; 2]>)> {
        let Self { source, classes, .. } = self;
        let route = route::by_ratio(self.relevance, &source.groups, classes, ratio, &route::RouteOptions::default())?;
        let assembled: Assembled = assemble(&source.graph, &source.groups, &route, classes)?;
        let channels = channels(source, &route);
        if !self.refit {
            return Ok((assembled.graph, channels));
        }
        let all = source.calibration()?;
        let inputs = |range: std::ops::Range<usize>| Ok(score::batch(&source.case.input, all, &fit[range]));
        let options = RefitOptions { seed: self.seed, ..RefitOptions::default() };
        let refitted = refit::refit(&source.graph, &assembled, fit.len(), &inputs, &options)?;
        Ok((refitted.graph, channels))
    }
}

fn channels(source: &Source, route: &route::Route) -> BTreeMap<String, [usize; 2]> {
    let groups = source.groups.groups.iter().zip(&route.keep);
    groups
        .filter(|(group, _)| group.kind == GroupKind::Hidden)
        .map(|(group, keep)| (group.name.clone(), [keep.iter().filter(|k| **k).count(), group.channels]))
        .collect()
}
