//! Routes from hand-made relevance tables.

use std::fmt::Write as _;

use fratc::ir::groups::{ChannelRef, GroupId, Groups, channel_groups};
use fratc::ir::op::{Dense, Op};
use fratc::ir::{Graph, NodeId, Shape};
use fratc::library::{GroupScores, LayerLinks, Relevance};
use fratc::route::{Route, RouteOptions, by_ratio, by_threshold};

fn dense(input: usize, out: usize) -> Op {
    Op::Dense(Dense { out_features: out, in_features: input, weight: vec![0.5; out * input], bias: vec![0.0; out] })
}

/// 2 inputs, hidden layers `a` (4) and `b` (4), 3 classes.
fn network() -> (Graph, Groups) {
    let mut graph = Graph::new("x", Shape::vector(2));
    let a = graph.push("a", dense(2, 4), &[NodeId(0)]).expect("the shapes fit");
    let b = graph.push("b", dense(4, 4), &[a]).expect("the shapes fit");
    graph.push("fc", dense(4, 3), &[b]).expect("the shapes fit");
    let groups = channel_groups(&graph);
    (graph, groups)
}

/// The same rows of scores for both hidden layers; `[class][channel]`.
fn relevance(groups: &Groups, rows: [[f64; 4]; 3]) -> Relevance {
    let table = |g: &fratc::ir::groups::Group| GroupScores {
        name: g.name.clone(),
        channels: g.channels as u32,
        scores: rows.iter().map(|row| row.iter().copied().cycle().take(g.channels).collect()).collect(),
        ..GroupScores::default()
    };
    Relevance {
        method: "frat".into(),
        classes: vec!["p".into(), "q".into(), "r".into()],
        samples_per_class: 1,
        selected: vec![vec![0]; 3],
        groups: groups.groups.iter().map(table).collect(),
        ..Relevance::default()
    }
}

/// Links from channel `i` of one layer to channel `o` of the next, for every class.
fn layer(name: &str, from: (u32, u32), to: (u32, u32), strong: &[(u32, u32)]) -> LayerLinks {
    let refs = |(group, n): (u32, u32)| (0..n).map(|index| ChannelRef { group: GroupId(group), index }).collect();
    let mut shares = vec![0.0; (from.1 * to.1) as usize];
    for (i, o) in strong {
        shares[(o * from.1 + i) as usize] = 1.0;
    }
    LayerLinks { layer: name.into(), from: refs(from), to: refs(to), shares: vec![shares; 3] }
}

fn text(route: &Route) -> String {
    let row = |mask: &Vec<bool>| mask.iter().map(|&k| if k { '#' } else { '.' }).collect::<String>();
    let masks = |keep: &Vec<Vec<bool>>| keep.iter().map(row).collect::<Vec<_>>().join(" ");
    let mut out = format!("set {}\n", masks(&route.keep));
    for class in &route.per_class {
        writeln!(out, "class {} {}", class.class, masks(&class.keep)).expect("memory");
    }
    for c in &route.changes {
        writeln!(out, "class {} group {}: {} −{} +{}", c.class, c.group.0, c.critical, c.left, c.joined)
            .expect("memory");
    }
    out
}

#[test]
fn ratio_keeps_what_some_class_wants_most() {
    let (_, groups) = network();
    let table = relevance(&groups, [[0.0, 1.0, 2.0, 7.0], [60.0, 20.0, 10.0, 10.0], [0.0; 4]]);
    let route = by_ratio(&table, &groups, &[1, 0], 0.5, &RouteOptions::default()).unwrap();
    insta::assert_snapshot!(text(&route), @r"
    set ## #..# #..# ###
    class 1 ## ##.. ##.. ###
    class 0 ## ..## ..## ###
    ");
}

#[test]
fn odd_scores_are_harmless() {
    let (_, groups) = network();
    let bad = f64::NAN;
    let table = relevance(&groups, [[bad, f64::INFINITY, 1.0, 1.0], [0.0; 4], [3.0; 4]]);
    let route = by_ratio(&table, &groups, &[0, 1, 2], 0.5, &RouteOptions::default()).unwrap();
    insta::assert_snapshot!(text(&route), @r"
    set ## ..## ..## ###
    class 0 ## ..## ..## ###
    class 1 ## ##.. ##.. ###
    class 2 ## ##.. ##.. ###
    ");
    let route = by_threshold(&table, &groups, &[1], 0.5, &RouteOptions::default()).unwrap();
    assert_eq!(route.keep[1], [true, false, false, false], "an all-zero row keeps one channel");
}

#[test]
fn threshold_is_relative_to_the_largest_score_and_unites_classes() {
    let (_, groups) = network();
    let table = relevance(&groups, [[1.0, 10.0, 4.0, 5.0], [0.5, 0.1, 1.0, 0.0], [1.0; 4]]);
    let route = by_threshold(&table, &groups, &[0, 1], 0.5, &RouteOptions::default()).unwrap();
    insta::assert_snapshot!(text(&route), @r"
    set ## #### #### ###
    class 0 ## .#.# .#.# ###
    class 1 ## #.#. #.#. ###
    ");
}

#[test]
fn analysis_drops_dead_ends_and_takes_in_carriers() {
    let (_, groups) = network();
    // Critical to every class: channels 0, 1 and 2 of both layers.
    let mut table = relevance(&groups, [[9.0, 8.0, 7.0, 1.0]; 3]);
    table.links = vec![
        // a.1 is fed by nothing.
        layer("a", (0, 2), (1, 4), &[(0, 0), (1, 2), (0, 3)]),
        // a.2 is read by nothing; b.2 is fed by nothing; b.3 is not critical but carries a.0 to the logit.
        layer("b", (1, 4), (2, 4), &[(0, 0), (1, 1), (0, 3)]),
        layer("fc", (2, 4), (3, 3), &[(0, 0), (1, 0), (2, 0), (3, 0)]),
    ];
    let route = by_threshold(&table, &groups, &[0], 0.5, &RouteOptions::default()).unwrap();
    insta::assert_snapshot!(text(&route), @r"
    set ## #... #..# ###
    class 0 ## #... #..# ###
    class 0 group 1: 3 −2 +0
    class 0 group 2: 3 −2 +1
    ");
    // A ratio keeps its size: channels on the route come first, the best others fill up.
    let route = by_ratio(&table, &groups, &[0], 0.75, &RouteOptions::default()).unwrap();
    assert_eq!(route.keep[1], [true, true, true, false]);
    assert_eq!(route.keep[2], [true, true, false, true]);
    // Nothing leads to class 1: the plain scores decide.
    let route = by_ratio(&table, &groups, &[1], 0.5, &RouteOptions::default()).unwrap();
    assert_eq!(route.keep[2], [true, true, false, false]);
    let none = RouteOptions { link_factor: None, ..RouteOptions::default() };
    assert!(by_ratio(&table, &groups, &[0], 0.5, &none).unwrap().changes.is_empty());
}

#[test]
fn tables_of_another_graph_and_bad_numbers_are_refused() {
    let (_, groups) = network();
    let table = relevance(&groups, [[1.0; 4]; 3]);
    let options = RouteOptions::default();
    let code = |table: &Relevance, classes: &[usize], ratio| {
        by_ratio(table, &groups, classes, ratio, &options).unwrap_err().code
    };
    assert_eq!(code(&table, &[0], 0.0), "route/ratio");
    assert_eq!(code(&table, &[0], f64::NAN), "route/ratio");
    assert_eq!(code(&table, &[], 0.5), "route/no-classes");
    assert_eq!(code(&table, &[3], 0.5), "route/class-range");
    let mut other = table.clone();
    other.groups[1].name = "z".into();
    assert_eq!(code(&other, &[0], 0.5), "route/stale-relevance");
    let mut other = table.clone();
    other.groups[1].scores[0].pop();
    assert_eq!(code(&other, &[0], 0.5), "route/stale-relevance");
    let mut other = table.clone();
    other.links = vec![layer("a", (0, 2), (7, 4), &[])];
    assert_eq!(code(&other, &[0], 0.5), "route/stale-links");
    assert_eq!(by_threshold(&table, &groups, &[0], 2.0, &options).unwrap_err().code, "route/threshold");
}
