//! Convolutions forward and backward against naive loops: every window, large planes, many short rows.

use fratc::exec::{Batch, Network, Want};
use fratc::ir::op::{Conv, Op, Window};
use fratc::ir::{Graph, NodeId, Shape};

use crate::random_graph::Random;

/// A random convolution with its input, or `None` where the window does not fit.
fn random_case(random: &mut Random, case: usize) -> Option<(Graph, Conv, Batch<f64>, Batch<f64>)> {
    let axes = |random: &mut Random, most: usize| [random.range(1, most), random.range(1, most)];
    let window = Window {
        kernel: axes(random, 4),
        stride: axes(random, 3),
        dilation: axes(random, 2),
        pad: std::array::from_fn(|_| random.below(4)),
    };
    // Some planes do not fit into what is worked on at a time, some rows are short and many.
    let large = case.is_multiple_of(20);
    let (h, w) = if large { (random.range(40, 90), random.range(200, 400)) } else { axes(random, 12).into() };
    let (inputs, outputs, groups) = if random.chance(25) {
        // One channel to a group, and one to four made of it.
        let groups = random.range(2, 6);
        (groups, groups * random.range(1, 4), groups)
    } else {
        let groups = if random.chance(20) { 2 } else { 1 };
        let outputs = groups * if random.chance(30) { random.range(64, 70) } else { random.range(1, 20) };
        (groups * random.range(2, if large { 14 } else { 5 }), outputs, groups)
    };
    let samples = if random.chance(30) { random.range(8, 20) } else { random.range(1, 4) };
    let input = Shape::new(inputs, h, w);
    let out = Shape { c: outputs, ..window.infer_shape(input).ok()? };
    let area = window.kernel[0] * window.kernel[1];
    let weight = random.values(outputs * inputs / groups * area, 1.0);
    let bias = random.values(outputs, 1.0);
    let conv = Conv { out_channels: outputs, in_channels: inputs, groups, window, weight, bias };
    let mut graph = Graph::new("input", input);
    let node = graph.push("conv", Op::Conv(conv.clone()), &[NodeId(0)]).expect("fits");
    graph.push("flat", Op::Flatten, &[node]).expect("fits");
    Some((graph, conv, random.batch(input, samples), random.batch(out, samples)))
}

/// The result for `x`, and the gradients of input and weights of the sum of result times `g`, as the formula says.
fn naive(conv: &Conv, x: &Batch<f64>, g: &Batch<f64>) -> [Vec<f64>; 3] {
    let (input, out, n) = (x.shape, g.shape, x.n);
    let [kh, kw] = conv.window.kernel;
    let (reads, makes) = (conv.in_channels / conv.groups, conv.out_channels / conv.groups);
    let (mut y, mut dx, mut dw) = (vec![0.0; g.data.len()], vec![0.0; x.data.len()], vec![0.0; conv.weight.len()]);
    for o in 0..out.c {
        for (sample, place) in (0..n).flat_map(|s| (0..out.plane()).map(move |place| (s, place))) {
            let at = (o * n + sample) * out.plane() + place;
            y[at] = f64::from(conv.bias[o]);
            for (c, tap) in (0..reads).flat_map(|c| (0..kh * kw).map(move |tap| (c, tap))) {
                let row = conv.window.source(0, place / out.w, tap / kw, input.h);
                let column = conv.window.source(1, place % out.w, tap % kw, input.w);
                let (Some(row), Some(column)) = (row, column) else { continue };
                let weight = (o * reads + c) * kh * kw + tap;
                let from = (((o / makes * reads + c) * n + sample) * input.h + row) * input.w + column;
                y[at] += f64::from(conv.weight[weight]) * x.data[from];
                dx[from] += f64::from(conv.weight[weight]) * g.data[at];
                dw[weight] += x.data[from] * g.data[at];
            }
        }
    }
    [y, dx, dw]
}

fn far(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, |worst, d| if d > worst || d.is_nan() { d } else { worst })
}

#[test]
fn random_convolutions_match_naive_loops_forward_and_backward() {
    let mut random = Random::new(17);
    let (mut checked, mut depthwise) = (0, 0);
    for case in 0..400 {
        let Some((graph, conv, x, g)) = random_case(&mut random, case) else { continue };
        let [y, dx, dw] = naive(&conv, &x, &g);
        let network = Network::<f64>::new(&graph).expect("verifies");
        let acts = network.forward(&x).expect("runs");
        let what = format!("case {case}: {:?}, {} samples of {}, {} channels", conv.window, x.n, x.shape, g.shape.c);
        assert!(far(&acts.get(NodeId(1)).data, &y) < 1e-11, "{what}, forward");
        let want = Want { input: true, params: true, ..Want::default() };
        let gradients = network.backward(&acts, &[(NodeId(1), g)], want).expect("runs");
        assert!(far(&gradients.node(NodeId(0)).expect("wanted").data, &dx) < 1e-11, "{what}, backward");
        // A large plane has a sum of a hundred thousand products.
        let most = if case.is_multiple_of(20) { 1e-9 } else { 1e-11 };
        let weight = &gradients.params(NodeId(1)).expect("wanted").weight;
        assert!(far(weight, &dw) < most, "{what}, weights: {}", far(weight, &dw));
        checked += 1;
        depthwise += usize::from(conv.groups == conv.in_channels && conv.groups > 1);
    }
    assert!(checked > 250 && depthwise > 50, "only {checked} windows fit, {depthwise} with one channel to a group");
}

/// Each sum is taken in the same order, whatever is computed beside it: one sample alone gives the bits it has in a batch.
#[test]
fn a_sample_has_the_same_bits_alone_and_among_others() {
    let mut random = Random::new(5);
    for case in 1..60 {
        let Some((graph, conv, x, _)) = random_case(&mut random, case) else { continue };
        let narrow = |batch: &Batch<f64>, n: usize, data: Vec<f64>| {
            Batch::new(batch.shape, n, data.iter().map(|&v| v as f32).collect()).expect("fits")
        };
        let network = Network::<f32>::new(&graph).expect("verifies");
        let all = network.forward(&narrow(&x, x.n, x.data.clone())).expect("runs");
        for sample in 0..x.n {
            let alone = network.forward(&narrow(&x, 1, x.sample(sample))).expect("runs");
            let (alone, among) = (alone.get(NodeId(1)).sample(0), all.get(NodeId(1)).sample(sample));
            assert!(alone == among, "case {case}: {:?}, sample {sample} of {}", conv.window, x.n);
        }
    }
}
