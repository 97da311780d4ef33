//! Several sources as one network: branches stay what they were, what is equal is there once, scores come to one
//! scale, and the crate is the network.

use std::path::Path;
use std::process::Command;

use fratc::assemble::{Branch, join};
use fratc::data::{InputContract, InputKind, Samples};
use fratc::exec::{Batch, Network, for_chunks};
use fratc::ir::op::{Affine, Conv, Dense, Op, Window};
use fratc::ir::{Graph, NodeId, Shape};
use fratc::pipeline::{From, HeadScale, Source, open_joint};
use fratc::qir::Provenance;
use fratc::quantize::{Options, quantize};
use fratc::sim;
use serde_json::Value;

use crate::demo_case::{self, first};
use crate::random_graph::Random;
use crate::shared::{shared, tell};

/// Logits of `samples`, one row each.
fn logits(graph: &Graph, contract: &InputContract, samples: &Samples) -> Vec<Vec<f32>> {
    let network = Network::<f32>::new(graph).expect("runs");
    let [h, w, c] = samples.shape;
    let chunks = for_chunks(samples.len(), |range| {
        let data = contract.normalized(samples, range.clone(), |x| x as f32);
        let acts = network.forward(&Batch::new(Shape::new(c, h, w), range.len(), data)?)?;
        let out = acts.get(graph.logits());
        Ok((0..out.n).map(|s| out.sample(s)).collect::<Vec<Vec<f32>>>())
    });
    chunks.expect("runs").into_iter().flatten().collect()
}

fn from(case: &Path, classes: &str) -> From {
    From { case: case.to_owned(), classes: classes.split(',').map(String::from).collect() }
}

/// Mean over classes of the share of right answers.
fn mean_class(rows: &[Vec<f32>], labels: &[u32], classes: usize) -> f64 {
    let mut counts = vec![(0.0, 0.0); classes];
    for (row, &label) in rows.iter().zip(labels) {
        let best = (0..classes).fold(0, |best, k| if row[k] > row[best] { k } else { best });
        counts[label as usize].0 += f64::from(u8::from(best == label as usize));
        counts[label as usize].1 += 1.0;
    }
    counts.iter().map(|(hits, n)| hits / n).sum::<f64>() / classes as f64
}

/// Joined logits of the first `n` test samples against what each source says of them itself.
fn check_equal(parts: &[(&str, &str)], n: usize) {
    let Some(cases): Option<Vec<_>> = parts.iter().map(|(case, _)| shared(case)).collect() else { return };
    let named: Vec<From> = cases.iter().zip(parts).map(|(case, (_, classes))| from(case, classes)).collect();
    let joint = open_joint(&named, HeadScale::Off, false).expect("joins");
    let test = joint.test.as_ref().expect("a test split");
    let some = test.select(&(0..test.len()).step_by(test.len().div_ceil(n)).collect::<Vec<usize>>());
    let got = logits(&joint.graph, &joint.case.input, &some);
    for (case, part) in cases.iter().zip(&joint.parts) {
        let own = Source::open(case).expect("opens");
        let want = logits(&own.graph, &own.case.input, &some);
        for (got, want) in got.iter().zip(&want) {
            for (output, &class) in part.outputs.clone().zip(&part.classes) {
                let (got, want) = (f64::from(got[output]), f64::from(want[class]));
                let limit = 1e-5 * want.abs().max(1.0);
                assert!((got - want).abs() <= limit, "{}: {got} for {want}", joint.case.label_names[output]);
            }
        }
    }
}

#[test]
fn joined_logits_are_the_sources_own() {
    check_equal(&[("cases/cnn_fmnist.toml", "Trouser,Bag"), ("cases/dscnn_emnist.toml", "C,A,B")], 40);
}

#[test]
fn branches_keep_their_own_normalisation() {
    check_equal(&[("cases/vgg_cifar.toml", "0,1"), ("cases/resnet8_large_cifar10.toml", "9,8")], 12);
}

#[test]
fn sources_of_other_sizes_see_their_own_images_as_they_are() {
    let (Some(grey), Some(color)) = (shared("cases/cnn_fmnist.toml"), shared("cases/vgg_cifar.toml")) else { return };
    let joint = open_joint(&[from(&grey, "8,1"), from(&color, "ship")], HeadScale::Off, false).expect("joins");
    assert_eq!(joint.case.input.shape, [32, 32, 3]);
    let test = joint.test.as_ref().expect("a test split");
    for (case, part) in [&grey, &color].into_iter().zip(&joint.parts) {
        let own = Source::open(case).expect("opens");
        let of_part = |i: &usize| part.outputs.contains(&(test.labels[*i] as usize));
        let here: Vec<usize> = (0..test.len()).filter(of_part).take(20).collect();
        let all = own.test.as_ref().expect("a test split");
        let there: Vec<usize> =
            (0..all.len()).filter(|&i| part.classes.contains(&(all.labels[i] as usize))).take(20).collect();
        let got = logits(&joint.graph, &joint.case.input, &test.select(&here));
        let want = logits(&own.graph, &own.case.input, &all.select(&there));
        for (got, want) in got.iter().zip(&want) {
            for (output, &class) in part.outputs.clone().zip(&part.classes) {
                let (got, want) = (f64::from(got[output]), f64::from(want[class]));
                assert!((got - want).abs() <= 1e-5 * want.abs().max(1.0), "{}: {got} for {want}", part.name);
            }
        }
    }
}

#[test]
fn class_sets_of_one_source_share_its_body() {
    let Some(case) = shared("cases/cnn_fmnist.toml") else { return };
    let joint = open_joint(&[from(&case, "4,0"), from(&case, "7")], HeadScale::Fit, false).expect("joins");
    let own = Source::open(&case).expect("opens");
    let dropped = 7 * 96;
    assert_eq!(joint.graph.macs(), own.graph.macs() - dropped, "{}", joint.graph);
    assert_eq!(joint.case.label_names, ["Coat", "T-shirt/top", "Sneaker"]);
    let twice = open_joint(&[from(&case, "4,0"), from(&case, "0")], HeadScale::Fit, false);
    assert_eq!(twice.expect_err("a class twice").code, "joint/class-twice");
}

#[test]
fn classes_to_reject_by_come_last_and_share_the_body() {
    let (Some(a), Some(b)) = (shared("cases/cnn_fmnist.toml"), shared("cases/dscnn_emnist.toml")) else { return };
    let joint = open_joint(&[from(&a, "Bag"), from(&b, "C,A")], HeadScale::Fit, true).expect("joins");
    let names = &joint.case.label_names;
    assert_eq!(names[..3], ["Bag", "C", "A"]);
    assert_eq!(names.len(), 36);
    let macs = |case: &Path| Source::open(case).expect("opens").graph.macs();
    assert_eq!(joint.graph.macs(), macs(&a) + macs(&b), "two bodies, heads in parts");
    assert_eq!(
        joint.parts.iter().map(|p| (p.wanted, p.network)).collect::<Vec<_>>(),
        [(true, 0), (true, 1), (false, 0), (false, 1)]
    );
}

fn random_conv(random: &mut Random, [o, i]: [usize; 2], pad: usize) -> Op {
    let window = Window { pad: [pad; 4], ..Window::new([3, 3]) };
    let mut values = |n: usize| (0..n).map(|_| random.unit() - 0.5).collect::<Vec<f32>>();
    Op::Conv(Conv { out_channels: o, in_channels: i, groups: 1, window, weight: values(o * i * 9), bias: values(o) })
}

/// Convolution, ReLU, global mean, dense layer.
fn small_net(random: &mut Random, classes: usize, pad: usize) -> Graph {
    let mut graph = Graph::new("x", Shape::new(3, 9, 8));
    let conv = random_conv(random, [5, 3], pad);
    let mut at = graph.push("conv", conv, &[NodeId(0)]).expect("fits");
    for (name, op) in [("relu", Op::Relu), ("mean", Op::GlobalAvgPool)] {
        at = graph.push(name, op, &[at]).expect("fits");
    }
    let mut values = |n: usize| (0..n).map(|_| random.unit() - 0.5).collect::<Vec<f32>>();
    let dense = Dense { out_features: classes, in_features: 5, weight: values(classes * 5), bias: values(classes) };
    graph.push("dense", Op::Dense(dense), &[at]).expect("fits");
    graph
}

#[test]
fn each_branch_folds_its_own_normalisation_into_integers() {
    let mut random = Random::new(5);
    let nets = [small_net(&mut random, 3, 1), small_net(&mut random, 2, 1), small_net(&mut random, 4, 0)];
    let inputs = [
        Affine { scale: vec![1.0 / 63.0, 1.0 / 61.0, 1.0 / 65.0], shift: vec![-1.9, -2.1, -1.7] },
        Affine { scale: vec![1.0; 3], shift: vec![0.0; 3] },
        Affine { scale: vec![2.0 / 255.0; 3], shift: vec![-1.0; 3] },
    ];
    let names = ["a", "b", "c"];
    let branch = |i: usize| Branch { name: names[i], graph: &nets[i], input: vec![Op::Affine(inputs[i].clone())] };
    let joined = join(Shape::new(3, 9, 8), &[branch(0), branch(1), branch(2)]).expect("joins");
    let contract = InputContract::new(InputKind::U8, [9, 8, 3], 1.0);
    let samples = Samples::random(&contract, 48, 3);
    let mut graph = joined.graph;
    // The second branch reads pixels as they are: its scores are far larger, so they are scaled to the others'.
    let scale = fratc::heads::Scale { scale: 1.0 / 64.0, offset: 0.0 };
    fratc::heads::apply(&mut graph, &[(joined.heads[1], scale)]).expect("a dense head");
    let want = logits(&graph, &contract, &samples);
    let classes: Vec<String> = (0..9).map(|i| format!("c{i}")).collect();
    let program = quantize(&graph, &contract, &samples, "joined", &classes, Provenance::default(), &Options::default())
        .expect("quantizes");
    assert_eq!(program.layers.iter().filter(|l| l.inputs.contains(&program.input())).count(), 3);
    let quant = program.tensor(program.output).quant;
    let spread = want.iter().flatten().fold(0.0f32, |m, v| m.max(v.abs()));
    for (i, want) in want.iter().enumerate() {
        for (q, want) in sim::run(&program, samples.sample(i)).iter().zip(want) {
            let got = quant.scale * (i32::from(*q) - quant.zero_point) as f32;
            assert!((got - want).abs() < spread * 0.03, "{got} for {want} of {spread}");
        }
    }
}

/// Builds through the command line; the report.
fn build(words: &[&str]) -> Value {
    let output =
        Command::new(env!("CARGO_BIN_EXE_fratc")).args(words).args(["--json", "--quiet"]).output().expect("fratc runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn a_crate_of_two_sources_is_verified_and_costs_their_sum() {
    let (Some(a), Some(b)) = (shared("cases/cnn_fmnist.toml"), shared("cases/dscnn_emnist.toml")) else { return };
    let dir = tempfile::tempdir().expect("temporary folder");
    let out = dir.path().join("mixed");
    let (a, b) = (format!("{}:Trouser", text(&a)), format!("{}:A", text(&b)));
    let words = ["--from", &a, "--from", &b, "--keep", "0.25", "--target", "qemu-m4", "--verify-samples", "4"];
    let report = build(&[&["build", "--out", text(&out)], &words[..]].concat());
    assert_eq!(report["classes"].to_string(), "[\"Trouser\",\"A\"]");
    assert_eq!(report["verify"]["host"]["mismatches"], 0);
    if report["verify"]["qemu"].is_object() {
        assert_eq!(report["verify"]["qemu"]["mismatches"], 0);
    }
    let joint = &report["joint"];
    let parts = joint["components"].as_array().expect("components");
    let macs: u64 = parts.iter().map(|p| p["macs"].as_u64().expect("a number")).sum();
    assert_eq!(macs - joint["shared_macs"].as_u64().expect("a number"), report["assembled"]["macs"], "{report:#}");
    for class in ["Trouser", "A"] {
        let right = report["accuracy"]["per_class"][class]["int8"].as_f64().expect("a number");
        assert!(right >= 0.95, "{class}: {right}");
    }
}

#[test]
fn route_libraries_of_the_sources_are_used_again() {
    let (Some(a), Some(b)) = (shared("cases/cnn_fmnist.toml"), shared("cases/dscnn_emnist.toml")) else { return };
    let dir = tempfile::tempdir().expect("temporary folder");
    let library = |case: &Path, name: &str| {
        let path = dir.path().join(name);
        build(&["attribute", text(case), "--out", text(&path)]);
        path
    };
    let (clothes, letters) = (library(&a, "clothes.frat"), library(&b, "letters.frat"));
    let out = dir.path().join("small.onnx");
    let (bag, trouser, letter) =
        (format!("{}:Bag", text(&a)), format!("{}:Trouser", text(&a)), format!("{}:A", text(&b)));
    let from = ["--from", &bag, "--from", &letter, "--from", &trouser, "--keep", "0.5", "--out", text(&out)];
    let libraries = ["--library", text(&letters), "--library", text(&clothes)];
    let summary = build(&[&["assemble"], &from[..], &libraries].concat());
    assert_eq!(summary["classes"].to_string(), "[\"Bag\",\"A\",\"Trouser\"]");
    let joint =
        open_joint(&[from_word(&bag), from_word(&letter), from_word(&trouser)], HeadScale::Fit, false).expect("joins");
    let graph = fratc::load::load(&out).expect("loads").graph;
    let test = joint.test.as_ref().expect("a test split");
    let thin = test.select(&(0..test.len()).step_by(5).collect::<Vec<usize>>());
    let mean = mean_class(&logits(&graph, &joint.case.input, &thin), &thin.labels, 3);
    assert!(mean > 0.95, "{mean}");
    let refused = |libraries: &[&str]| {
        let words = [&["assemble"], &from[..], libraries].concat();
        let output = Command::new(env!("CARGO_BIN_EXE_fratc")).args(words).output().expect("fratc runs");
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(refused(&libraries[..2]).contains("route/no-library"));
    assert!(refused(&[&libraries[..], &["--method", "l1"]].concat()).contains("route/library-method"));
    assert!(refused(&[&libraries[..], &libraries[..2]].concat()).contains("route/library-unused"));
}

/// Two sources that differ in what they take pixels for only, whose components learn one last layer.
#[test]
fn components_learn_one_last_layer() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let drawn = demo_case::drawn();
    let training = fratc::demo::samples(80, fratc::demo::TRAIN_SEED + 500);
    let calibration = first(&drawn.calibration, 12);
    demo_case::write(
        dir.path(),
        "case.toml",
        &[("calibration", &calibration), ("train", &training), ("test", &drawn.test)],
    );
    let case = std::fs::read_to_string(dir.path().join("case.toml")).expect("text");
    let scale = format!("scale = {}", drawn.input.scale);
    let brighter = case.replace(&scale, &format!("scale = {}", drawn.input.scale * 1.02));
    assert_ne!(case, brighter);
    std::fs::write(dir.path().join("other.toml"), brighter).expect("written");
    let component = |name: &str, classes: &str| format!("{}:{classes}", text(&dir.path().join(name)));
    let (a, b) = (component("case.toml", "3,7"), component("other.toml", "11,12"));
    let from = ["--from", &a, "--from", &b, "--keep", "0.1", "--finetune", "1", "--heads", "joint"];
    let out = dir.path().join("one");
    let crate_of = ["build", "--target", "qemu-m4", "--verify-samples", "2", "--out", text(&out)];
    let report = build(&[&crate_of, &from[..]].concat());
    assert_eq!(report["verify"]["host"]["mismatches"], 0);
    let joint = &report["joint"];
    let parts = joint["components"].as_array().expect("components");
    let number = |value: &Value| value.as_u64().expect("a number");
    let alone: u64 = parts.iter().map(|p| number(&p["macs"])).sum();
    // The last layer reads the features of both for the classes of both: as much again as the components' own ones.
    let whole = number(&report["assembled"]["macs"]);
    assert!(whole > alone && whole < alone + alone / 4, "{whole} for {alone}: {report:#}");
    let right = joint["mean_class_int8"].as_f64().expect("a number");
    assert!(right > 0.9, "{right}");

    // What the layer takes counts towards limits.
    let onnx = dir.path().join("one.onnx");
    let limited = ["assemble", "--max-macs", "3%", "--out", text(&onnx)];
    let summary = build(&[&limited[..], &from[..4], &from[6..]].concat());
    let (macs, of) = (number(&summary["macs"]), number(&summary["source_macs"]));
    assert!(macs * 100 <= of * 3 && macs * 100 > of * 2, "{macs} of {of}");

    let output = Command::new(env!("CARGO_BIN_EXE_fratc"))
        .args([&["assemble", "--out", text(&dir.path().join("one.assembly"))], &from[..]].concat())
        .output()
        .expect("fratc runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("joint/heads"));
}

fn from_word(word: &str) -> From {
    word.parse().expect("a component")
}

/// `cargo test --release --test it -- --ignored --nocapture uncut_sources_on_one_scale`
#[test]
#[ignore = "a measurement"]
fn uncut_sources_on_one_scale() {
    for parts in [
        [("cases/cnn_fmnist.toml", "0,1,2"), ("cases/dscnn_emnist.toml", "A,B,C")],
        [("cases/cnn_fmnist.toml", "5,7,9"), ("cases/dscnn_emnist.toml", "I,J,L,O")],
        [("cases/cnn_fmnist.toml", "1"), ("cases/dscnn_emnist.toml", "I")],
        [("cases/cnn_fmnist.toml", "8"), ("cases/dscnn_emnist.toml", "G")],
        [("cases/vgg_cifar.toml", "0,1"), ("cases/resnet8_large_cifar10.toml", "8,9")],
    ] {
        let Some(cases): Option<Vec<_>> = parts.iter().map(|(case, _)| shared(case)).collect() else { return };
        let named: Vec<From> = cases.iter().zip(&parts).map(|(case, (_, classes))| from(case, classes)).collect();
        for scale in [HeadScale::Off, HeadScale::Level, HeadScale::Fit] {
            let joint = open_joint(&named, scale, false).expect("joins");
            let test = joint.test.as_ref().expect("a test split");
            let thin = test.select(&(0..test.len()).step_by(2).collect::<Vec<usize>>());
            let rows = logits(&joint.graph, &joint.case.input, &thin);
            let mean = mean_class(&rows, &thin.labels, joint.case.label_names.len());
            tell(&format!("{parts:?} heads {}: {:.2} %", scale.name(), mean * 100.0));
        }
    }
}
