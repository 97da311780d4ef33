//! Several sources as one: class sets of different networks, joined as branches of one source network.
//!
//! In: `--from CASE.toml:A,B`, once for each component. Out: a [`Source`] whose network holds every component as a
//! branch (uncut yet, its head cut to its classes), whose samples are those of the wanted classes from each
//! component's own case, and whose classes are the components', in the order given. Routes, refit, training and
//! quantization then work on it as on any source. [`extend`] adds components to an assembly whose own stay as they are.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::assemble::{self, Branch, Joined, assemble, join};
use crate::data::{BuildOptions, Case, InputContract, Samples};
use crate::diag::{Diag, Result};
use crate::heads::{self, Scale};
use crate::ir::groups::channel_groups;
use crate::ir::{Graph, NodeId, Shape};
use crate::pipeline::adapt::{self, Fit};
use crate::pipeline::calibration::split;
use crate::pipeline::part::{From, HeadScale, Part, label_names, pooled, union};
use crate::pipeline::route::Cut;
use crate::pipeline::{Place, Source, score};
use crate::route::Route;

/// Opens the cases of `from` and joins their networks. With `others`, the classes that no one asked for come after the
/// wanted ones, as components of their own.
pub fn open(from: &[From], scale: HeadScale, others: bool) -> Result<Source> {
    let Components { mut parts, sources, of_part } = components(from, others, &[])?;
    let sources: Vec<&Source> = of_part.iter().map(|&n| &sources[n]).collect();
    let contracts: Vec<(&str, &InputContract)> = parts.iter().map(|p| (p.name.as_str(), &p.case.input)).collect();
    let contract = adapt::common(&contracts)?;
    for part in &mut parts {
        part.fits = vec![Fit::new(&part.name, contract.shape, part.case.input.shape)?];
    }
    let own = branches(&parts, &sources, scale)?;
    let Joined { graph, .. } = join(shape(&contract), &named(&parts, &own))?;
    let splits = |which: fn(&Source) -> Option<&Samples>| -> Option<Vec<&Samples>> {
        sources.iter().map(|s| which(s)).collect()
    };
    let calibration = splits(|s| s.calibration.as_ref()).map(|own| pooled(&contract, &parts, &own));
    let test = splits(|s| s.test.as_ref()).map(|own| union(&contract, parts.iter().zip(own)));
    on_one_scale(of_parts(parts, graph, contract, calibration, test, scale))
}

/// Adds the components of `from` to an assembly. What it holds stays as it is, to the bit: of its channels none is ever
/// cut, of its weights none fitted or trained, and the new components come to its scale.
pub(super) fn extend(old: &Source, from: &[From]) -> Result<Source> {
    let Components { parts: mut new, sources, of_part } = components(from, false, &old.parts)?;
    let sources: Vec<&Source> = of_part.iter().map(|&n| &sources[n]).collect();
    let mut contracts: Vec<(&str, &InputContract)> = vec![("the assembly", &old.case.input)];
    contracts.extend(new.iter().map(|p| (p.name.as_str(), &p.case.input)));
    let contract = adapt::common(&contracts)?;
    let grown = Fit::new("the assembly", contract.shape, old.case.input.shape)?;
    for part in &mut new {
        part.fits = vec![Fit::new(&part.name, contract.shape, part.case.input.shape)?];
    }
    let own = branches(&new, &sources, old.head_scale)?;
    let count = old.parts.len();
    let Joined { graph, before, .. } =
        assemble::extend(shape(&contract), &old.graph, count, grown.op(), &named(&new, &own))?;
    let kept = || old.parts.iter().map(|p| Part { fits: [&p.fits[..], &[grown]].concat(), fixed: true, ..p.clone() });
    let parts: Vec<Part> = kept().chain(new).collect();

    let larger = |samples: &Samples| {
        let mut all = Samples::empty(&contract);
        for i in 0..samples.len() {
            all.raw.extend(grown.enlarge(samples.sample(i)));
            all.labels.push(samples.labels[i]);
        }
        all
    };
    let mut calibration = larger(old.calibration()?);
    for (i, part) in parts.iter().enumerate() {
        let mut used: Vec<usize> = Vec::new();
        for (k, other) in parts.iter().enumerate() {
            // The assembly has its own samples of its own classes.
            let same = other.case.label_names == part.case.label_names && !(i < count && k < count);
            if same && !used.contains(&other.network) {
                used.push(other.network);
                if k >= count {
                    part.collect(other, sources[k - count].calibration()?, &mut calibration);
                } else if other.case.calibration.is_some() {
                    part.collect(other, &other.case.calibration()?, &mut calibration);
                }
            }
        }
    }
    let own: Option<Vec<&Samples>> = sources.iter().map(|s| s.test.as_ref()).collect();
    let test = old.test.as_ref().zip(own).map(|(test, own)| {
        let (mut test, more) = (larger(test), union(&contract, parts[count..].iter().zip(own)));
        test.raw.extend(more.raw);
        test.labels.extend(more.labels);
        test
    });
    let mut source = of_parts(parts, graph, contract, Some(calibration), test, old.head_scale);
    source.groups.freeze(before);
    source.fixed = source.graph.nodes[..before].iter().map(|node| node.name.clone()).collect();
    on_one_scale(source)
}

/// Components with the sources they come from.
struct Components {
    parts: Vec<Part>,
    sources: Vec<Source>,
    /// Of each component, its place among the sources.
    of_part: Vec<usize>,
}

/// Opens the cases of `from`, for components that come after those in `taken`.
fn components(from: &[From], others: bool, taken: &[Part]) -> Result<Components> {
    let first_network = taken.iter().map(|p| p.network + 1).max().unwrap_or(0);
    let mut parts: Vec<Part> = Vec::new();
    let mut sources: Vec<Source> = Vec::new();
    let mut of_part = Vec::new();
    let end = |parts: &[Part]| parts.last().or(taken.last()).map_or(0, |p| p.outputs.end);
    for one in from {
        let known = sources.iter().position(|s| s.case.path == one.case);
        let place = if let Some(place) = known {
            place
        } else {
            sources.push(Source::open(&one.case)?);
            sources.len() - 1
        };
        let source = &sources[place];
        if !source.parts.is_empty() {
            return Diag::new("joint/assembly", "a component comes from a case file, not from an assembly")
                .at(one.case.display())
                .help("name the assembly first: fratc add-class ASSEMBLY --from CASE.toml:A")
                .err();
        }
        let classes = source.any_classes(&one.classes)?;
        let same =
            taken.iter().filter(|p| p.sha256 == source.sha256).chain(parts.iter().filter(|p| p.case.path == one.case));
        if let Some(&class) = same.flat_map(|p| &p.classes).find(|c| classes.contains(c)) {
            return Diag::new("joint/class-twice", "a class is named twice")
                .at(one.case.display())
                .expected("each class once", &source.case.label_names[class])
                .err();
        }
        let first = end(&parts);
        parts.push(Part {
            name: one.case.file_stem().map_or_else(|| "source".into(), |s| s.to_string_lossy().into_owned()),
            case: source.case.clone(),
            model_path: source.model_path.clone(),
            model_name: source.model_name.clone(),
            sha256: source.sha256.clone(),
            outputs: first..first + classes.len(),
            classes,
            wanted: true,
            fits: Vec::new(),
            network: first_network + place,
            fixed: false,
        });
        of_part.push(place);
    }
    for (place, source) in sources.iter().enumerate().filter(|_| others) {
        let own = || parts.iter().zip(&of_part).filter(|(_, of)| **of == place).map(|(part, _)| part);
        let rest = (0..source.graph.classes()).filter(|c| !own().any(|p| p.classes.contains(c)));
        let classes: Vec<usize> = rest.collect();
        let first = end(&parts);
        if let Some(part) = own().next().filter(|_| !classes.is_empty()).cloned() {
            parts.push(Part { outputs: first..first + classes.len(), classes, wanted: false, ..part });
            of_part.push(place);
        }
    }
    Ok(Components { parts, sources, of_part })
}

/// Each component's network, uncut but for its head.
fn branches(parts: &[Part], sources: &[&Source], scale: HeadScale) -> Result<Vec<Graph>> {
    let mut own = Vec::with_capacity(parts.len());
    for (part, source) in parts.iter().zip(sources) {
        let mut whole = source.graph.clone();
        if matches!(scale, HeadScale::Fit | HeadScale::Joint) {
            heads::centre(&mut whole);
        }
        own.push(assemble(&whole, &source.groups, &Route::whole(&source.groups), &part.classes)?.graph);
    }
    Ok(own)
}

fn named<'a>(parts: &'a [Part], own: &'a [Graph]) -> Vec<Branch<'a>> {
    parts.iter().zip(own).map(|(part, graph)| Branch { name: &part.name, graph, input: part.input() }).collect()
}

fn shape(contract: &InputContract) -> Shape {
    let [h, w, c] = contract.shape;
    Shape::new(c, h, w)
}

/// The source that consists of `parts`, which `graph` holds as branches behind the input of `contract`.
pub(super) fn of_parts(
    parts: Vec<Part>,
    graph: Graph,
    contract: InputContract,
    calibration: Option<Samples>,
    test: Option<Samples>,
    scale: HeadScale,
) -> Source {
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
        label_names: label_names(&parts),
        calibration: None,
        test: None,
        train: None,
        classes: None,
        target: parts.first().and_then(|part| part.case.target.clone()),
        options: BuildOptions::default(),
    };
    Source {
        case,
        model_path: path,
        model_name: name,
        sha256,
        groups: channel_groups(&graph),
        graph,
        calibration,
        test,
        parts,
        head_scale: scale,
        fixed: BTreeSet::new(),
        device: Place::default(),
    }
}

/// The source with its components on one scale, as all calibration samples have it.
fn on_one_scale(mut source: Source) -> Result<Source> {
    let mut graph = source.graph.clone();
    let all: Vec<usize> = (0..source.calibration.as_ref().map_or(0, Samples::len)).collect();
    rescale(&source, &mut [&mut graph], &all)?;
    source.graph = graph;
    Ok(source)
}

/// Brings the components of `graphs` (all like the source's, the first one measured) to one scale, fitted on the
/// calibration samples `indices`.
fn rescale(source: &Source, graphs: &mut [&mut Graph], indices: &[usize]) -> Result<()> {
    let Some(samples) = source.calibration.as_ref().filter(|s| !s.is_empty() && source.parts.len() > 1) else {
        return Ok(());
    };
    let component: Vec<usize> = source.parts.iter().flat_map(|p| p.outputs.clone().map(|_| p.network)).collect();
    let networks = component.iter().max().map_or(0, |n| n + 1);
    let fixed: Vec<bool> = (0..networks).map(|n| source.parts.iter().any(|p| p.network == n && p.fixed)).collect();
    let scales = match source.head_scale {
        HeadScale::Off => return Ok(()),
        HeadScale::Fit | HeadScale::Joint | HeadScale::Level => {
            let rows = score::scores(graphs[0], source, samples, indices)?;
            let labels: Vec<usize> = indices.iter().map(|&i| samples.labels[i] as usize).collect();
            if source.head_scale == HeadScale::Level {
                heads::level(&rows, &component, &fixed)
            } else {
                heads::fit(&rows, &labels, &component, &fixed)
            }
        }
    };
    for graph in graphs {
        let mut done: Vec<(NodeId, Scale)> = Vec::new();
        for (head, part) in assemble::heads(graph, source.parts.len()).into_iter().zip(&source.parts) {
            if !part.fixed && !done.iter().any(|(known, _)| *known == head) {
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
        Some(start) => rescale(source, &mut [&mut start.graph, graph], &held_out),
        None => rescale(source, &mut [graph], &held_out),
    }
}

/// Where components are to learn a last layer together, `graph` with that layer in place of theirs.
pub(super) fn merged(source: &Source, graph: &Graph) -> Result<Option<Graph>> {
    if source.head_scale != HeadScale::Joint || source.parts.len() < 2 {
        return Ok(None);
    }
    assemble::merge(graph, source.parts.len())
}

/// How many of a joint source's classes were asked for.
pub(super) fn asked(source: &Source) -> usize {
    source.parts.iter().filter(|p| p.wanted).map(|p| p.outputs.len()).sum()
}
