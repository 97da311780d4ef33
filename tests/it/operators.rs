//! Every operator of the import, the whole way: random networks, and one that was trained.

use fratc::data::{BuildOptions as CaseOptions, Case, InputContract, InputKind, Samples};
use fratc::exec::{Batch, Network};
use fratc::finetune;
use fratc::ir::onnx::to_onnx;
use fratc::ir::op::{AvgPool, Clip, Conv, Dense, HardSigmoid, LeakyRelu, MaxPool, Op, Pad, Window};
use fratc::ir::{Graph, NodeId, Shape, pass};
use fratc::pipeline::{BuildOptions, RouteOptions, Silent, Source, build_source};
use fratc::plan::plan_for;
use fratc::qir::{Program, Provenance};
use fratc::quantize::{Options, quantize};
use fratc::target::Target;
use fratc::verify::{self, verify};
use fratc::{demo, emit, load, sim};

use crate::random_graph::{Random, random_graph};

/// Adds nodes with random weights.
struct Builder {
    graph: Graph,
    random: Random,
}

impl Builder {
    fn new(shape: Shape, seed: u64) -> Self {
        Self { graph: Graph::new("image", shape), random: Random::new(seed) }
    }

    fn push(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> NodeId {
        self.graph.push(name, op, inputs).expect("the shapes fit")
    }

    /// Weights of variance `2 / fan_in`.
    fn weights(&mut self, n: usize, fan_in: usize) -> Vec<f32> {
        self.random.values(n, (6.0 / fan_in as f32).sqrt())
    }

    fn conv(&mut self, name: &str, x: NodeId, out_channels: usize, groups: usize, window: Window) -> NodeId {
        let in_channels = self.graph.shape(x).c;
        let fan_in = in_channels / groups * window.kernel[0] * window.kernel[1];
        let weight = self.weights(out_channels * fan_in, fan_in);
        let bias = self.random.values(out_channels, 0.1);
        self.push(name, Op::Conv(Conv { out_channels, in_channels, groups, window, weight, bias }), &[x])
    }

    fn dense(&mut self, name: &str, x: NodeId, out_features: usize) -> NodeId {
        let in_features = self.graph.shape(x).c;
        let weight = self.weights(out_features * in_features, in_features);
        let bias = self.random.values(out_features, 0.1);
        self.push(name, Op::Dense(Dense { out_features, in_features, weight, bias }), &[x])
    }

    /// Squeeze-excite through `hidden` features.
    fn gate(&mut self, name: &str, x: NodeId, hidden: usize, open: Op) -> NodeId {
        let channels = self.graph.shape(x).c;
        let squeezed = self.push(&format!("{name}/squeeze"), Op::GlobalAvgPool, &[x]);
        let small = self.dense(&format!("{name}/reduce"), squeezed, hidden);
        let small = self.push(&format!("{name}/relu"), Op::Relu, &[small]);
        let gate = self.dense(&format!("{name}/expand"), small, channels);
        let gate = self.push(&format!("{name}/open"), open, &[gate]);
        self.push(&format!("{name}/gate"), Op::Gate, &[x, gate])
    }
}

fn square(kernel: usize, stride: usize) -> Window {
    Window { stride: [stride; 2], pad: [kernel / 2; 4], ..Window::new([kernel; 2]) }
}

/// A network that holds every operator that is no plain convolution, on `channels` × `size` × `size` pictures.
fn every_operator(channels: usize, size: usize, classes: usize, seed: u64) -> Graph {
    let mut b = Builder::new(Shape::new(channels, size, size), seed);
    let x = b.conv("stem", NodeId(0), 16, 1, square(3, 2));
    let x = b.push("stem/swish", Op::HardSwish, &[x]);
    let x = b.conv("groups", x, 24, 4, square(3, 1));
    let x = b.push("groups/leaky", Op::LeakyRelu(LeakyRelu { alpha: 0.1 }), &[x]);
    let x = b.push("pool", Op::MaxPool(MaxPool { window: square(3, 2) }), &[x]);
    let x = b.gate("first", x, 6, Op::HardSigmoid(HardSigmoid { alpha: 0.2, beta: 0.5 }));
    let x = b.push("border", Op::Pad(Pad { pad: [1, 0, 0, 1], value: 0.4 }), &[x]);
    let x = b.conv("multiplier", x, 48, 24, Window { dilation: [2, 1], ..square(3, 1) });
    let x = b.push("multiplier/clip", Op::Clip(Clip { lo: -1.0, hi: 6.0 }), &[x]);
    let y = b.conv("point", x, 32, 1, square(1, 1));
    let y = b.push("point/swish", Op::HardSwish, &[y]);
    let y = b.gate("second", y, 8, Op::Sigmoid);
    let z = b.conv("side", x, 8, 1, square(1, 1));
    let z = b.push("side/sigmoid", Op::Sigmoid, &[z]);
    let both = b.push("both", Op::Concat, &[y, z]);
    let window = Window { stride: [2, 2], ..Window::new([2, 2]) };
    let mean = b.push("mean", Op::AvgPool(AvgPool { window, count_include_pad: false }), &[both]);
    let shape = b.graph.shape(both);
    let top = b.push("top", Op::MaxPool(MaxPool { window: Window::new([shape.h, shape.w]) }), &[both]);
    let flat = b.push("flat", Op::Flatten, &[mean]);
    let all = b.push("all", Op::Concat, &[flat, top]);
    b.dense("scores", all, classes);
    b.graph.verify().expect("valid");
    b.graph
}

fn names(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("class {i}")).collect()
}

fn lowered(graph: &Graph, contract: &InputContract, samples: &Samples) -> Program {
    let classes = names(graph.classes());
    quantize(graph, contract, samples, "operators", &classes, Provenance::default(), &Options::default())
        .expect("every operator is lowered")
}

/// Root mean square error of the int8 scores, in the float scores' standard deviation over samples and classes.
fn relative_error(graph: &Graph, program: &Program, contract: &InputContract, samples: &Samples) -> f64 {
    let input = contract.normalized(samples, 0..samples.len(), |x| x);
    let batch = Batch::new(graph.shape(graph.input()), samples.len(), input).expect("fits");
    let acts = Network::<f64>::new(graph).expect("valid").forward(&batch).expect("runs");
    let scores = acts.get(graph.logits());
    let quant = program.tensor(program.output).quant;
    let (mut error, mut want) = (0.0, Vec::new());
    for n in 0..samples.len() {
        let float = scores.sample(n);
        for (&q, &f) in sim::run(program, samples.sample(n)).iter().zip(&float) {
            error += (f64::from(quant.scale) * f64::from(i32::from(q) - quant.zero_point) - f).powi(2);
            want.push(f);
        }
    }
    let mean = want.iter().sum::<f64>() / want.len() as f64;
    let spread: f64 = want.iter().map(|v| (v - mean).powi(2)).sum();
    (error / spread).sqrt()
}

fn pixels(channels: usize, size: usize) -> InputContract {
    let mut contract = InputContract::new(InputKind::U8, [size, size, channels], 1.0 / 255.0);
    contract.mean = vec![0.45; channels];
    contract.std = vec![0.25; channels];
    contract
}

/// The stated error of random networks: a tenth of the scores' spread. Trained ones are judged by their accuracy.
#[test]
fn a_network_of_every_operator_gives_the_same_bytes_on_cores_with_and_without_dsp() {
    let (graph, contract) = (every_operator(3, 17, 5, 1), pixels(3, 17));
    let samples = Samples::random(&contract, 40, 3);
    let program = lowered(&graph, &contract, &samples);
    let kinds: std::collections::BTreeSet<&str> = program.layers.iter().map(|l| l.op.name()).collect();
    let all = ["avg_pool", "concat", "conv", "dense", "depthwise", "flatten", "gate", "grouped", "lookup", "max_pool"];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), all);
    let error = relative_error(&graph, &program, &contract, &samples);
    assert!(error < 0.1, "int8 is off by {error:.3} of the scores' spread");
    for name in ["qemu-m0", "qemu-m4"] {
        let target = Target::load(name).expect("a shipped target");
        let plan = plan_for(&program, &target).expect("plans");
        let golden = |n: usize| emit::Sample {
            input: samples.sample(n).to_vec(),
            scores: sim::run(&program, samples.sample(n)),
        };
        let options = emit::Options { samples: (0..3).map(golden).collect(), ..emit::Options::default() };
        let files = emit::emit(&program, &plan, &target, &options).expect("emits");
        let wanted = verify::Options { qemu_samples: 5, ..verify::Options::default() };
        let done = verify(&files, &program, &samples, &target, &wanted).expect(name);
        done.check().expect(name);
        assert_eq!((done.host.samples, done.host.mismatches), (40, 0), "{name}");
        if let Some(why) = &done.no_qemu {
            crate::shared::skipped(why);
        }
        eprintln!("{name}: {:?}, {:?}", done.qemu, done.footprint);
    }
}

/// Odd shapes, shared tensors, joined heads: whatever the import can hold has an int8 form that is close.
#[test]
fn random_networks_of_every_operator_are_close_in_int8() {
    let mut errors = Vec::new();
    let mut kinds = std::collections::BTreeSet::new();
    for seed in 0..60 {
        let graph = pass::simplify(random_graph(seed)).expect("simplifies");
        let shape = graph.shape(graph.input());
        let mut contract = InputContract::new(InputKind::U8, [shape.h, shape.w, shape.c], 1.0 / 128.0);
        contract.mean = vec![1.0; shape.c];
        let samples = Samples::random(&contract, 24, seed);
        let program = lowered(&graph, &contract, &samples);
        kinds.extend(program.layers.iter().map(|l| l.op.name()));
        errors.push((relative_error(&graph, &program, &contract, &samples), seed));
    }
    errors.sort_by(|a, b| a.0.total_cmp(&b.0));
    eprintln!("median {:?}, worst {:?}", errors[errors.len() / 2], &errors[errors.len() - 5..]);
    assert!(errors[errors.len() / 2].0 < 0.05, "{errors:?}");
    assert!(errors[errors.len() - 1].0 < 0.4, "{errors:?}");
    for kind in ["grouped", "gate", "flatten", "depthwise", "lookup"] {
        assert!(kinds.contains(kind), "{kind} in {kinds:?}");
    }
}

/// [`every_operator`] trained on floor markers, then int8, then three of its classes in a verified crate:
///
///     cargo test --release --test it a_trained_network -- --ignored --nocapture
#[test]
#[ignore = "minutes of training"]
fn a_trained_network_of_every_operator_keeps_its_accuracy_whole_and_cut() {
    let case = demo::case();
    let start = every_operator(1, demo::SIZE, demo::CLASSES.len(), 11);
    eprintln!("{} parameters, {} multiply-accumulates", start.params(), start.macs());
    let options = finetune::Options { epochs: 8, rate: 0.03, smoothing: 0.05, ..finetune::Options::default() };
    let drawn = |epoch| demo::samples(250, demo::TRAIN_SEED + epoch as u64);
    let trained = finetune::train(&start, &case.input, drawn, &options, |epoch| {
        eprintln!("epoch {:2}: loss {:.4}, accuracy {:.4}", epoch.number, epoch.loss, epoch.accuracy);
    })
    .expect("trains");
    let bytes = to_onnx(&trained, env!("CARGO_PKG_VERSION"));
    let graph = pass::simplify(load::load_bytes(&bytes, "operators.onnx").expect("loads").graph).expect("simplifies");
    let program = lowered(&graph, &case.input, &case.calibration);
    let kinds: std::collections::BTreeSet<&str> = program.layers.iter().map(|l| l.op.name()).collect();
    assert!(kinds.is_superset(&["gate", "grouped", "lookup", "flatten"].into()), "{kinds:?}");
    let float = finetune::accuracy(&graph, &case.input, &case.test).expect("scores");
    let right = (0..case.test.len())
        .filter(|&i| sim::predict(&program, case.test.sample(i)) == case.test.labels[i] as usize)
        .count();
    let int8 = right as f64 / case.test.len() as f64;
    eprintln!("{} drawings: float {float:.4}, int8 {int8:.4}", case.test.len());
    assert!(float > 0.95, "{float}");
    assert!(int8 >= float - 0.01, "float {float}, int8 {int8}");

    let out = tempfile::tempdir().expect("folder");
    let source = Case {
        path: "operators.toml".into(),
        model: "operators.onnx".into(),
        model_sha256: None,
        input: case.input,
        label_names: case.label_names,
        calibration: None,
        test: None,
        train: None,
        classes: None,
        target: None,
        options: CaseOptions::default(),
    };
    let source = Source::in_memory(source, &bytes, case.calibration, case.test).expect("a source");
    let classes = demo::default_classes().map(String::from).to_vec();
    let options = BuildOptions {
        route: RouteOptions { classes, keep: Some(0.6), ..RouteOptions::default() },
        target: Some("qemu-m4".into()),
        out: Some(out.path().join("markers")),
        simplify: true,
        reject: None,
        firmware: None,
        plan: fratc::plan::Options::default(),
        qemu_samples: Some(6),
        random_calibration: None,
    };
    let built = build_source(&source, &options, &Silent).expect("builds");
    assert!(built.refused.is_none(), "{:?}", built.refused);
    let accuracy = built.report.accuracy.expect("there are test drawings");
    eprintln!("three classes: {accuracy:?}, {:?}", built.report.assembled);
    assert!(accuracy.int8 >= accuracy.source_masked - 0.03, "{accuracy:?}");
    assert!(accuracy.int8 >= accuracy.assembled_f32 - 0.01, "{accuracy:?}");
    assert!(built.report.assembled.macs < graph.macs() * 3 / 4);
}
