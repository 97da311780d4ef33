//! The engine against naive f64 loops and central finite differences.

use fratc::exec::{Batch, CHUNK, Network, Want, for_chunks};
use fratc::ir::op::{Affine, AvgPool, Clip, Conv, Dense, HardSigmoid, LeakyRelu, MaxPool, Op, Pad, Window};
use fratc::ir::{Graph, NodeId, Shape};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Numbers in −1..1 that differ from each other and from zero.
struct Numbers(ChaCha8Rng);

impl Numbers {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    fn next(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / f64::from(u32::MAX) * 2.0 - 1.0
    }

    fn f32s(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.next() as f32).collect()
    }

    fn batch(&mut self, shape: Shape, n: usize) -> Batch<f64> {
        let data = (0..shape.len() * n).map(|_| self.next()).collect();
        Batch::new(shape, n, data).expect("length fits")
    }
}

fn window(kernel: [usize; 2], stride: [usize; 2], dilation: [usize; 2], pad: [usize; 4]) -> Window {
    Window { kernel, stride, dilation, pad }
}

fn conv(numbers: &mut Numbers, out_channels: usize, in_channels: usize, groups: usize, window: Window) -> Op {
    let len = out_channels * in_channels / groups * window.kernel[0] * window.kernel[1];
    let (weight, bias) = (numbers.f32s(len), numbers.f32s(out_channels));
    Op::Conv(Conv { out_channels, in_channels, groups, window, weight, bias })
}

fn dense(numbers: &mut Numbers, out_features: usize, in_features: usize) -> Op {
    let (weight, bias) = (numbers.f32s(out_features * in_features), numbers.f32s(out_features));
    Op::Dense(Dense { out_features, in_features, weight, bias })
}

/// Input → op → flatten.
fn single(op: Op, input: Shape) -> Graph {
    let mut graph = Graph::new("input", input);
    let node = graph.push("op", op, &[NodeId(0)]).expect("op fits");
    graph.push("flat", Op::Flatten, &[node]).expect("flatten fits");
    graph
}

fn weighted_sum(graph: &Graph, x: &Batch<f64>, weights: &Batch<f64>) -> f64 {
    let y = Network::new(graph).expect("graph verifies").scores(x).expect("runs");
    y.data.iter().zip(&weights.data).map(|(a, b)| a * b).sum()
}

fn close(what: &str, got: f64, want: f64) {
    assert!((got - want).abs() <= 2e-5 * (1.0 + want.abs()), "{what}: got {got}, want {want}");
}

/// Compares every input and parameter gradient with central differences.
fn check_gradients(name: &str, graph: &Graph, seed: u64) {
    let mut numbers = Numbers::new(seed);
    let n = 2;
    let mut x = numbers.batch(graph.shape(graph.input()), n);
    let r = numbers.batch(graph.shape(graph.output), n);
    let network = Network::<f64>::new(graph).expect("graph verifies");
    let acts = network.forward(&x).expect("runs");
    let want = Want { activations: true, params: true, input: true };
    let grads = network.backward(&acts, &[(graph.output, r.clone())], want).expect("runs backward");

    let dx = grads.node(graph.input()).expect("input gradient was wanted").clone();
    for i in 0..x.data.len() {
        let (at, eps) = (x.data[i], 1e-5);
        x.data[i] = at + eps;
        let up = weighted_sum(graph, &x, &r);
        x.data[i] = at - eps;
        let down = weighted_sum(graph, &x, &r);
        x.data[i] = at;
        close(&format!("{name}: input {i}"), dx.data[i], (up - down) / (2.0 * eps));
    }
    for id in graph.ids() {
        let Some(grad) = grads.params(id) else {
            assert_eq!(graph.node(id).op.params(), 0, "{name}: node {} has no gradient", id.0);
            continue;
        };
        for (part, values) in [&grad.weight, &grad.bias].into_iter().enumerate() {
            for (i, &g) in values.iter().enumerate() {
                let (mut above, mut below) = (graph.clone(), graph.clone());
                let high = move_parameter(&mut above, id, part, i, 1e-3);
                let low = move_parameter(&mut below, id, part, i, -1e-3);
                let (up, down) = (weighted_sum(&above, &x, &r), weighted_sum(&below, &x, &r));
                let step = high - low;
                close(&format!("{name}: node {} parameter {part}.{i}", id.0), g, (up - down) / step);
            }
        }
    }
}

/// Moves one parameter by `step` and returns where it ended.
fn move_parameter(graph: &mut Graph, id: NodeId, part: usize, i: usize, step: f32) -> f64 {
    let layer = match (&mut graph.nodes[id.index()].op, part) {
        (Op::Conv(conv), 0) => &mut conv.weight,
        (Op::Conv(conv), _) => &mut conv.bias,
        (Op::Dense(dense), 0) => &mut dense.weight,
        (Op::Dense(dense), _) => &mut dense.bias,
        (Op::Affine(affine), part) => {
            let values = if part == 0 { &mut affine.scale } else { &mut affine.shift };
            values[i] += f64::from(step);
            return values[i];
        }
        (op, _) => unreachable!("{} has no parameters", op.name()),
    };
    layer[i] += step;
    f64::from(layer[i])
}

/// Convolutions of every kind: `(name, op, input)`.
fn convolutions() -> Vec<(&'static str, Op, Shape)> {
    let n = &mut Numbers::new(1);
    let odd = Shape::new(4, 7, 5);
    vec![
        ("plain", conv(n, 3, 4, 1, window([3, 3], [1, 1], [1, 1], [1, 1, 1, 1])), odd),
        ("pointwise", conv(n, 3, 4, 1, window([1, 1], [1, 1], [1, 1], [0; 4])), odd),
        ("pointwise stride 2", conv(n, 3, 4, 1, window([1, 1], [2, 2], [1, 1], [0; 4])), odd),
        ("pointwise padded", conv(n, 3, 4, 1, window([1, 1], [1, 1], [1, 1], [1, 0, 2, 1])), odd),
        ("stride 2, asymmetric pads", conv(n, 3, 4, 1, window([3, 3], [2, 2], [1, 1], [0, 0, 1, 1])), odd),
        ("oblong, dilated", conv(n, 2, 4, 1, window([2, 3], [1, 2], [3, 1], [2, 0, 0, 3])), odd),
        ("kernel larger than input", conv(n, 2, 4, 1, window([9, 7], [1, 1], [1, 1], [4, 3, 3, 4])), odd),
        ("grouped", conv(n, 6, 4, 2, window([3, 3], [2, 1], [1, 1], [1, 0, 1, 2])), odd),
        ("depthwise", conv(n, 4, 4, 4, window([3, 3], [1, 1], [1, 1], [1, 1, 1, 1])), odd),
        ("depthwise stride 2", conv(n, 4, 4, 4, window([3, 3], [2, 2], [1, 1], [0, 1, 1, 0])), odd),
        ("depthwise dilated", conv(n, 4, 4, 4, window([3, 2], [1, 3], [2, 2], [2, 1, 2, 1])), odd),
        ("depthwise multiplier", conv(n, 8, 4, 4, window([2, 2], [1, 1], [1, 1], [0; 4])), odd),
    ]
}

fn others() -> Vec<(&'static str, Op, Shape)> {
    let n = &mut Numbers::new(2);
    let odd = Shape::new(3, 7, 5);
    let max = |window| Op::MaxPool(MaxPool { window });
    let avg = |window, count_include_pad| Op::AvgPool(AvgPool { window, count_include_pad });
    vec![
        ("affine", Op::Affine(Affine { scale: vec![0.5, -1.25, 0.75], shift: vec![0.25, -0.5, 1.0] }), odd),
        ("dense", dense(n, 4, 6), Shape::vector(6)),
        ("relu", Op::Relu, odd),
        ("clip", Op::Clip(Clip { lo: -0.25, hi: 0.5 }), odd),
        ("leaky", Op::LeakyRelu(LeakyRelu { alpha: 0.125 }), odd),
        ("sigmoid", Op::Sigmoid, odd),
        ("hard sigmoid", Op::HardSigmoid(HardSigmoid { alpha: 0.9, beta: 0.4 }), odd),
        ("hard swish", Op::HardSwish, odd),
        ("max pool", max(window([2, 2], [2, 2], [1, 1], [0; 4])), odd),
        ("max pool overlapping", max(window([3, 3], [1, 2], [1, 1], [1, 1, 1, 0])), odd),
        ("max pool dilated", max(window([2, 3], [2, 1], [2, 1], [1, 2, 0, 1])), odd),
        ("average pool", avg(window([2, 2], [2, 2], [1, 1], [0; 4]), true), odd),
        ("average pool, pads count", avg(window([3, 3], [2, 1], [1, 1], [1, 2, 1, 0]), true), odd),
        ("average pool, pads do not count", avg(window([3, 3], [1, 2], [1, 1], [2, 1, 1, 1]), false), odd),
        ("global pool", Op::GlobalAvgPool, odd),
        ("pad", Op::Pad(Pad { pad: [1, 0, 2, 3], value: 0.5 }), odd),
    ]
}

#[test]
fn gradients_of_every_operator_match_finite_differences() {
    for (seed, (name, op, input)) in convolutions().into_iter().chain(others()).enumerate() {
        check_gradients(name, &single(op, input), 10 + seed as u64);
    }
    let mut softmax = Graph::new("input", Shape::vector(5));
    softmax.push("p", Op::Softmax, &[NodeId(0)]).expect("vector");
    check_gradients("softmax", &softmax, 100);
}

/// A net whose tensors have several readers: residual add of a tensor with itself too, gate, concat.
fn branched() -> Graph {
    let n = &mut Numbers::new(3);
    let same = window([3, 3], [1, 1], [1, 1], [1, 1, 1, 1]);
    let mut g = Graph::new("input", Shape::new(2, 5, 5));
    let mut push = |name: &str, op: Op, inputs: &[NodeId]| g.push(name, op, inputs).expect("fits");
    let stem = push("stem", conv(n, 4, 2, 1, same), &[NodeId(0)]);
    let act = push("act", Op::HardSwish, &[stem]);
    let branch = push("branch", conv(n, 4, 4, 4, same), &[act]);
    let add = push("add", Op::Add, &[branch, act]);
    let twice = push("twice", Op::Add, &[add, add]);
    let squeeze = push("squeeze", Op::GlobalAvgPool, &[twice]);
    let excite = push("excite", dense(n, 4, 4), &[squeeze]);
    let sigmoid = push("sigmoid", Op::Sigmoid, &[excite]);
    let gated = push("gated", Op::Gate, &[twice, sigmoid]);
    let joined = push("joined", Op::Concat, &[gated, act, NodeId(0)]);
    let pooled = push("pooled", Op::MaxPool(MaxPool { window: window([3, 3], [2, 2], [1, 1], [1; 4]) }), &[joined]);
    let flat = push("flat", Op::Flatten, &[pooled]);
    let logits = push("logits", dense(n, 3, 90), &[flat]);
    push("p", Op::Softmax, &[logits]);
    g
}

#[test]
fn gradients_add_up_over_all_readers_of_a_tensor() {
    check_gradients("branched", &branched(), 7);
}

#[test]
fn only_wanted_gradients_are_returned() {
    let graph = branched();
    let network = Network::<f64>::new(&graph).expect("verifies");
    let x = Numbers::new(4).batch(graph.shape(graph.input()), 3);
    let acts = network.forward(&x).expect("runs");
    let seed = Batch::new(Shape::vector(3), 3, vec![1.0; 9]).expect("fits");
    let run = |want| network.backward(&acts, &[(graph.logits(), seed.clone())], want).expect("runs");
    let taps = run(Want { activations: true, ..Want::default() });
    assert!(taps.node(graph.input()).is_none() && graph.ids().all(|id| taps.params(id).is_none()));
    assert!(taps.node(NodeId(1)).is_some() && taps.node(graph.output).is_none());
    let params = run(Want { params: true, ..Want::default() });
    assert!(graph.ids().all(|id| params.node(id).is_none()) && params.params(NodeId(1)).is_some());
    let all = run(Want { activations: true, params: true, input: true });
    assert_eq!(all.node(NodeId(1)), taps.node(NodeId(1)));
    assert_eq!(all.params(NodeId(1)), params.params(NodeId(1)));
}

#[test]
fn corners_follow_the_documented_side() {
    let corner = |op: Op, values: Vec<f64>| {
        let graph = single(op, Shape::vector(values.len()));
        let network = Network::<f64>::new(&graph).expect("verifies");
        let ones = Batch::new(Shape::vector(values.len()), 1, vec![1.0; values.len()]).expect("fits");
        let acts = network.forward(&Batch::new(ones.shape, 1, values).expect("fits")).expect("runs");
        let want = Want { input: true, ..Want::default() };
        let grads = network.backward(&acts, &[(graph.output, ones)], want).expect("runs");
        grads.node(graph.input()).expect("wanted").data.clone()
    };
    assert_eq!(corner(Op::Relu, vec![-1.0, 0.0, 1.0]), [0.0, 0.0, 1.0]);
    assert_eq!(corner(Op::LeakyRelu(LeakyRelu { alpha: 0.25 }), vec![-1.0, 0.0, 1.0]), [0.25, 0.25, 1.0]);
    assert_eq!(corner(Op::Clip(Clip { lo: 0.0, hi: 6.0 }), vec![0.0, 3.0, 6.0, 7.0]), [0.0, 1.0, 0.0, 0.0]);
    assert_eq!(corner(Op::HardSwish, vec![-3.0, 0.0, 3.0]), [0.0, 0.5, 1.0]);
}

#[test]
fn tied_maxima_pass_the_gradient_to_the_first() {
    let pool = Op::MaxPool(MaxPool { window: window([3, 3], [1, 1], [1, 1], [1; 4]) });
    let graph = single(pool, Shape::new(1, 3, 3));
    let network = Network::<f64>::new(&graph).expect("verifies");
    let x = Batch::new(Shape::new(1, 3, 3), 1, vec![0.0, 2.0, 0.0, 2.0, 1.0, 2.0, 0.0, 0.0, 0.0]).expect("fits");
    let acts = network.forward(&x).expect("runs");
    assert_eq!(acts.get(NodeId(1)).data, [2.0; 9]);
    let ones = Batch::new(Shape::vector(9), 1, vec![1.0; 9]).expect("fits");
    let want = Want { input: true, ..Want::default() };
    let grads = network.backward(&acts, &[(graph.output, ones)], want).expect("runs");
    let dx = &grads.node(graph.input()).expect("wanted").data;
    assert_eq!(*dx, [0.0, 6.0, 0.0, 2.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
}

/// Convolution and pooling written from their definition, one output at a time.
fn naive(op: &Op, x: &Batch<f64>, out: Shape) -> Vec<f64> {
    let mut y = Vec::new();
    for o in 0..out.c {
        for n in 0..x.n {
            for (oy, ox) in (0..out.h).flat_map(|oy| (0..out.w).map(move |ox| (oy, ox))) {
                let taps = |w: &Window| {
                    let w = *w;
                    let kernel = (0..w.kernel[0]).flat_map(move |ky| (0..w.kernel[1]).map(move |kx| (ky, kx)));
                    let (h, wide) = (x.shape.h as isize, x.shape.w as isize);
                    kernel.filter_map(move |(ky, kx)| {
                        let iy = (oy * w.stride[0] + ky * w.dilation[0]) as isize - w.pad[0] as isize;
                        let ix = (ox * w.stride[1] + kx * w.dilation[1]) as isize - w.pad[1] as isize;
                        let inside = iy >= 0 && iy < h && ix >= 0 && ix < wide;
                        inside.then_some((ky * w.kernel[1] + kx, (iy * wide + ix) as usize))
                    })
                };
                y.push(match op {
                    Op::Conv(c) => {
                        let (per, len) = (c.in_channels / c.groups, c.window.kernel[0] * c.window.kernel[1]);
                        let first = o / (c.out_channels / c.groups) * per;
                        let mut sum = f64::from(c.bias[o]);
                        for i in 0..per {
                            for (k, at) in taps(&c.window) {
                                sum += f64::from(c.weight[(o * per + i) * len + k]) * x.plane(first + i, n)[at];
                            }
                        }
                        sum
                    }
                    Op::MaxPool(p) => taps(&p.window).map(|(_, at)| x.plane(o, n)[at]).fold(f64::MIN, f64::max),
                    Op::AvgPool(p) => {
                        let found: Vec<f64> = taps(&p.window).map(|(_, at)| x.plane(o, n)[at]).collect();
                        let all = p.window.kernel[0] * p.window.kernel[1];
                        found.iter().sum::<f64>() / if p.count_include_pad { all } else { found.len() } as f64
                    }
                    other => unreachable!("{} has no naive form", other.name()),
                });
            }
        }
    }
    y
}

#[test]
fn windows_match_naive_loops() {
    let pools = others().into_iter().filter(|(_, op, _)| matches!(op, Op::MaxPool(_) | Op::AvgPool(_)));
    for (name, op, input) in convolutions().into_iter().chain(pools) {
        let x = Numbers::new(5).batch(input, 3);
        let graph = single(op.clone(), input);
        let acts = Network::<f64>::new(&graph).expect("verifies").forward(&x).expect("runs");
        let y = acts.get(NodeId(1));
        let want = naive(&op, &x, y.shape);
        assert_eq!(y.data.len(), want.len(), "{name}");
        for (i, (&a, &b)) in y.data.iter().zip(&want).enumerate() {
            assert!((a - b).abs() < 1e-12, "{name} at {i}: {a} and {b}");
        }
    }
}

#[test]
fn results_are_the_same_for_any_thread_count() {
    let graph = branched();
    let network = Network::<f32>::new(&graph).expect("verifies");
    let samples = 5 * CHUNK / 2;
    let shape = graph.shape(graph.input());
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("pool");
        let chunk = |range: std::ops::Range<usize>| {
            let data = range.clone().flat_map(|i| Numbers::new(i as u64).f32s(shape.len())).collect();
            let acts = network.forward(&Batch::new(shape, range.len(), data)?)?;
            let seed = acts.get(graph.output).clone();
            let want = Want { activations: true, params: true, input: true };
            let grads = network.backward(&acts, &[(graph.output, seed)], want)?;
            let first = grads.params(NodeId(1)).expect("stem has parameters").weight.clone();
            Ok((range, grads.node(graph.input()).expect("wanted").data.clone(), first))
        };
        pool.install(|| for_chunks(samples, chunk)).expect("runs")
    };
    let one = run(1);
    assert_eq!(one.iter().map(|r| r.0.clone()).collect::<Vec<_>>(), [0..16, 16..32, 32..40]);
    assert_eq!(one, run(2));
    assert_eq!(one, run(3));
}

#[test]
fn scores_equal_the_forward_pass_and_f32_follows_f64() {
    let graph = branched();
    let x = Numbers::new(6).batch(graph.shape(graph.input()), 4);
    let wide = Network::<f64>::new(&graph).expect("verifies");
    let scores = wide.scores(&x).expect("runs");
    assert_eq!(&scores, wide.forward(&x).expect("runs").get(graph.output));
    let single = Batch::new(x.shape, x.n, x.data.iter().map(|&v| v as f32).collect()).expect("fits");
    let narrow = Network::<f32>::new(&graph).expect("verifies").scores(&single).expect("runs");
    for (a, b) in narrow.data.iter().zip(&scores.data) {
        assert!((f64::from(*a) - b).abs() < 1e-5, "{a} and {b}");
    }
}

#[test]
fn a_batch_of_another_shape_is_refused() {
    let network = Network::<f32>::new(&branched()).expect("verifies");
    let error = network.scores(&Batch::zeros(Shape::new(2, 5, 4), 1)).expect_err("wrong shape");
    assert_eq!(error.code, "exec/input");
    assert_eq!(Batch::new(Shape::vector(3), 2, vec![0.0f32; 5]).expect_err("wrong length").code, "exec/length");
}
