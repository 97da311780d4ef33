//! From a source to the small float network: attribute, choose a size, assemble, refit.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::assemble::assemble;
use crate::attribute::{self, Method};
use crate::data::Amount;
use crate::diag::{Diag, Result};
use crate::ir::Graph;
use crate::ir::groups::GroupKind;
use crate::library::{self, Relevance};
use crate::pipeline::calibration;
use crate::pipeline::cutter::Cutter;
use crate::pipeline::finetune::{self, FinetuneOptions};
use crate::pipeline::lesson::Lesson;
use crate::pipeline::limits::{self, ByteLimit, Limits, MacLimit};
use crate::pipeline::{Place, Progress, Source, assembly, joint, lesson, libraries, reject, widths};
use crate::plan::{self, Optimize};
use crate::report;
use crate::route;
use crate::target::Target;

/// What the user wants of the route; what is `None` the case file decides, else the default.
#[derive(Debug, Clone, Default)]
pub struct RouteOptions {
    /// Class tokens; empty for the case's classes, else all.
    pub classes: Vec<String>,
    /// Share of channels to keep in every group.
    pub keep: Option<f64>,
    /// Points of accuracy to give away at most.
    pub max_drop: Option<f64>,
    /// Multiply-accumulates at most.
    pub max_macs: Option<MacLimit>,
    /// Bytes of flash at most, for weights, tables and code.
    pub max_flash: Option<ByteLimit>,
    /// Bytes of RAM at most, for arena and input.
    pub max_ram: Option<ByteLimit>,
    /// How critical channels are found.
    pub method: Option<Method>,
    /// Route libraries to use instead of attributing: one, or one for each source of an assembly.
    pub libraries: Vec<PathBuf>,
    /// Whether weights are refitted.
    pub refit: Option<bool>,
    /// Training after the refit.
    pub finetune: FinetuneOptions,
    /// Seed of every random choice.
    pub seed: Option<u64>,
    /// What runs the networks.
    pub device: Place,
}

/// [`RouteOptions`] with the case file's options and the defaults filled in, and checked.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Share of channels to keep in every group.
    pub keep: Option<f64>,
    /// What set that share, in a report's words.
    pub keep_by: &'static str,
    /// Points of accuracy to give away at most.
    pub max_drop: Option<f64>,
    /// What the network may need at most.
    pub limits: Limits,
    /// The board that memory is planned for, where there is one.
    pub target: Option<Target>,
    /// What kernels are chosen for there.
    pub optimize: Optimize,
    /// How critical channels are found.
    pub method: Method,
    /// Whether the command line names that method, so that no library of another will do.
    pub method_named: bool,
    /// Route libraries to use instead of attributing.
    pub libraries: Vec<PathBuf>,
    /// Whether weights are refitted.
    pub refit: bool,
    /// Training after the refit.
    pub finetune: finetune::Wanted,
    /// How many of the classes are wanted, if others are there to be rejected; those come last.
    pub rejecting: Option<usize>,
    /// Seed of every random choice.
    pub seed: u64,
}

impl RouteOptions {
    /// Fills in what the case file says; flags go before it.
    pub fn resolve(&self, source: &Source) -> Result<Wanted> {
        let case = &source.case.options;
        // A size on the command line replaces a size of the other kind in the case file; limits are added.
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
        let keep_by = if given {
            "--keep"
        } else if assembly::is_assembly(&source.case.path) {
            "the assembly as it is"
        } else {
            "`keep` in the case file"
        };
        let seed = self.seed.or(case.seed).unwrap_or(0);
        let refit = self.refit.or(case.refit).unwrap_or(true);
        let finetune = self.finetune.resolve(source, seed)?;
        if finetune.refits_only() && !refit {
            return Diag::new("route/train", "training data is asked for, but neither a refit nor training")
                .help("leave --no-refit out, or add --finetune N, the number of epochs")
                .err();
        }
        Ok(Wanted {
            keep,
            keep_by,
            max_drop,
            limits: self.limits(source)?,
            target: None,
            optimize: Optimize::default(),
            method,
            method_named: self.method.is_some(),
            libraries: self.libraries.clone(),
            refit,
            finetune,
            rejecting: None,
            seed,
        })
    }
}

impl Wanted {
    /// How the network is to be planned: its limits bind the choice of kernels too.
    pub fn plan(&self) -> plan::Options {
        plan::Options { optimize: self.optimize, max_flash: self.limits.flash, max_ram: self.limits.ram }
    }
}

impl RouteOptions {
    /// The limits given, each by its flag or else by the case file.
    fn limits(&self, source: &Source) -> Result<Limits> {
        let case = &source.case.options;
        let text = |amount: &Option<Amount>| amount.as_ref().map(ToString::to_string);
        let macs = match self.max_macs {
            Some(macs) => Some(macs),
            None => limits::of_case::<MacLimit>(source, "max_macs", text(&case.max_macs))?,
        };
        let bytes = |flag: Option<ByteLimit>, key: &str, amount: &Option<Amount>| match flag {
            Some(bytes) => Ok(Some(bytes)),
            None => limits::of_case::<ByteLimit>(source, key, text(amount)),
        };
        Ok(Limits {
            macs: macs.map(|m| m.count(source.graph.macs())),
            flash: bytes(self.max_flash, "max_flash", &case.max_flash)?.map(|b| b.0),
            ram: bytes(self.max_ram, "max_ram", &case.max_ram)?.map(|b| b.0),
        })
    }
}

impl Wanted {
    /// Refuses a library of another method than the one that was named.
    pub(super) fn check_method(&self, library: &Relevance) -> Result<()> {
        if !self.method_named || library.method == self.method.name() {
            return Ok(());
        }
        Diag::new("route/library-method", "the route library was made with another method")
            .expected(format!("--method {}", self.method.name()), &library.method)
            .help(format!(
                "leave --method out, or make a library with `fratc attribute --method {}`",
                self.method.name()
            ))
            .err()
    }

    /// The same without training.
    #[must_use]
    pub(super) fn without_training(&self) -> Self {
        Self { finetune: self.finetune.none(), ..self.clone() }
    }
}

/// The small float network and how it came about.
#[derive(Debug, Clone)]
pub struct Cut {
    /// The network, logits in the wanted order.
    pub graph: Graph,
    /// Where training is wanted, what it starts from.
    pub start: Option<Start>,
    /// Size and search, for the report.
    pub route: report::Route,
    /// Channels kept and channels there were, by group name.
    pub channels: BTreeMap<String, [usize; 2]>,
    /// Attribution method, if anything was cut by it.
    pub method: Option<String>,
}

/// The network that training starts from: fitted without the samples that training is judged by.
#[derive(Debug, Clone)]
pub struct Start {
    /// The network.
    pub graph: Graph,
    /// Samples that it was fitted to.
    pub(crate) samples: usize,
    /// What it is to learn from, where that is known already: the fit has seen some of it.
    pub(crate) lesson: Option<Lesson>,
}

impl Start {
    /// Whether the fit has seen training samples besides calibration samples: then this is the better network also where
    /// training does not help.
    pub(crate) fn saw_more(&self) -> bool {
        self.lesson.as_ref().is_some_and(|lesson| lesson.apart)
    }
}

/// Cuts the routes of `classes` (indices into the source's) out of `source`.
pub fn cut(source: &Source, classes: &[usize], options: &Wanted, progress: &dyn Progress) -> Result<Cut> {
    // The classes of a joint source are the wanted ones of its components.
    let whole =
        source.parts.is_empty() && options.rejecting.is_none() && classes.iter().copied().eq(0..source.graph.classes());
    let limited = options.max_drop.is_some() || options.limits.any();
    if !limited && (options.keep == Some(1.0) || (whole && options.keep.is_none())) {
        let chosen_by = if options.keep.is_some() { options.keep_by } else { "all classes wanted" };
        return uncut(source, classes, chosen_by);
    }

    source.calibration()?.require_classes(classes, &source.case.label_names)?;
    let relevance = relevance(source, classes, options, progress)?;
    let cutter = Cutter::new(source, classes, &relevance, options.refit, options.seed)?.with_views()?;
    let cutter = if relevance.method == Method::Frat.name() { cutter.covering()? } else { cutter };
    let (widths, record) = match options.keep {
        Some(keep) if !limited => {
            let record = report::Route { refit: options.refit, ..report::Route::of(keep, options.keep_by) };
            (cutter.uniform(keep), record)
        }
        None if options.rejecting.is_some() && !limited => {
            progress.stage("search");
            reject::search(&cutter, options.rejecting.unwrap_or_default())?
        }
        _ => widths::search(&cutter, options, progress)?,
    };
    progress.stage("assemble and refit");
    let route = cutter.route(&widths)?;
    let start = options.finetune.any().then(|| lesson::start(&cutter, &route, &options.finetune)).transpose()?;
    let (graph, samples) = match &start {
        Some(start) if start.saw_more() => (start.graph.clone(), start.samples),
        _ => {
            let fit = calibration::of_classes(source.calibration()?, classes);
            let more = lesson::refitted(&cutter, &options.finetune)?;
            (cutter.finished_with(&route, &fit, more.as_ref())?, fit.len() + more.map_or(0, |more| more.len()))
        }
    };
    let channels = channels(source, &route);
    let samples = if options.refit { samples } else { 0 };
    let record = report::Route { ties: route.ties, refit_samples: samples, ..record };
    let mut cut = Cut { graph, start, route: record, channels, method: Some(relevance.method.clone()) };
    joint::rescale_cut(source, &mut cut)?;
    Ok(cut)
}

/// All channels, only the head cut to the classes.
fn uncut(source: &Source, classes: &[usize], chosen_by: &'static str) -> Result<Cut> {
    let route = route::Route::whole(&source.groups);
    let assembled = assemble(&source.graph, &source.groups, &route, classes)?;
    let channels = channels(source, &route);
    Ok(Cut { graph: assembled.graph, start: None, route: report::Route::of(1.0, chosen_by), channels, method: None })
}

/// The relevance table: read back if given; else computed for the wanted classes, each in contrast to the others
/// of the set, which ranks channels better than contrast to all classes does.
fn relevance(source: &Source, classes: &[usize], options: &Wanted, progress: &dyn Progress) -> Result<Relevance> {
    progress.stage("attribute");
    match &options.libraries[..] {
        [] => {}
        libraries if !source.parts.is_empty() => return libraries::joint(source, libraries, options),
        [path] => {
            let relevance = library::load(path)?;
            let data = source.calibration()?.sha256();
            let place = |d: Box<Diag>| Box::new(d.at(path.display()));
            relevance.check_fresh(&source.sha256, &data).map_err(place)?;
            relevance.check_classes(classes).map_err(place)?;
            options.check_method(&relevance).map_err(place)?;
            return Ok(relevance);
        }
        [_, second, ..] => {
            return Diag::new("route/libraries", "one network has one route library")
                .at(second.display())
                .help("give several with several sources (--from) only")
                .err();
        }
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

fn channels(source: &Source, route: &route::Route) -> BTreeMap<String, [usize; 2]> {
    let groups = source.groups.groups.iter().zip(&route.keep);
    groups
        .filter(|(group, _)| group.kind == GroupKind::Hidden)
        .map(|(group, keep)| (group.name.clone(), [keep.iter().filter(|k| **k).count(), group.channels]))
        .collect()
}
