//! Quantization of small networks: every operator against the float engine.

use fratc::data::{InputContract, InputKind, Samples};
use fratc::exec::{Batch, Network};
use fratc::ir::op::{Affine, AvgPool, Clip, Conv, Dense, HardSigmoid, LeakyRelu, MaxPool, Op, Pad, Window};
use fratc::ir::{Graph, NodeId, Shape};
use fratc::qir::{Bias, Op as Layer, Program, Provenance};
use fratc::quantize::{Options, quantize};
use fratc::sim;

/// Deterministic values in −1..1.
fn noise(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1u64 << 24) as f32) * 2.0 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

fn conv(out_channels: usize, in_channels: usize, groups: usize, window: Window, seed: u64) -> Op {
    let weights = out_channels * in_channels / groups * window.kernel[0] * window.kernel[1];
    Op::Conv(Conv {
        out_channels,
        in_channels,
        groups,
        window,
        weight: noise(weights, seed),
        bias: noise(out_channels, seed + 1),
    })
}

fn dense(out_features: usize, in_features: usize, seed: u64) -> Op {
    Op::Dense(Dense {
        out_features,
        in_features,
        weight: noise(out_features * in_features, seed),
        bias: noise(out_features, seed + 1),
    })
}

fn window(kernel: [usize; 2], stride: [usize; 2], pad: [usize; 4]) -> Window {
    Window { kernel, stride, dilation: [1, 1], pad }
}

/// Pixels with a mean and deviation per channel, so that the zero is no integer.
fn pixels() -> InputContract {
    InputContract {
        kind: InputKind::U8,
        shape: [7, 6, 3],
        scale: 1.0 / 255.0,
        zero_point: 0.0,
        mean: vec![0.49, 0.48, 0.44],
        std: vec![0.24, 0.25, 0.26],
    }
}

fn classes(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("class {i}")).collect()
}

fn network(graph: &Graph, contract: &InputContract, samples: &Samples) -> Program {
    quantize(graph, contract, samples, "small", &classes(graph.classes()), Provenance::default(), &Options::default())
        .expect("quantizes")
}

/// Quantizes `graph` and compares every tensor that both networks have, in steps of its scale.
fn check(what: &str, graph: &Graph, contract: &InputContract) -> Program {
    let samples = Samples::random(contract, 24, 7);
    let program = network(graph, contract, &samples);
    program.verify().expect("a quantized program is valid");
    let input = contract.normalized(&samples, 0..samples.len(), |x| x);
    let batch = Batch::new(graph.shape(graph.input()), samples.len(), input).expect("fits");
    let acts = Network::<f64>::new(graph).expect("valid").forward(&batch).expect("runs");
    let traces: Vec<Vec<Vec<i8>>> = (0..samples.len()).map(|n| sim::trace(&program, samples.sample(n))).collect();
    let consumers = graph.consumers();
    let mut compared = 0;
    for (t, tensor) in program.tensors.iter().enumerate().skip(1) {
        let Some(id) = graph.ids().find(|&id| graph.node(id).name == tensor.name) else { continue };
        // What only max pools read may be clipped below what they pass on; convolutions read through a pad.
        let readers = &consumers[id.index()];
        let pools = readers.iter().filter(|&&r| matches!(graph.node(r).op, Op::MaxPool(_))).count();
        let merged = matches!(graph.node(id).op, Op::Pad(_)).then_some(readers.len() - pools).unwrap_or(0);
        if pools > 0 && pools + merged == readers.len() {
            continue;
        }
        let float = acts.get(id);
        let (scale, zero) = (f64::from(tensor.quant.scale), f64::from(tensor.quant.zero_point));
        let shape = tensor.shape;
        let plane = shape.h * shape.w;
        let mut sum = 0.0;
        for (n, trace) in traces.iter().enumerate() {
            for (i, &q) in trace[t].iter().enumerate() {
                let want = float.sample(n)[i % shape.c * plane + i / shape.c];
                sum += ((f64::from(q) - zero) - want / scale).powi(2);
            }
        }
        let steps = (sum / (traces.len() * shape.len()) as f64).sqrt();
        assert!(steps < 2.0, "{what}: \"{}\" is off by {steps:.2} steps of {scale}\n{graph}", tensor.name);
        compared += 1;
    }
    assert!(compared > 0, "{what}: nothing compared");
    program
}

/// Stem → `middle` → pool → dense, checked.
fn check_middle(what: &str, middle: impl Fn(&mut Graph, NodeId) -> NodeId) -> Program {
    let contract = pixels();
    let mut graph = Graph::new("input", Shape::new(3, 7, 6));
    let stem = graph.push("stem", conv(4, 3, 1, window([3, 3], [1, 1], [1, 1, 1, 1]), 3), &[NodeId(0)]).expect("valid");
    let last = middle(&mut graph, stem);
    let pooled = graph.push("pooled", Op::GlobalAvgPool, &[last]).expect("valid");
    let channels = graph.shape(pooled).c;
    graph.push("scores", dense(5, channels, 90), &[pooled]).expect("valid");
    check(what, &graph, &contract)
}

fn push(graph: &mut Graph, name: &str, op: Op, inputs: &[NodeId]) -> NodeId {
    graph.push(name, op, inputs).expect("valid")
}

#[test]
fn every_operator_stays_close_to_the_float_network() {
    let asymmetric = window([3, 2], [2, 1], [0, 1, 2, 0]);
    check_middle("conv", |g, x| push(g, "middle", conv(6, 4, 1, asymmetric, 11), &[x]));
    let dilated = Window { dilation: [2, 2], ..window([3, 3], [1, 1], [2, 2, 2, 2]) };
    check_middle("dilated conv", |g, x| push(g, "middle", conv(6, 4, 1, dilated, 13), &[x]));
    check_middle("depthwise", |g, x| push(g, "middle", conv(4, 4, 4, asymmetric, 15), &[x]));
    check_middle("relu", |g, x| push(g, "middle", Op::Relu, &[x]));
    check_middle("clip", |g, x| push(g, "middle", Op::Clip(Clip { lo: -0.5, hi: 1.5 }), &[x]));
    check_middle("leaky relu", |g, x| push(g, "middle", Op::LeakyRelu(LeakyRelu { alpha: 0.2 }), &[x]));
    check_middle("sigmoid", |g, x| push(g, "middle", Op::Sigmoid, &[x]));
    let hard = Op::HardSigmoid(HardSigmoid { alpha: 0.2, beta: 0.5 });
    check_middle("hard sigmoid", |g, x| push(g, "middle", hard.clone(), &[x]));
    check_middle("hard swish", |g, x| push(g, "middle", Op::HardSwish, &[x]));
    check_middle("max pool", |g, x| {
        push(g, "middle", Op::MaxPool(MaxPool { window: window([3, 3], [2, 2], [1, 1, 0, 1]) }), &[x])
    });
    for count_include_pad in [false, true] {
        let pool = AvgPool { window: window([3, 3], [1, 1], [1, 1, 1, 1]), count_include_pad };
        check_middle("mean pool", |g, x| push(g, "middle", Op::AvgPool(pool), &[x]));
    }
    let affine = Affine { scale: vec![0.5, -1.5, 2.0, 0.1], shift: vec![1.0, 0.0, -1.0, 0.2] };
    check_middle("affine", |g, x| push(g, "middle", Op::Affine(affine.clone()), &[x]));
    check_middle("pad", |g, x| {
        let pad = push(g, "pad", Op::Pad(Pad { pad: [1, 0, 2, 1], value: 0.0 }), &[x]);
        let a = push(g, "middle", conv(4, 4, 1, window([3, 3], [1, 1], [0; 4]), 17), &[pad]);
        let b = push(g, "pooled pad", Op::MaxPool(MaxPool { window: window([3, 3], [1, 1], [0; 4]) }), &[pad]);
        push(g, "sum", Op::Add, &[a, b])
    });
    check_middle("shared relu", |g, x| {
        let relu = push(g, "relu", Op::Relu, &[x]);
        push(g, "sum", Op::Add, &[x, relu])
    });
    check_middle("residual", |g, x| {
        let a = push(g, "a", conv(4, 4, 1, window([1, 1], [1, 1], [0; 4]), 19), &[x]);
        let sum = push(g, "sum", Op::Add, &[a, x]);
        push(g, "relu", Op::Relu, &[sum])
    });
    check_middle("concat", |g, x| {
        let a = push(g, "a", conv(3, 4, 1, window([1, 1], [1, 1], [0; 4]), 21), &[x]);
        let relu = push(g, "relu", Op::Relu, &[a]);
        let b = push(g, "b", Op::MaxPool(MaxPool { window: window([3, 3], [1, 1], [1, 1, 1, 1]) }), &[x]);
        push(g, "cat", Op::Concat, &[relu, b, a])
    });
}

#[test]
fn a_dense_layer_reads_the_map_in_memory_order() {
    let mut graph = Graph::new("input", Shape::new(3, 7, 6));
    let stem = push(&mut graph, "stem", conv(4, 3, 1, window([3, 3], [2, 2], [1, 1, 1, 1]), 3), &[NodeId(0)]);
    let shape = graph.shape(stem);
    let flat = push(&mut graph, "flat", Op::Flatten, &[stem]);
    let relu = push(&mut graph, "relu", Op::Relu, &[flat]);
    let hidden = push(&mut graph, "hidden", dense(6, shape.len(), 31), &[relu]);
    let scores = push(&mut graph, "scores", dense(3, 6, 33), &[hidden]);
    push(&mut graph, "softmax", Op::Softmax, &[scores]);
    let program = check("flatten", &graph, &pixels());
    assert_eq!(program.tensor(program.output).name, "scores");
}

#[test]
fn raw_input_may_go_anywhere() {
    for (name, op) in [
        ("max pool", Op::MaxPool(MaxPool { window: window([2, 2], [1, 1], [0; 4]) })),
        ("global pool", Op::GlobalAvgPool),
        ("sigmoid", Op::Sigmoid),
    ] {
        let mut graph = Graph::new("input", Shape::new(3, 7, 6));
        let first = push(&mut graph, "first", op, &[NodeId(0)]);
        let pooled = push(&mut graph, "pooled", Op::GlobalAvgPool, &[first]);
        push(&mut graph, "scores", dense(4, 3, 41), &[pooled]);
        check(name, &graph, &pixels());
    }
    let mut graph = Graph::new("input", Shape::new(3, 7, 6));
    let norm = Op::Affine(Affine { scale: vec![2.0, 0.5, -1.0], shift: vec![0.1, -0.2, 0.3] });
    let norm = push(&mut graph, "norm", norm, &[NodeId(0)]);
    let pad = push(&mut graph, "pad", Op::Pad(Pad { pad: [1, 2, 0, 1], value: 0.0 }), &[norm]);
    let first = push(&mut graph, "first", conv(4, 3, 1, window([3, 3], [1, 1], [0; 4]), 43), &[pad]);
    let second = push(&mut graph, "second", conv(3, 3, 3, window([3, 3], [1, 1], [1, 2, 0, 1]), 45), &[norm]);
    let joined = push(&mut graph, "cat", Op::Concat, &[first, second]);
    let flat = push(&mut graph, "flat", Op::Flatten, &[norm]);
    let direct = push(&mut graph, "direct", dense(4, 126, 47), &[flat]);
    let pooled = push(&mut graph, "pooled", Op::GlobalAvgPool, &[joined]);
    let other = push(&mut graph, "other", dense(4, 7, 49), &[pooled]);
    push(&mut graph, "scores", Op::Add, &[direct, other]);
    let program = check("several first layers", &graph, &pixels());
    assert!(program.layers.iter().any(|l| matches!(&l.op, Layer::Conv(c) if matches!(c.bias, Bias::Border { .. }))));
    assert_eq!(program.layers.len(), 7);
}

/// Global pool → dense → activation → dense → sigmoid → product.
fn squeeze_excite(g: &mut Graph, x: NodeId) -> NodeId {
    let channels = g.shape(x).c;
    let squeeze = push(g, "squeeze", Op::GlobalAvgPool, &[x]);
    let hidden = push(g, "hidden", dense(3, channels, 51), &[squeeze]);
    let hidden = push(g, "hidden relu", Op::Relu, &[hidden]);
    let excite = push(g, "excite", dense(channels, 3, 53), &[hidden]);
    let excite = push(g, "gate sigmoid", Op::Sigmoid, &[excite]);
    push(g, "gated", Op::Gate, &[x, excite])
}

#[test]
fn groups_gates_and_borders_of_any_value_stay_close_too() {
    let padded = window([3, 3], [1, 2], [1, 1, 1, 0]);
    let program = check_middle("groups", |g, x| push(g, "middle", conv(6, 4, 2, padded, 11), &[x]));
    assert!(program.layers.iter().any(|l| matches!(&l.op, Layer::Grouped(g) if g.groups == 2)));
    let program = check_middle("multiplier", |g, x| push(g, "middle", conv(12, 4, 4, padded, 13), &[x]));
    assert!(program.layers.iter().any(|l| matches!(&l.op, Layer::Grouped(g) if g.groups == 4)));
    check_middle("squeeze-excite", squeeze_excite);
    check_middle("gate and clamp", |g, x| {
        let gated = squeeze_excite(g, x);
        push(g, "relu", Op::Relu, &[gated])
    });
    // Far beyond what the border surrounds, on either side.
    for value in [-9.0, 0.3, 25.0] {
        let pad = Op::Pad(Pad { pad: [1, 0, 2, 1], value });
        check_middle("border", |g, x| push(g, "border", pad.clone(), &[x]));
        check_middle("border under a pool", |g, x| {
            let relu = push(g, "relu", Op::Relu, &[x]);
            let pad = push(g, "border", pad.clone(), &[relu]);
            push(g, "pooled border", Op::MaxPool(MaxPool { window: window([3, 3], [1, 1], [0; 4]) }), &[pad])
        });
    }
}

#[test]
fn groups_and_gates_read_the_raw_input() {
    let mut graph = Graph::new("input", Shape::new(3, 7, 6));
    let first = push(&mut graph, "first", conv(6, 3, 3, window([3, 3], [1, 1], [1, 1, 1, 1]), 1), &[NodeId(0)]);
    let gated = squeeze_excite(&mut graph, NodeId(0));
    let border = push(&mut graph, "border", Op::Pad(Pad { pad: [1, 1, 0, 0], value: 2.0 }), &[NodeId(0)]);
    let pooled: Vec<NodeId> = [first, gated, border]
        .iter()
        .zip(["a", "b", "c"])
        .map(|(&map, name)| push(&mut graph, name, Op::GlobalAvgPool, &[map]))
        .collect();
    let all = push(&mut graph, "all", Op::Concat, &pooled);
    push(&mut graph, "scores", dense(4, 12, 3), &[all]);
    let program = check("raw input", &graph, &pixels());
    let has_border = |op: &Layer| matches!(op, Layer::Grouped(g) if matches!(g.conv.bias, Bias::Border { .. }));
    assert!(program.layers.iter().any(|l| has_border(&l.op)), "the zero of these pixels is no integer");
}

#[test]
fn a_flatten_moves_values_only_for_readers_that_ask_for_order() {
    let mut graph = Graph::new("input", Shape::new(3, 7, 6));
    let stem = push(&mut graph, "stem", conv(4, 3, 1, window([3, 3], [2, 2], [1, 1, 1, 1]), 3), &[NodeId(0)]);
    let flat = push(&mut graph, "flat", Op::Flatten, &[stem]);
    let relu = push(&mut graph, "relu", Op::LeakyRelu(LeakyRelu { alpha: 0.3 }), &[flat]);
    let pooled = push(&mut graph, "pooled", Op::GlobalAvgPool, &[stem]);
    let all = push(&mut graph, "all", Op::Concat, &[relu, pooled]);
    let hidden = push(&mut graph, "hidden", dense(5, 52, 31), &[all]);
    let other = push(&mut graph, "other", Op::Flatten, &[stem]);
    let direct = push(&mut graph, "direct", dense(5, 48, 33), &[other]);
    push(&mut graph, "scores", Op::Add, &[hidden, direct]);
    let program = check("flatten", &graph, &pixels());
    let moved: Vec<&str> = program.layers.iter().filter(|l| l.op == Layer::Flatten).map(|l| l.name.as_str()).collect();
    assert_eq!(moved, ["flat"]);

    // As the output: the scores are in channel-major order.
    let mut graph = Graph::new("input", Shape::new(3, 7, 6));
    let stem = push(&mut graph, "stem", conv(2, 3, 1, window([4, 3], [3, 3], [0; 4]), 3), &[NodeId(0)]);
    push(&mut graph, "flat", Op::Flatten, &[stem]);
    check("flat output", &graph, &pixels());
}

#[test]
fn the_thread_count_changes_nothing() {
    let mut graph = Graph::new("input", Shape::new(3, 7, 6));
    let stem = push(&mut graph, "stem", conv(8, 3, 1, window([3, 3], [1, 1], [1, 1, 1, 1]), 3), &[NodeId(0)]);
    let relu = push(&mut graph, "relu", Op::Relu, &[stem]);
    let pooled = push(&mut graph, "pooled", Op::GlobalAvgPool, &[relu]);
    push(&mut graph, "scores", dense(4, 8, 41), &[pooled]);
    let contract = pixels();
    let samples = Samples::random(&contract, 100, 1);
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("pool");
        pool.install(|| network(&graph, &contract, &samples))
    };
    assert_eq!(with(1), with(3));
}
