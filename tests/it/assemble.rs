//! A sliced network computes what the whole network computes with dropped channels set to zero.

use std::collections::BTreeSet;

use fratc::assemble::{assemble, may_vanish, settle};
use fratc::exec::Network;
use fratc::ir::groups::{GroupKind, Groups, channel_groups};
use fratc::ir::op::{Affine, Conv, Dense, Op, Window};
use fratc::ir::{Graph, NodeId, Shape};
use fratc::route::Route;

use crate::random_graph::{Random, random_graph, random_masks};
use crate::shared::shared;

/// `graph` with a mask of zeros and ones in front of every layer that makes its own channels.
///
/// Also returns where each node of `graph` went.
fn masked(graph: &Graph, groups: &Groups, masks: &[Vec<bool>]) -> (Graph, Vec<NodeId>) {
    let mut out = Graph::new(&graph.nodes[0].name, graph.nodes[0].shape);
    let mut new_id = vec![NodeId(0)];
    for id in graph.ids().skip(1) {
        let node = graph.node(id);
        let mut inputs: Vec<NodeId> = node.inputs.iter().map(|i| new_id[i.index()]).collect();
        let reads_all = match &node.op {
            Op::Conv(conv) => conv.groups == 1,
            Op::Dense(_) => true,
            _ => false,
        };
        if reads_all {
            let refs = groups.of(node.inputs[0]);
            let scale =
                refs.iter().map(|r| f64::from(u8::from(masks[r.group.index()][r.index as usize]))).collect::<Vec<_>>();
            let shift = vec![0.0; scale.len()];
            let mask = Op::Affine(Affine { scale, shift });
            inputs[0] = out.push(format!("mask of {}", node.name), mask, &inputs).expect("a mask fits its node");
        }
        new_id.push(out.push(node.name.as_str(), node.op.clone(), &inputs).expect("the same node again"));
    }
    out.output = new_id[graph.output.index()];
    (out, new_id)
}

fn random_classes(all: usize, random: &mut Random) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..all).collect();
    for i in (1..all).rev() {
        classes.swap(i, random.below(i + 1));
    }
    classes.truncate(random.range(1, all));
    classes
}

/// Largest difference between sliced and masked scores, relative to the largest score.
pub fn difference(graph: &Graph, masks: Vec<Vec<bool>>, classes: &[usize], random: &mut Random, n: usize) -> f64 {
    let groups = channel_groups(graph);
    let (whole, place) = masked(graph, &groups, &masks);
    let route = Route::from_masks(&groups, masks).expect("masks of the right size");
    let assembled = assemble(graph, &groups, &route, classes).expect("assembles");
    assert_eq!(assembled.graph.classes(), classes.len());
    assert_eq!(assembled.origins.len(), assembled.graph.nodes.len());
    let input = random.batch(graph.shape(graph.input()), n);
    let all = Network::<f64>::new(&whole).expect("runs").forward(&input).expect("runs");
    let logits = all.get(place[graph.logits().index()]);
    let small = Network::<f64>::new(&assembled.graph).expect("runs").forward(&input).expect("runs");
    let (mut worst, mut largest) = (0.0f64, 1e-3f64);
    for s in 0..n {
        let want: Vec<f64> = classes.iter().map(|&c| logits.plane(c, s)[0]).collect();
        let got = small.get(assembled.graph.logits()).sample(s);
        for (w, g) in want.iter().zip(&got) {
            worst = worst.max((w - g).abs());
            largest = largest.max(w.abs());
        }
        if graph.node(graph.output).op == Op::Softmax {
            let total: f64 = want.iter().map(|w| w.exp()).sum();
            let got = small.get(assembled.graph.output).sample(s);
            for (w, g) in want.iter().zip(&got) {
                worst = worst.max((w.exp() / total - g).abs());
            }
        }
    }
    check_origins(graph, &assembled.graph, &assembled.origins);
    worst / largest
}

/// Every layer's weights are the source's at the channels that its origin names.
fn check_origins(source: &Graph, small: &Graph, origins: &[fratc::ir::Origin]) {
    for (node, origin) in small.nodes.iter().zip(origins) {
        assert_eq!(node.shape.c, origin.channels.len(), "{}", node.name);
        let Some(from) = origin.source else { continue };
        match (&node.op, &source.node(from).op) {
            (Op::Dense(new), Op::Dense(old)) => {
                for (o, &so) in origin.channels.iter().enumerate() {
                    for (i, &si) in origin.features.iter().enumerate() {
                        let (so, si) = (so as usize, si as usize);
                        assert_eq!(new.weight.get(o * new.in_features + i), old.weight.get(so * old.in_features + si));
                    }
                }
            }
            // A block or gate that went leaves a scale and a shift.
            (Op::Affine(_), Op::Add | Op::Gate) => {}
            (Op::Conv(new), Op::Conv(_)) => assert_eq!(new.in_channels, origin.features.len()),
            (new, old) => assert_eq!(new.name(), old.name()),
        }
    }
}

#[test]
fn sliced_equals_masked_on_random_graphs_of_every_op() {
    let mut ops = BTreeSet::new();
    let (mut cut, mut picked) = (0, 0);
    for seed in 0..400 {
        let graph = random_graph(seed);
        let mut random = Random::new(1000 + seed);
        let groups = channel_groups(&graph);
        let masks = random_masks(&groups, &mut random);
        let classes = random_classes(graph.classes(), &mut random);
        cut += masks.iter().flatten().filter(|k| !**k).count();
        picked += usize::from(groups.sliceable_head(&graph).is_none());
        ops.extend(graph.nodes.iter().map(|n| n.op.name()));
        ops.extend(graph.nodes.iter().filter_map(|n| match &n.op {
            Op::Conv(conv) if conv.is_depthwise() => Some("depthwise"),
            Op::Conv(conv) if conv.groups > 1 => Some("grouped"),
            _ => None,
        }));
        let worst = difference(&graph, masks, &classes, &mut random, 3);
        assert!(worst < 1e-5, "seed {seed}: {worst}\n{graph}");
    }
    assert_eq!(ops.len(), 21, "every operation occurs: {ops:?}");
    assert!(cut > 1500 && (40..360).contains(&picked), "{cut} channels cut, {picked} heads picked");
}

#[test]
fn vanished_groups_equal_masked_ones_on_random_graphs_of_every_op() {
    let (mut gone, mut fewer, mut refused) = (0, 0, 0);
    for seed in 0..400 {
        let graph = random_graph(seed);
        let mut random = Random::new(2000 + seed);
        let groups = channel_groups(&graph);
        let mut masks = random_masks(&groups, &mut random);
        let may = may_vanish(&graph, &groups);
        for (mask, _) in masks.iter_mut().zip(may).filter(|(_, may)| *may) {
            if random.chance(40) {
                mask.fill(false);
            }
        }
        let before = masks.iter().filter(|mask| !mask.contains(&true)).count();
        if settle(&graph, &groups, &mut masks).is_err() {
            refused += 1;
            continue;
        }
        let classes = random_classes(graph.classes(), &mut random);
        let route = Route::from_masks(&groups, masks.clone()).expect("masks of the right size");
        let small = match assemble(&graph, &groups, &route, &classes) {
            Ok(small) => small,
            Err(diag) => {
                assert_eq!(diag.code, "assemble/dead-end", "seed {seed}");
                refused += 1;
                continue;
            }
        };
        gone += before;
        fewer += graph.nodes.len().saturating_sub(small.graph.nodes.len());
        let worst = difference(&graph, masks, &classes, &mut random, 3);
        assert!(worst < 1e-5, "seed {seed}: {worst}\n{graph}");
    }
    assert!(gone > 100 && fewer > 200, "{gone} groups and {fewer} nodes went");
    assert!(refused < 200, "{refused} of 400 refused");
}

/// A stem, a residual block behind a shortcut with a layer of its own, one behind a plain one, two branches side by side.
pub fn blocks() -> Graph {
    let mut random = Random::new(11);
    let mut graph = Graph::new("x", Shape::new(2, 6, 6));
    let mut conv = |graph: &mut Graph, name: &str, from: NodeId, out: usize, kernel: usize| {
        let input = graph.shape(from).c;
        let window = Window { pad: [kernel / 2; 4], ..Window::new([kernel, kernel]) };
        let weight = random.values(out * input * kernel * kernel, 0.3);
        let bias = random.values(out, 0.2);
        let op = Op::Conv(Conv { out_channels: out, in_channels: input, groups: 1, window, weight, bias });
        graph.push(name, op, &[from]).expect("the shapes fit")
    };
    let relu =
        |graph: &mut Graph, from: NodeId| graph.push(format!("relu{}", from.0), Op::Relu, &[from]).expect("fits");
    let stem = conv(&mut graph, "stem", NodeId(0), 4, 3);
    let stem = relu(&mut graph, stem);
    let inner = conv(&mut graph, "inner1", stem, 5, 3);
    let inner = relu(&mut graph, inner);
    let outer = conv(&mut graph, "outer1", inner, 6, 3);
    let shortcut = conv(&mut graph, "shortcut", stem, 6, 1);
    let sum = graph.push("sum1", Op::Add, &[outer, shortcut]).expect("fits");
    let first = relu(&mut graph, sum);
    let inner = conv(&mut graph, "inner2", first, 4, 3);
    let inner = relu(&mut graph, inner);
    let outer = conv(&mut graph, "outer2", inner, 6, 3);
    let sum = graph.push("sum2", Op::Add, &[first, outer]).expect("fits");
    let second = relu(&mut graph, sum);
    let left = conv(&mut graph, "left", second, 3, 1);
    let reduce = conv(&mut graph, "reduce", second, 2, 1);
    let right = conv(&mut graph, "right", reduce, 4, 3);
    let both = graph.push("both", Op::Concat, &[left, right]).expect("fits");
    let last = conv(&mut graph, "last", both, 5, 1);
    let pooled = graph.push("pool", Op::GlobalAvgPool, &[last]).expect("fits");
    let dense = Dense { out_features: 3, in_features: 5, weight: Random::new(3).values(15, 0.5), bias: vec![0.1; 3] };
    graph.push("fc", Op::Dense(dense), &[pooled]).expect("fits");
    graph
}

#[test]
fn blocks_and_branches_go_as_a_whole() {
    let graph = blocks();
    let groups = channel_groups(&graph);
    let named = |name: &str| groups.groups.iter().position(|g| g.name == name).expect("a group");
    let may: Vec<&str> = groups
        .groups
        .iter()
        .zip(may_vanish(&graph, &groups))
        .filter(|(_, may)| *may)
        .map(|(g, _)| g.name.as_str())
        .collect();
    assert_eq!(may, ["inner1", "inner2", "left", "reduce", "right"]);
    let without = |names: &[&str]| {
        let mut masks = Route::whole(&groups).keep;
        for name in names {
            masks[named(name)].fill(false);
        }
        settle(&graph, &groups, &mut masks).expect("no dead end");
        let worst = difference(&graph, masks.clone(), &[2, 0], &mut Random::new(1), 4);
        assert!(worst < 1e-5, "{names:?}: {worst}");
        let route = Route::from_masks(&groups, masks.clone()).expect("masks of the right size");
        let small = assemble(&graph, &groups, &route, &[2, 0]).expect("assembles").graph;
        let gone = groups.groups.iter().zip(&masks).filter(|(_, mask)| !mask.contains(&true));
        (small, gone.map(|(g, _)| g.name.clone()).collect::<Vec<_>>())
    };
    let has = |graph: &Graph, name: &str| graph.nodes.iter().find(|n| n.name == name).map(|n| n.op.name());
    let (small, gone) = without(&["inner1"]);
    assert_eq!((has(&small, "outer1"), has(&small, "sum1"), gone.len()), (None, Some("Affine"), 1));
    let (small, _) = without(&["inner2"]);
    assert_eq!((has(&small, "outer2"), has(&small, "sum2")), (None, Some("Affine")));
    // With the narrow layer goes what reads it, and what is side by side with nothing stands alone.
    let (small, gone) = without(&["reduce"]);
    assert_eq!(gone, ["reduce", "right"]);
    assert_eq!((has(&small, "right"), has(&small, "both")), (None, None));
    // What nothing reads goes too.
    assert_eq!(without(&["right"]).1, ["reduce", "right"]);
    assert_eq!(without(&["inner1", "inner2", "left"]).1, ["inner1", "inner2", "left"]);
    let mut masks = Route::whole(&groups).keep;
    masks[named("left")].fill(false);
    masks[named("right")].fill(false);
    assert_eq!(settle(&graph, &groups, &mut masks).unwrap_err().code, "assemble/dead-end");
}

#[test]
fn sliced_equals_masked_on_the_shared_models() {
    let names = [
        "cnn_fmnist",
        "dscnn_emnist",
        "dscnn_kws",
        "incep_cifar",
        "mobilenetv1_vww",
        "resnet8_cifar10",
        "resnet8_cifar10_nhwc",
        "resnet8_large_cifar10",
        "vgg_cifar",
    ];
    for (seed, name) in names.into_iter().enumerate() {
        let Some(path) = shared(&format!("models/{name}.onnx")) else { return };
        let graph = fratc::load::load(&path).unwrap().graph;
        let groups = channel_groups(&graph);
        assert!(groups.sliceable_head(&graph).is_some(), "{name}");
        let mut random = Random::new(seed as u64);
        let masks = random_masks(&groups, &mut random);
        let classes = random_classes(graph.classes(), &mut random);
        let worst = difference(&graph, masks, &classes, &mut random, 2);
        assert!(worst < 1e-5, "{name}: {worst}");
    }
}

#[test]
fn keeping_everything_changes_nothing() {
    for seed in 0..20 {
        let graph = random_graph(seed);
        let groups = channel_groups(&graph);
        let classes: Vec<usize> = (0..graph.classes()).collect();
        let assembled = assemble(&graph, &groups, &Route::whole(&groups), &classes).unwrap();
        assert_eq!(assembled.graph, graph, "seed {seed}");
    }
}

#[test]
fn a_flattened_map_as_logits_is_picked_from() {
    let mut graph = Graph::new("x", Shape::new(2, 1, 2));
    graph.push("flat", Op::Flatten, &[NodeId(0)]).unwrap();
    let groups = channel_groups(&graph);
    let assembled = assemble(&graph, &groups, &Route::whole(&groups), &[3, 0]).unwrap();
    insta::assert_snapshot!(assembled.graph, @r#"
    %0 = Input -> [1, 2, 2] "x"
    %1 = Flatten %0 -> [1, 1, 4] "flat"
    %2 = Dense %1 -> [1, 1, 2] "classes"
    output %2
    "#);
    assert_eq!(assembled.origins[2].source, None);
    assert_eq!(assembled.origins[2].channels, [3, 0]);
}

#[test]
fn bad_requests_are_named() {
    let mut graph = Graph::new("x", Shape::vector(2));
    let dense = Dense { out_features: 3, in_features: 2, weight: vec![1.0; 6], bias: vec![0.0; 3] };
    graph.push("a", Op::Dense(dense.clone()), &[NodeId(0)]).unwrap();
    let dense = Dense { in_features: 3, weight: vec![1.0; 9], ..dense };
    graph.push("b", Op::Dense(dense), &[NodeId(1)]).unwrap();
    let groups = channel_groups(&graph);
    let whole = Route::whole(&groups);
    let code = |classes: &[usize]| assemble(&graph, &groups, &whole, classes).unwrap_err().code;
    assert_eq!(code(&[]), "assemble/no-classes");
    assert_eq!(code(&[3]), "assemble/class-range");
    assert_eq!(code(&[1, 1]), "assemble/class-twice");
    let hidden = groups.groups.iter().position(|g| g.kind == GroupKind::Hidden).unwrap();
    let mut masks = whole.keep.clone();
    masks[hidden].fill(false);
    let nothing = Route::from_masks(&groups, masks.clone()).unwrap();
    assert_eq!(assemble(&graph, &groups, &nothing, &[0, 1]).unwrap_err().code, "assemble/dead-end");
    let head = groups.groups.iter().position(|g| g.kind == GroupKind::Head).unwrap();
    let mut headless = whole.keep.clone();
    headless[head].fill(false);
    assert_eq!(Route::from_masks(&groups, headless).unwrap_err().code, "route/empty-group");
    masks[hidden].pop();
    assert_eq!(Route::from_masks(&groups, masks).unwrap_err().code, "route/channels");
}
