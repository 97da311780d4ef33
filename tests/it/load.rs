//! Import of ONNX models and export to ONNX: the shared networks against onnxruntime's outputs and tract, every
//! operator there and back, and damaged and unsupported files.

use std::collections::BTreeSet;
use std::path::Path;

use fratc::data::Case;
use fratc::exec::{Batch, Network};
use fratc::ir::Graph;
use fratc::ir::onnx::to_onnx;
use fratc::ir::op::{Affine, AvgPool, Clip, Conv, Dense, HardSigmoid, LeakyRelu, MaxPool, Op, Pad, Window};
use fratc::ir::pass::simplify;
use fratc::ir::{NodeId, Shape};
use fratc::load::{Loaded, SourceLayout, load, load_bytes};
use tract_onnx::prelude::*;

use crate::shared::shared;

/// A shared network and what the models' README says of it.
struct Known {
    name: &'static str,
    /// Weights and biases once batch norms are folded.
    params: usize,
    /// Multiply-accumulates per sample, in units of 10 000.
    macs: u64,
    classes: usize,
    /// The recorded outputs' data file.
    outputs: Option<&'static str>,
}

const MODELS: &[Known] = &[
    Known { name: "cnn_fmnist", params: 72_778, macs: 535, classes: 10, outputs: Some("t10k") },
    Known { name: "dscnn_emnist", params: 41_434, macs: 290, classes: 26, outputs: Some("test5200") },
    Known { name: "dscnn_kws", params: 22_604, macs: 266, classes: 12, outputs: Some("kws01_test_700") },
    Known { name: "incep_cifar", params: 104_434, macs: 489, classes: 10, outputs: Some("q75_test_4000") },
    Known { name: "mobilenetv1_vww", params: 210_850, macs: 749, classes: 2, outputs: None },
    Known { name: "resnet8_cifar10", params: 77_706, macs: 1250, classes: 10, outputs: Some("lossless_test_200") },
    Known { name: "resnet8_cifar10_nhwc", params: 77_706, macs: 1250, classes: 10, outputs: None },
    Known {
        name: "resnet8_large_cifar10",
        params: 480_330,
        macs: 7647,
        classes: 10,
        outputs: Some("lossless_test_200"),
    },
    Known { name: "vgg_cifar", params: 525_550, macs: 1571, classes: 10, outputs: Some("q75_test_4000") },
];

fn model(name: &str) -> Option<Loaded> {
    Some(load(&shared(&format!("models/{name}.onnx"))?).expect("the model loads"))
}

fn deviation(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Pseudo-random numbers from -1 to 1.
fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

fn scores(graph: &Graph, input: &Batch<f32>) -> Vec<f32> {
    let scores = Network::new(graph).expect("valid").scores(input).expect("runs");
    (0..input.n).flat_map(|n| scores.sample(n)).collect()
}

/// tract's own run of the file, one sample at a time.
fn tract_scores(path: &Path, loaded: &Loaded, input: &Batch<f32>) -> Vec<f32> {
    let shape = loaded.graph.shape(NodeId(0));
    let nhwc = loaded.source.layout == SourceLayout::Nhwc;
    let dims = if nhwc { [1, shape.h, shape.w, shape.c] } else { [1, shape.c, shape.h, shape.w] };
    let plan = tract_onnx::onnx()
        .model_for_path(path)
        .and_then(|m| m.with_input_fact(0, f32::fact(dims).into()))
        .and_then(tract_onnx::prelude::InferenceModelExt::into_typed)
        .and_then(tract_onnx::prelude::IntoRunnable::into_runnable)
        .expect("tract runs the model");
    let mut out = Vec::new();
    for n in 0..input.n {
        let chw = input.sample(n);
        let value = |c: usize, p: usize| chw[c * shape.plane() + p];
        let data: Vec<f32> = if nhwc {
            (0..shape.plane()).flat_map(|p| (0..shape.c).map(move |c| value(c, p))).collect()
        } else {
            chw.clone()
        };
        let tensor = Tensor::from_shape(&dims, &data).expect("the sizes agree");
        let result = plan.run(tvec!(tensor.into())).expect("tract runs");
        out.extend_from_slice(result[0].try_as_plain_ram().expect("in memory").as_slice::<f32>().expect("floats"));
    }
    out
}

#[test]
fn every_shared_model_loads_as_documented() {
    for known in MODELS {
        let Some(loaded) = model(known.name) else { return };
        let simple = simplify(loaded.graph).expect("valid");
        assert_eq!(simple.classes(), known.classes, "{}", known.name);
        assert_eq!((simple.macs() + 5_000) / 10_000, known.macs, "{}", known.name);
        assert_eq!(simple.params(), known.params, "{}", known.name);
        assert!(!simple.nodes.iter().any(|n| matches!(n.op, Op::Affine(_))), "{}: a batch norm is left", known.name);
    }
}

#[test]
fn every_tapped_relu_keeps_its_name() {
    for known in MODELS {
        let Some(path) = shared(&format!("models/ref_attribution/{}.csv", known.name)) else { continue };
        let text = std::fs::read_to_string(path).expect("readable");
        let names: BTreeSet<&str> = text.lines().skip(1).filter_map(|line| line.split(',').nth(2)).collect();
        let simple = simplify(model(known.name).expect("beside its scores").graph).expect("valid");
        for name in names {
            assert!(simple.nodes.iter().any(|n| n.name == name && n.op == Op::Relu), "{}: {name}", known.name);
        }
    }
}

#[test]
fn outputs_equal_onnxruntime_and_tract() {
    for known in MODELS {
        let Some(loaded) = model(known.name) else { return };
        let path = shared(&format!("models/{}.onnx", known.name)).expect("just loaded");
        let simple = simplify(loaded.graph.clone()).expect("valid");
        let shape = loaded.graph.shape(NodeId(0));
        let recorded = known.outputs.and_then(|data| {
            let suffix = if data.starts_with("lossless") { "_lossless" } else { "" };
            let case = shared(&format!("cases/{}{suffix}.toml", known.name))?;
            let outputs = shared(&format!("models/ref_outputs/{}.{data}.csv", known.name))?;
            let case = Case::load(&case).expect("the case loads");
            let samples = case.test().expect("the test data load");
            let text = std::fs::read_to_string(outputs).expect("readable");
            let rows: Vec<Vec<f32>> = text
                .lines()
                .skip(1)
                .map(|line| line.split(',').skip(2).map(|v| v.parse().expect("a number")).collect())
                .collect();
            let input = case.input.normalized(&samples, 0..rows.len(), |v| v as f32);
            Some((Batch::new(shape, rows.len(), input).expect("the sizes agree"), rows.concat()))
        });
        let (input, reference) = if let Some((input, reference)) = recorded {
            (input, Some(reference))
        } else {
            let pixels = noise(5, 4 * shape.len()).iter().map(|v| (v + 1.0) * 0.5).collect();
            (Batch::new(shape, 4, pixels).expect("the sizes agree"), None)
        };
        let plain = scores(&loaded.graph, &input);
        let folded = scores(&simple, &input);
        let tract = tract_scores(&path, &loaded, &input);
        let to_reference = reference.map(|r| deviation(&plain, &r));
        let (to_tract, by_folding) = (deviation(&plain, &tract), deviation(&plain, &folded));
        eprintln!("{}: {to_reference:?} to onnxruntime, {to_tract:e} to tract, {by_folding:e} by folding", known.name);
        assert!(to_reference.is_none_or(|d| d < 1e-4) && to_tract < 1e-4 && by_folding < 1e-4, "{}", known.name);
    }
}

#[test]
fn nhwc_and_nchw_twins_are_one_network() {
    let (Some(a), Some(b)) = (model("resnet8_cifar10"), model("resnet8_cifar10_nhwc")) else { return };
    assert_eq!(a.source.layout.name(), "NCHW");
    assert_eq!(b.source.layout.name(), "NHWC");
    assert_eq!(a.graph.to_string(), b.graph.to_string());
    assert!(a.graph == b.graph, "the weights differ");
}

fn conv(out: usize, c: usize, groups: usize, window: Window) -> Op {
    let weight = noise(out as u64 + 7, out * c / groups * window.kernel[0] * window.kernel[1]);
    Op::Conv(Conv { out_channels: out, in_channels: c, groups, window, weight, bias: noise(3, out) })
}

fn dense(out: usize, c: usize) -> Op {
    Op::Dense(Dense { out_features: out, in_features: c, weight: noise(9, out * c), bias: noise(4, out) })
}

/// A network that holds every operator; `softmax` at the end or not.
fn every_operator(softmax: bool) -> Graph {
    let mut g = Graph::new("pixels", Shape::new(3, 11, 9));
    let mut push = |name: &str, op: Op, inputs: &[NodeId]| g.push(name, op, inputs).expect("the shapes fit");
    let window = |kernel, stride, dilation, pad| Window { kernel, stride, dilation, pad };
    let norm = Affine { scale: vec![0.5, 2.0, 1.5], shift: vec![0.1, -0.2, 0.3] };
    let x = push("norm", Op::Affine(norm), &[NodeId(0)]);
    let x = push("border", Op::Pad(Pad { pad: [1, 0, 2, 1], value: 0.5 }), &[x]);
    let x = push("stem", conv(8, 3, 1, window([3, 2], [2, 1], [1, 2], [1, 0, 0, 2])), &[x]);
    let relu = push("relu", Op::Relu, &[x]);
    let dw = push("dw", conv(8, 8, 8, window([3, 3], [1, 1], [1, 1], [1, 1, 1, 1])), &[relu]);
    let swish = push("swish", Op::HardSwish, &[dw]);
    let grouped = push("grouped", conv(8, 8, 2, window([1, 1], [1, 1], [1, 1], [0; 4])), &[swish]);
    let sum = push("sum", Op::Add, &[grouped, relu]);
    let leaky = push("leaky", Op::LeakyRelu(LeakyRelu { alpha: 0.1 }), &[sum]);
    let mean = push("squeeze", Op::GlobalAvgPool, &[leaky]);
    let reduce = push("reduce", dense(4, 8), &[mean]);
    let relu6 = push("relu6", Op::Clip(Clip { lo: -0.5, hi: 6.0 }), &[reduce]);
    let expand = push("expand", dense(8, 4), &[relu6]);
    let hard = push("hard", Op::HardSigmoid(HardSigmoid { alpha: 0.2, beta: 0.5 }), &[expand]);
    let soft = push("soft", Op::Sigmoid, &[expand]);
    let gated = push("gate", Op::Gate, &[leaky, hard]);
    let gates = push("gate_of_vectors", Op::Gate, &[hard, soft]);
    let max = push("max", Op::MaxPool(MaxPool { window: window([3, 3], [1, 1], [1, 1], [1; 4]) }), &[gated]);
    let dilated = window([2, 2], [1, 1], [2, 1], [1, 0, 1, 1]);
    let avg = push("avg", Op::AvgPool(AvgPool { window: dilated, count_include_pad: false }), &[leaky]);
    let all = push("joined", Op::Concat, &[max, avg, gated]);
    let counted = AvgPool { window: window([3, 3], [2, 2], [1, 1], [1; 4]), count_include_pad: true };
    let counted = push("counted", Op::AvgPool(counted), &[all]);
    let upper = push("upper", Op::Clip(Clip { lo: f32::NEG_INFINITY, hi: 1.0 }), &[counted]);
    let flat = push("flat", Op::Flatten, &[upper]);
    let features = g.shape(flat).c;
    let fc = g.push("fc", dense(8, features), &[flat]).expect("the shapes fit");
    let mut out = g.push("score_gate", Op::Gate, &[fc, gates]).expect("the shapes fit");
    if softmax {
        out = g.push("softmax", Op::Softmax, &[out]).expect("the shapes fit");
    }
    assert_eq!(g.output, out);
    g.verify().expect("valid");
    g
}

#[test]
fn every_operator_survives_the_way_to_onnx_and_back() {
    for softmax in [false, true] {
        let graph = every_operator(softmax);
        let back = load_bytes(&to_onnx(&graph, "test"), "written.onnx").expect("fratc reads what it writes").graph;
        let input = Batch::new(graph.shape(NodeId(0)), 3, noise(1, 3 * 3 * 99)).expect("the sizes agree");
        let (a, b) = (scores(&graph, &input), scores(&back, &input));
        assert!(deviation(&a, &b) < 1e-5, "{} at softmax {softmax}", deviation(&a, &b));
        let kept = |g: &Graph| -> Vec<(String, &'static str)> {
            g.nodes.iter().skip(1).map(|n| (n.name.clone(), n.op.name())).collect()
        };
        assert_eq!(kept(&graph), kept(&back));
        assert!(deviation(&a, &scores(&simplify(graph).expect("valid"), &input)) < 1e-5);
    }
}

#[test]
fn shared_models_survive_the_way_to_onnx_and_back() {
    for known in MODELS {
        let Some(loaded) = model(known.name) else { return };
        let graph = simplify(loaded.graph).expect("valid");
        let back = load_bytes(&to_onnx(&graph, "test"), "written.onnx").expect("fratc reads what it writes").graph;
        assert!(graph == back || graph.to_string() == back.to_string(), "{}", known.name);
        let shape = graph.shape(NodeId(0));
        let input = Batch::new(shape, 2, noise(2, 2 * shape.len())).expect("the sizes agree");
        assert!(deviation(&scores(&graph, &input), &scores(&back, &input)) < 1e-6, "{}", known.name);
    }
}
