//! Several sources as one: class sets of different networks, joined as branches of one source network.
//!
//! In: `--from CASE.toml:A,B`, once for each component. Out: a [`Source`] whose network holds every component as a
//! branch (uncut yet, its head cut to its classes), whose samples are those of the wanted classes from each
//! component's own case, and whose classes are the components', in the order given. Routes, refit, training and
//! quantization then work on it as on any source.

use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;

use crate::assemble::{self, Branch, assemble, join};
use crate::data::{BuildOptions, Case, InputContract, Samples};
use crate::diag::{Diag, Result};
use crate::heads::{self, Scale};
use crate::ir::groups::channel_groups;
use crate::ir::op::{Affine, Op};
use crate::ir::{Graph, NodeId, Shape};
use crate::pipeline::adapt::{self, Fit};
use crate::pipeline::calibration::split;
use crate::pipeline::route::Cut;
use crate::pipeline::{Source, score};
use crate::route::Route;

/// One component as a user names it: `CASE.toml:A,B`, or `CASE.toml` for the case's own classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    /// The case file.
    pub case: PathBuf,
    /// Class tokens; empty for the case's classes, else all.
    pub classes: Vec<String>,
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        // A colon before a path separator belongs to the path: `C:\cases\a.toml`.
        let (case, classes) = match text.rsplit_once(':') {
            Some((case, classes)) if !classes.contains(['/', '\\']) => (case, classes),
            _ => (text, ""),
        };
        let classes: Vec<String> = classes.split(',').map(str::trim).map(String::from).collect();
        let classes = if classes == [""] { Vec::new() } else { classes };
        if case.is_empty() || classes.iter().any(String::is_empty) {
            return Err("expected CASE.toml:CLASS,CLASS".into());
        }
        Ok(Self { case: case.into(), classes })
    }
}

/// How the components' scores are brought to one scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HeadScale {
    /// One scale and offset per component, likeliest on calibration samples of all classes.
    #[default]
    Fit,
    /// The paper's: equal mean magnitudes, no offsets.
    Level,
    /// As the sources have them.
    Off,
}

impl HeadScale {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fit => "fit",
            Self::Level => "level",
            Self::Off => "off",
        }
    }
}

/// One component of a joint source.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its name: the case file's, without folder and ending.
    pub name: String,
    /// Its case.
    pub case: Case,
    /// The model's path as the case gives it.
    pub model_path: String,
    /// The model's file name without its folder.
    pub model_name: String,
    /// SHA-256 of the model's bytes, hexadecimal.
    pub sha256: String,
    /// Its classes, by index into its case's.
    pub classes: Vec<usize>,
    /// Where these are among the joint classes.
    pub outputs: Range<usize>,
    /// Whether it was asked for; else it is there to reject by.
    pub wanted: bool,
    /// How its input lies in the common one; `None` until that is known.
    pub fit: Option<Fit>,
    /// Components of one network have one number, and one scale.
    pub network: usize,
}

impl Part {
    /// What its branch makes of the common input.
    fn input(&self) -> Op {
        let normalisation = normalisation(&self.case.input);
        match &self.fit {
            Some(fit) => fit.op(&normalisation),
            None => Op::Affine(normalisation),
        }
    }

    /// Adds the samples of this component's classes among `samples`, which are of the case of `owner`.
    fn collect(&self, owner: &Part, samples: &Samples, all: &mut Samples) {
        for i in 0..samples.len() {
            if let Some(place) = self.classes.iter().position(|&c| c == samples.labels[i] as usize) {
                match &owner.fit {
                    Some(fit) => all.raw.extend(fit.enlarge(samples.sample(i))),
                    None => all.raw.extend_from_slice(samples.sample(i)),
                }
                all.labels.push((self.outputs.start + place) as u32);
            }
        }
    }

    /// As on a command line, without folders.
    pub(super) fn word(&self) -> String {
        let names: Vec<&str> = self.classes.iter().map(|&c| self.case.label_names[c].as_str()).collect();
        let file = self.case.path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        format!("--from {file}:{}", names.join(","))
    }
}

/// Opens the cases of `from` and joins their networks. With `others`, the classes that no one asked for come after the
/// wanted ones, as components of their own.
pub fn open(from: &[From], scale: HeadScale, others: bool) -> Result<Source> {
    let mut parts: Vec<Part> = Vec::new();
    let mut opened: Vec<Source> = Vec::new();
    let mut of_part = Vec::new();
    for one in from {
        let known = opened.iter().position(|s| s.case.path == one.case);
        let network = if let Some(network) = known {
            network
        } else {
            opened.push(Source::open(&one.case)?);
            opened.len() - 1
        };
        let source = &opened[network];
        let classes = source.any_classes(&one.classes)?;
        let first = parts.last().map_or(0, |p| p.outputs.end);
        let twice =
            parts.iter().filter(|p| p.network == network).flat_map(|p| &p.classes).find(|c| classes.contains(c));
        if let Some(&class) = twice {
            return Diag::new("joint/class-twice", "a class is named twice")
                .at(one.case.display())
                .expected("each class once", &source.case.label_names[class])
                .err();
        }
        parts.push(Part {
            name: one.case.file_stem().map_or_else(|| "source".into(), |s| s.to_string_lossy().into_owned()),
            case: source.case.clone(),
            model_path: source.model_path.clone(),
            model_name: source.model_name.clone(),
            sha256: source.sha256.clone(),
            outputs: first..first + classes.len(),
            classes,
            wanted: true,
            fit: None,
            network,
        });
        of_part.push(network);
    }
    for (network, source) in opened.iter().enumerate().filter(|_| others) {
        let own = || parts.iter().filter(|p| p.network == network);
        let rest = (0..source.graph.classes()).filter(|c| !own().any(|p| p.classes.contains(c)));
        let classes: Vec<usize> = rest.collect();
        let first = parts.last().map_or(0, |p| p.outputs.end);
        if let Some(part) = own().next().filter(|_| !classes.is_empty()).cloned() {
            parts.push(Part { outputs: first..first + classes.len(), classes, wanted: false, ..part });
            of_part.push(network);
        }
    }
    let sources: Vec<&Source> = of_part.iter().map(|&n| &opened[n]).collect();
    joined(parts, &sources, scale)
}

/// The joint source of `parts`, which belong to `sources`.
fn joined(mut parts: Vec<Part>, sources: &[&Source], scale: HeadScale) -> Result<Source> {
    let contracts: Vec<(&str, &InputContract)> = parts.iter().map(|p| (p.name.as_str(), &p.case.input)).collect();
    let contract = adapt::common(&contracts)?;
    for part in &mut parts {
        part.fit = Some(Fit::new(&part.name, contract.shape, part.case.input.shape)?);
    }
    let graph = graph(&parts, sources, &contract, scale)?;
    let label_names = label_names(&parts);
    let splits = |which: fn(&Source) -> Option<&Samples>| -> Option<Vec<&Samples>> {
        sources.iter().map(|s| which(s)).collect()
    };
    let calibration = splits(|s| s.calibration.as_ref()).map(|own| pooled(&contract, &parts, &own));
    let test = splits(|s| s.test.as_ref()).map(|own| union(&contract, parts.iter().zip(own)));
    let list = |f: fn(&Part) -> &str| {
        let mut names: Vec<&str> = Vec::new();
        for part in &parts {
            if !names.contains(&f(part)) {
                names.push(f(part));
            }
        }
        names.join(" + ")
    };
    let (path, name, sha256) = (list(|p| &p.model_path), list(|p| &p.model_name), list(|p| &p.sha256));
    let case = Case {
        path: PathBuf::from(list(|p| &p.name)),
        model: PathBuf::from(&path),
        model_sha256: None,
        input: contract,
        label_names,
        calibration: None,
        test: None,
        train: None,
        classes: None,
        target: parts[0].case.target.clone(),
        options: BuildOptions::default(),
    };
    let groups = channel_groups(&graph);
    let mut source = Source {
        case,
        model_path: path,
        model_name: name,
        sha256,
        graph,
        groups,
        calibration,
        test,
        parts,
        head_scale: scale,
    };
    let mut graph = source.graph.clone();
    let all: Vec<usize> = (0..source.calibration.as_ref().map_or(0, Samples::len)).collect();
    rescale(&source, &mut [&mut graph], &all)?;
    source.graph = graph;
    Ok(source)
}

/// All components side by side, uncut but for their heads.
fn graph(parts: &[Part], sources: &[&Source], contract: &InputContract, scale: HeadScale) -> Result<Graph> {
    let mut own = Vec::with_capacity(parts.len());
    for (part, source) in parts.iter().zip(sources) {
        let mut whole = source.graph.clone();
        if scale == HeadScale::Fit {
            heads::centre(&mut whole);
        }
        own.push(assemble(&whole, &source.groups, &Route::whole(&source.groups), &part.classes)?.graph);
    }
    let branches: Vec<Branch<'_>> =
        parts.iter().zip(&own).map(|(part, graph)| Branch { name: &part.name, graph, input: part.input() }).collect();
    let [h, w, c] = contract.shape;
    Ok(join(Shape::new(c, h, w), &branches)?.graph)
}

/// A contract as a map of raw bytes.
fn normalisation(contract: &InputContract) -> Affine {
    let scale: Vec<f64> = contract.std.iter().map(|std| contract.scale / std).collect();
    let shift = contract.mean.iter().zip(&contract.std);
    let shift = shift.map(|(mean, std)| (-contract.zero_point * contract.scale - mean) / std).collect();
    Affine { scale, shift }
}

/// The classes' own names; with their component's where two are equal.
fn label_names(parts: &[Part]) -> Vec<String> {
    let own = |part: &Part| -> Vec<String> { part.classes.iter().map(|&c| part.case.label_names[c].clone()).collect() };
    let all: Vec<String> = parts.iter().flat_map(own).collect();
    let name = |part: &Part, label: String| {
        if all.iter().filter(|l| **l == label).count() > 1 { format!("{}:{label}", part.name) } else { label }
    };
    parts.iter().flat_map(|part| own(part).into_iter().map(|label| name(part, label))).collect()
}

/// The samples of each component's classes from every component's samples where their cases agree on all class names: then all hold
/// images of all classes, and a class is not known by the look of one case's images.
pub(super) fn pooled(contract: &InputContract, parts: &[Part], samples: &[&Samples]) -> Samples {
    let mut all = Samples::empty(contract);
    for part in parts {
        let mut used: Vec<usize> = Vec::new();
        for (other, own) in parts.iter().zip(samples) {
            if other.case.label_names == part.case.label_names && !used.contains(&other.network) {
                used.push(other.network);
                part.collect(other, own, &mut all);
            }
        }
    }
    all
}

/// The samples of each component's classes from its own samples, labelled by joint class.
pub(super) fn union<'a>(contract: &InputContract, samples: impl Iterator<Item = (&'a Part, &'a Samples)>) -> Samples {
    let mut all = Samples::empty(contract);
    for (part, own) in samples {
        part.collect(part, own, &mut all);
    }
    all
}

/// Brings the components of `graphs` (all like the source's, the first one measured) to one scale, fitted on the
/// calibration samples `indices`.
fn rescale(source: &Source, graphs: &mut [&mut Graph], indices: &[usize]) -> Result<()> {
    let Some(samples) = source.calibration.as_ref().filter(|s| !s.is_empty() && source.parts.len() > 1) else {
        return Ok(());
    };
    let component: Vec<usize> = source.parts.iter().flat_map(|p| p.outputs.clone().map(|_| p.network)).collect();
    let networks = component.iter().max().map_or(0, |n| n + 1);
    let scales = match source.head_scale {
        HeadScale::Off => return Ok(()),
        HeadScale::Fit | HeadScale::Level => {
            let rows = score::scores(graphs[0], &source.case.input, samples, indices)?;
            let labels: Vec<usize> = indices.iter().map(|&i| samples.labels[i] as usize).collect();
            if source.head_scale == HeadScale::Fit {
                heads::fit(&rows, &labels, &component, networks)
            } else {
                heads::level(&rows, &component, networks)
            }
        }
    };
    for graph in graphs {
        let mut done: Vec<(NodeId, Scale)> = Vec::new();
        for (head, part) in assemble::heads(graph, source.parts.len()).into_iter().zip(&source.parts) {
            if !done.iter().any(|(known, _)| *known == head) {
                done.push((head, scales[part.network]));
            }
        }
        heads::apply(graph, &done)?;
    }
    Ok(())
}

/// Once more after the cut, on calibration samples that the network measured was not fitted on, if there is one.
pub(super) fn rescale_cut(source: &Source, cut: &mut Cut) -> Result<()> {
    if source.parts.len() < 2 {
        return Ok(());
    }
    let classes: Vec<usize> = (0..source.case.label_names.len()).collect();
    let held_out = split(source.calibration()?, &classes).held_out;
    let Cut { graph, start, .. } = cut;
    match start {
        Some(start) => rescale(source, &mut [start, graph], &held_out),
        None => rescale(source, &mut [graph], &held_out),
    }
}

/// How many of a joint source's classes were asked for.
pub(super) fn asked(source: &Source) -> usize {
    source.parts.iter().filter(|p| p.wanted).map(|p| p.outputs.len()).sum()
}
