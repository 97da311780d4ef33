//! Route libraries of several sources as one table for the network that joins them.
//!
//! A library ranks a source's channels by what tells a class from all others of that source; joined attribution ranks
//! them by what tells the wanted classes apart, foreign ones too. The one is there already, the other fits better.

use std::path::PathBuf;

use crate::diag::{Diag, Result};
use crate::ir::groups::GroupKind;
use crate::library::{self, GroupScores, Relevance};
use crate::pipeline::route::Wanted;
use crate::pipeline::{Part, Source};

/// The relevance of the joint classes, from one library for each network of `source`, in any order. A channel counts
/// for its own source's classes only. Links are left out: across a joined head they would have to be measured again.
pub(super) fn joint(source: &Source, paths: &[PathBuf], options: &Wanted) -> Result<Relevance> {
    let mut loaded: Vec<Option<(&PathBuf, Relevance)>> = Vec::with_capacity(paths.len());
    for path in paths {
        loaded.push(Some((path, library::load(path)?)));
    }
    // One part of each network, and the network's library.
    let mut networks: Vec<(&Part, Relevance)> = Vec::new();
    for part in &source.parts {
        if networks.iter().any(|(known, _)| known.network == part.network) {
            continue;
        }
        let found = loaded.iter_mut().find(|slot| slot.as_ref().is_some_and(|(_, l)| l.model_sha256 == part.sha256));
        let Some((path, library)) = found.and_then(Option::take) else {
            return Diag::new("route/no-library", "there is no route library for one of the sources")
                .at(&part.name)
                .expected(format!("one of {} (sha256 {})", part.model_name, part.sha256), "none")
                .help("write it with `fratc attribute`, or leave --library out")
                .err();
        };
        let data = part.case.calibration()?.sha256();
        let place = |d: Box<Diag>| Box::new(d.at(path.display()));
        library.check_fresh(&part.sha256, &data).map_err(place)?;
        options.check_method(&library).map_err(place)?;
        networks.push((part, library));
    }
    if let Some((path, library)) = loaded.into_iter().flatten().next() {
        return Diag::new("route/library-unused", "a route library belongs to none of the sources")
            .at(path.display())
            .expected("a library of one of the sources", library.model)
            .help("leave it out")
            .err();
    }
    let of = |network: usize| networks.iter().find(|(part, _)| part.network == network);
    for part in &source.parts {
        let library = of(part.network).map(|(_, library)| library);
        let missing =
            part.classes.iter().find(|&&c| library.is_none_or(|l| l.selected.get(c).is_none_or(Vec::is_empty)));
        if let Some(&class) = missing {
            return Diag::new("route/library-class", "a wanted class is not in the route library of its source")
                .at(&part.name)
                .expected(&part.case.label_names[class], "other classes")
                .help("attribute all classes, or those that are wanted")
                .err();
        }
    }
    let classes = source.case.label_names.len();
    let mut groups = Vec::with_capacity(source.groups.groups.len());
    for group in &source.groups.groups {
        let mut scores = vec![vec![0.0; group.channels]; classes];
        let mut points = Vec::new();
        if group.kind == GroupKind::Hidden {
            let own = networks.iter().find_map(|(part, library)| {
                let name = group.name.strip_prefix(&part.name)?.strip_prefix('.')?;
                Some((part.network, library.groups.iter().find(|g| g.name == name)?))
            });
            let Some((network, table)) = own.filter(|(_, table)| table.channels as usize == group.channels) else {
                return Diag::new("route/stale-relevance", "a route library knows no such channel group")
                    .at(&group.name)
                    .expected(format!("{} channels", group.channels), "none")
                    .help("attribute again; case files of two sources must have different names")
                    .err();
            };
            points.clone_from(&table.points);
            for part in source.parts.iter().filter(|part| part.network == network) {
                for (output, &class) in part.outputs.clone().zip(&part.classes) {
                    scores[output].clone_from(&table.scores[class]);
                }
            }
        }
        groups.push(GroupScores { name: group.name.clone(), channels: group.channels as u32, points, scores });
    }
    let first = &networks[0].1;
    Ok(Relevance {
        tool_version: first.tool_version.clone(),
        model: source.model_name.clone(),
        model_sha256: source.sha256.clone(),
        data_sha256: source.calibration()?.sha256(),
        classes: source.case.label_names.clone(),
        method: first.method.clone(),
        options: first.options.clone(),
        samples_per_class: networks.iter().map(|(_, l)| l.samples_per_class).min().unwrap_or(0),
        selected: vec![Vec::new(); classes],
        wrong: vec![0; classes],
        groups,
        links: Vec::new(),
    })
}
