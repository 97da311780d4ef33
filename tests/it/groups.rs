//! Channel groups of hand-made graphs, one per way of tying channels.

use std::fmt::Write as _;

use fratc::ir::groups::{GroupKind, Groups, channel_groups};
use fratc::ir::op::{Affine, Conv, Dense, Op, Window};
use fratc::ir::{Graph, NodeId, Shape};

fn conv(input: usize, out: usize, groups: usize) -> Op {
    Op::Conv(Conv {
        out_channels: out,
        in_channels: input,
        groups,
        window: Window::new([1, 1]),
        weight: vec![0.5; out * input / groups],
        bias: vec![0.0; out],
    })
}

fn dense(input: usize, out: usize) -> Op {
    Op::Dense(Dense { out_features: out, in_features: input, weight: vec![0.5; out * input], bias: vec![0.0; out] })
}

/// One line a group: name, kind, channels, producers; then the channels of the nodes in `show`.
fn text(graph: &Graph, groups: &Groups, show: &[NodeId]) -> String {
    graph.verify().expect("test graphs are valid");
    let mut out = String::new();
    for group in &groups.groups {
        let names: Vec<&str> = group.producers.iter().map(|&id| graph.node(id).name.as_str()).collect();
        writeln!(out, "{} {:?} {} [{}]", group.name, group.kind, group.channels, names.join(" ")).expect("memory");
    }
    for &id in show {
        let refs: Vec<String> = groups.of(id).iter().map(|c| format!("{}.{}", c.group.0, c.index)).collect();
        writeln!(out, "{}: {}", graph.node(id).name, refs.join(" ")).expect("memory");
    }
    out
}

#[test]
fn residual_add_ties_and_affine_follows() {
    let mut g = Graph::new("x", Shape::new(3, 2, 2));
    let a = g.push("a", conv(3, 4, 1), &[NodeId(0)]).unwrap();
    let bn = g.push("bn", Op::Affine(Affine { scale: vec![1.0; 4], shift: vec![0.0; 4] }), &[a]).unwrap();
    let b = g.push("b", conv(4, 4, 1), &[bn]).unwrap();
    let add = g.push("add", Op::Add, &[bn, b]).unwrap();
    let gap = g.push("gap", Op::GlobalAvgPool, &[add]).unwrap();
    g.push("fc", dense(4, 2), &[gap]).unwrap();
    let groups = channel_groups(&g);
    insta::assert_snapshot!(text(&g, &groups, &[add]), @r"
    x Input 3 []
    a Hidden 4 [a b]
    fc Head 2 [fc]
    add: 1.0 1.1 1.2 1.3
    ");
    assert!(groups.sliceable_head(&g).is_some());
}

#[test]
fn add_over_concat_splits_by_the_layers_that_make_the_channels() {
    let mut g = Graph::new("x", Shape::new(1, 2, 1));
    let a = g.push("a", conv(1, 2, 1), &[NodeId(0)]).unwrap();
    let b = g.push("b", conv(1, 3, 1), &[NodeId(0)]).unwrap();
    let cat = g.push("cat", Op::Concat, &[b, a]).unwrap();
    let d = g.push("d", conv(1, 5, 1), &[NodeId(0)]).unwrap();
    let add = g.push("add", Op::Add, &[cat, d]).unwrap();
    let flat = g.push("flat", Op::Flatten, &[add]).unwrap();
    g.push("fc", dense(10, 2), &[flat]).unwrap();
    let groups = channel_groups(&g);
    insta::assert_snapshot!(text(&g, &groups, &[d, flat]), @r"
    x Input 1 []
    a Hidden 2 [a d]
    b Hidden 3 [b d]
    fc Head 2 [fc]
    d: 2.0 2.1 2.2 1.0 1.1
    flat: 2.0 2.0 2.1 2.1 2.2 2.2 1.0 1.0 1.1 1.1
    ");
}

#[test]
fn depthwise_follows_its_input_and_grouped_keeps_whole_blocks() {
    let mut g = Graph::new("x", Shape::new(1, 2, 2));
    let a = g.push("a", conv(1, 4, 1), &[NodeId(0)]).unwrap();
    let dw = g.push("dw", conv(4, 8, 4), &[a]).unwrap();
    let b = g.push("b", conv(8, 4, 1), &[dw]).unwrap();
    let grouped = g.push("grouped", conv(4, 6, 2), &[b]).unwrap();
    let gap = g.push("gap", Op::GlobalAvgPool, &[grouped]).unwrap();
    let gate = g.push("gate", Op::Sigmoid, &[gap]).unwrap();
    let gated = g.push("gated", Op::Gate, &[grouped, gate]).unwrap();
    let pooled = g.push("pooled", Op::GlobalAvgPool, &[gated]).unwrap();
    g.push("fc", dense(6, 2), &[pooled]).unwrap();
    let groups = channel_groups(&g);
    insta::assert_snapshot!(text(&g, &groups, &[dw, b, gated]), @r"
    x Input 1 []
    a Hidden 4 [a dw]
    b Hidden 2 [b grouped]
    fc Head 2 [fc]
    dw: 1.0 1.0 1.1 1.1 1.2 1.2 1.3 1.3
    b: 2.0 2.0 2.1 2.1
    gated: 2.0 2.0 2.0 2.1 2.1 2.1
    ");
}

#[test]
fn a_head_that_a_layer_reads_or_that_is_tied_to_the_input_is_not_sliced() {
    let mut g = Graph::new("x", Shape::vector(4));
    let a = g.push("a", dense(4, 4), &[NodeId(0)]).unwrap();
    let b = g.push("b", dense(4, 4), &[a]).unwrap();
    g.push("add", Op::Add, &[a, b]).unwrap();
    let groups = channel_groups(&g);
    assert_eq!(groups.groups[1].kind, GroupKind::Head);
    assert_eq!(groups.groups[1].channels, 4);
    assert!(groups.sliceable_head(&g).is_none());

    let mut g = Graph::new("x", Shape::vector(4));
    let a = g.push("a", dense(4, 4), &[NodeId(0)]).unwrap();
    g.push("add", Op::Add, &[a, NodeId(0)]).unwrap();
    let groups = channel_groups(&g);
    assert_eq!(groups.groups[0].kind, GroupKind::Input);
    assert!(groups.sliceable_head(&g).is_none());
}

#[test]
fn logits_from_two_layers_tie_when_added_and_stay_apart_when_joined() {
    let mut g = Graph::new("x", Shape::vector(3));
    let a = g.push("a", dense(3, 2), &[NodeId(0)]).unwrap();
    let b = g.push("b", dense(3, 2), &[NodeId(0)]).unwrap();
    let add = g.push("add", Op::Add, &[a, b]).unwrap();
    g.push("softmax", Op::Softmax, &[add]).unwrap();
    assert!(channel_groups(&g).sliceable_head(&g).is_some());
    g.push("joined", Op::Concat, &[a, b]).unwrap();
    let groups = channel_groups(&g);
    assert!(groups.groups.iter().skip(1).all(|group| group.kind == GroupKind::Head));
    assert!(groups.sliceable_head(&g).is_none());
}
