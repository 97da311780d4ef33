//! Fits that compare sizes: every layer on its own, from sums of the source taken once.

use std::ops::Range;

use fratc::assemble::{Assembled, assemble, may_vanish, settle};
use fratc::diag::Result;
use fratc::exec::{Batch, Network};
use fratc::ir::groups::channel_groups;
use fratc::ir::op::{Conv, Dense, Op, Window};
use fratc::ir::{Graph, Shape};
use fratc::refit::{Independent, RefitOptions, refit};
use fratc::route::Route;

use crate::random_graph::{Random, random_graph, random_masks};

const SAMPLES: usize = 160;

/// Random inputs of any range of samples, the same for each sample whoever asks.
fn inputs(shape: Shape, range: Range<usize>) -> Batch<f32> {
    let one = |i: usize| Random::new(77 + i as u64).batch(shape, 1).data;
    let samples: Vec<Vec<f64>> = range.clone().map(one).collect();
    let plane = shape.plane();
    let channel = |c: usize| samples.iter().flat_map(move |s| &s[c * plane..(c + 1) * plane]).map(|&v| v as f32);
    Batch::new(shape, range.len(), (0..shape.c).flat_map(channel).collect()).expect("the sizes agree")
}

fn independent(graph: &Graph) -> Independent<'_> {
    let shape = graph.shape(graph.input());
    let sums = Independent::new(graph, SAMPLES, &|range| Ok(inputs(shape, range)), 1);
    sums.expect("runs").expect("little memory")
}

/// Mean square of the difference to the source's logits of `classes`, on fresh inputs.
fn error(graph: &Graph, small: &Graph, classes: &[usize]) -> f64 {
    let input = inputs(graph.shape(graph.input()), 100_000..100_000 + 256);
    let whole = Network::<f32>::new(graph).expect("runs").forward(&input).expect("runs");
    let cut = Network::<f32>::new(small).expect("runs").forward(&input).expect("runs");
    let pair = |(i, &class): (usize, &usize)| {
        let (a, b) = (whole.get(graph.logits()).channel(class), cut.get(small.logits()).channel(i));
        a.iter().zip(b).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>()
    };
    classes.iter().enumerate().map(pair).sum::<f64>() / (256 * classes.len()) as f64
}

/// A random cut of a random graph; with `vanish`, some groups that may go are gone.
fn cut(graph: &Graph, seed: u64, vanish: bool) -> Option<Assembled> {
    let groups = channel_groups(graph);
    let mut random = Random::new(300 + seed);
    let mut masks = random_masks(&groups, &mut random);
    if vanish {
        let may = may_vanish(graph, &groups);
        masks.iter_mut().zip(may).filter(|(_, may)| *may && random.chance(50)).for_each(|(mask, _)| mask.fill(false));
        settle(graph, &groups, &mut masks).ok()?;
        masks.iter().any(|mask| !mask.contains(&true)).then_some(())?;
    }
    assemble(graph, &groups, &Route::from_masks(&groups, masks).ok()?, &[2, 0]).ok()
}

#[test]
fn cuts_of_every_op_come_nearer_to_their_source() {
    for (vanish, least) in [(false, 40), (true, 15)] {
        let (mut cuts, mut worse, mut before, mut after) = (0, 0, 0.0, 0.0);
        for seed in 0..80 {
            let graph = random_graph(seed);
            let Some(small) = cut(&graph, seed, vanish) else { continue };
            let fitted = independent(&graph).fit(&small).expect("fits");
            let [sliced, fitted] = [&small.graph, &fitted].map(|g| error(&graph, g, &[2, 0]));
            worse += usize::from(fitted > 1.2 * sliced + 1e-9);
            cuts += 1;
            before += sliced;
            after += fitted;
        }
        // As no layer knows what those before it got wrong, single ones may lose.
        assert!(cuts >= least && worse * 10 <= cuts, "{worse} worse of {cuts} networks");
        assert!(after < 0.5 * before, "vanished blocks {vanish}: {before} to {after}");
    }
}

/// Two convolutions and a dense layer, on maps small enough that a fit takes every position.
fn chain() -> Graph {
    let mut random = Random::new(5);
    let mut graph = Graph::new("x", Shape::new(2, 3, 3));
    let mut at = graph.input();
    for (name, from, to) in [("a", 2, 8), ("b", 8, 4)] {
        let window = Window { pad: [1; 4], ..Window::new([3, 3]) };
        let (weight, bias) = (random.values(to * from * 9, 0.4), random.values(to, 0.1));
        let conv = Op::Conv(Conv { out_channels: to, in_channels: from, groups: 1, window, weight, bias });
        at = graph.push(name, conv, &[at]).expect("the shapes fit");
        at = graph.push(format!("relu_{name}"), Op::Relu, &[at]).expect("the shapes fit");
    }
    let flat = graph.push("flat", Op::Flatten, &[at]).expect("the shapes fit");
    let dense = Dense { out_features: 3, in_features: 36, weight: random.values(108, 0.2), bias: vec![0.0; 3] };
    graph.push("fc", Op::Dense(dense), &[flat]).expect("the shapes fit");
    graph
}

/// [`chain`] with the channels `keep` of its first group.
fn of_chain(graph: &Graph, keep: &[usize]) -> Assembled {
    let groups = channel_groups(graph);
    let mut masks = Route::whole(&groups).keep;
    let first = groups.groups.iter().position(|g| g.channels == 8).expect("the first group");
    masks[first] = (0..8).map(|c| keep.contains(&c)).collect();
    let route = Route::from_masks(&groups, masks).expect("masks of the graph");
    assemble(graph, &groups, &route, &[0, 1, 2]).expect("some channels are left")
}

#[test]
fn where_one_group_is_cut_the_fit_is_that_of_layers_in_order() {
    let graph = chain();
    let shape = graph.shape(graph.input());
    let small = of_chain(&graph, &[0, 2, 3, 5, 6]);
    let sums = independent(&graph);
    let own = sums.fit(&small).expect("fits");
    let options = RefitOptions { quick: true, ..RefitOptions::default() };
    let given = |range: Range<usize>| -> Result<Batch<f32>> { Ok(inputs(shape, range)) };
    let in_order = refit(&graph, &small, SAMPLES, &given, &options).expect("fits").graph;
    // The layer behind the cut sees what the source sees; the dense layer after it has nothing cut, and is fitted by
    // the other to what the convolution leaves wrong.
    let weights = |graph: &Graph| match &graph.nodes[3].op {
        Op::Conv(conv) => [conv.weight.clone(), conv.bias.clone()].concat(),
        op => panic!("{}", op.name()),
    };
    let (own, in_order, sliced) = (weights(&own), weights(&in_order), weights(&small.graph));
    let apart = |a: &[f32], b: &[f32]| a.iter().zip(b).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
    assert!(apart(&own, &in_order) < 1e-4 && apart(&own, &sliced) > 0.01, "{}", apart(&own, &in_order));
    // What is remembered is what was solved.
    sums.fit(&of_chain(&graph, &[0, 2])).expect("fits");
    assert_eq!(weights(&sums.fit(&small).expect("fits")), own);
}

#[test]
fn sums_do_not_depend_on_the_thread_count() {
    let graph = random_graph(11);
    let small = cut(&graph, 11, false).expect("a cut");
    let fit = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| independent(&graph).fit(&small).expect("fits"))
    };
    let one = fit(1);
    assert!(one == fit(2) && one == fit(3), "results differ");
}
