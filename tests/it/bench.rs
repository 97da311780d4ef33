//! Measurements that are run by hand: gradients of every map on one thread, beside `PyTorch` on the same network and inputs.
//!
//! `FRATC_TORCH=python3 cargo test --release --test it bench -- --ignored --nocapture`, with a Python that has torch, numpy
//! and onnx; `FRATC_BENCH=vgg16,resnet20` names some of the networks. Without `FRATC_TORCH` only fratc is measured, and
//! the command that measures `PyTorch` is printed.

use std::path::Path;
use std::process::Command;

use fratc::attribute::{Frat, Target, point_sums, route_points};
use fratc::data::{Case, InputContract, InputKind, Samples};
use fratc::exec::Network;
use fratc::ir::groups::channel_groups;
use fratc::ir::{Graph, onnx, pass};

use crate::large::shapes;
use crate::random_graph::Random;
use crate::shared::{shared, tell};

/// Networks and the samples whose gradients are timed: seconds of work each, whole chunks.
const NETWORKS: [(&str, usize); 4] =
    [("vgg_cifar", 320), ("resnet8_large_cifar10", 128), ("resnet20", 160), ("vgg16", 16)];

/// Runs of each, in turns: the least is the least disturbed.
const ROUNDS: usize = 3;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/attribution/torch_gradients.py");

/// Processor time of this thread so far, as Linux counts it.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("a Linux kernel's scheduler statistics");
    let nanoseconds = text.split_whitespace().next().and_then(|n| n.parse::<f64>().ok()).expect("a number");
    nanoseconds * 1e-9
}

/// A real network with its calibration samples, or a shape with random ones.
fn subject(name: &str, count: usize) -> Option<(Graph, InputContract, Samples)> {
    if shapes::NAMES.contains(&name) {
        let (classes, side) = shapes::size(name);
        let graph = shapes::network(name, classes, side).expect("a known name").expect("a sound network");
        let mut random = Random::new(5);
        let raw = (0..count * side * side * 3).map(|_| random.bits() as u8).collect();
        let labels = (0..count as u32).map(|i| i % classes as u32).collect();
        let input = InputContract::new(InputKind::U8, [side, side, 3], 1.0 / 255.0);
        return Some((graph, input, Samples { shape: [side, side, 3], kind: InputKind::U8, raw, labels }));
    }
    let case = Case::load(&shared(&format!("cases/{name}.toml"))?).expect("case file");
    let graph = fratc::load::load(&case.model).expect("model loads").graph;
    let samples = case.calibration().expect("calibration split");
    let first: Vec<usize> = (0..count).collect();
    Some((graph, case.input, samples.select(&first)))
}

/// CPU seconds of `PyTorch`, as its script prints them.
fn torch(python: &str, model: &Path, inputs: &Path) -> f64 {
    let output = Command::new(python).arg(SCRIPT).args([model, inputs]).output().expect("python starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    tell(&format!("  {}", text.trim_end()));
    let words: Vec<&str> = text.split_whitespace().collect();
    let at = words.iter().position(|&w| w == "CPU").expect("the script prints CPU seconds");
    words[at - 1].parse().expect("a number")
}

#[test]
#[ignore = "a measurement, not a check"]
fn attribution_beside_pytorch() {
    let python = std::env::var("FRATC_TORCH").ok();
    let only = std::env::var("FRATC_BENCH").ok();
    for (name, count) in NETWORKS {
        if only.as_ref().is_some_and(|only| !only.split(',').any(|n| n == name)) {
            continue;
        }
        let Some((graph, input, samples)) = subject(name, count) else { continue };
        let graph = pass::simplify(graph).expect("simplifies");
        let dir = tempfile::tempdir().expect("temporary folder");
        let (model, inputs) = (dir.path().join("model.onnx"), dir.path().join("inputs.f32"));
        std::fs::write(&model, onnx::to_onnx(&graph, "bench")).expect("writes the model");
        // One batch per sample, so that the file is [N, C, H, W].
        let floats = (0..samples.len()).flat_map(|i| input.normalized(&samples, [i], |v| v as f32));
        std::fs::write(&inputs, floats.flat_map(f32::to_le_bytes).collect::<Vec<u8>>()).expect("writes inputs");
        let classes: Vec<u8> = samples.labels.iter().flat_map(|&c| (c as i32).to_le_bytes()).collect();
        std::fs::write(dir.path().join("inputs.f32.classes"), classes).expect("writes classes");

        let network = Network::<f32>::new(&graph).expect("runs");
        let mut points: Vec<_> = route_points(&graph, &channel_groups(&graph)).into_iter().flatten().collect();
        points.sort_unstable();
        let frat = Frat { target: Target::Margin, weighted: true, within: None };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("pool");
        let ours = || -> f64 {
            let (seconds, total): (f64, f64) = pool.install(|| {
                let start = cpu_seconds();
                // Chunks of one class each, as `fratc attribute` makes them.
                let sums = |class: u32| {
                    let own: Vec<usize> = (0..samples.len()).filter(|&i| samples.labels[i] == class).collect();
                    point_sums(&network, &input, &samples, &own, class as usize, &points, &frat).expect("runs")
                };
                let mut present: Vec<u32> = samples.labels.clone();
                present.sort_unstable();
                present.dedup();
                let total = present.into_iter().flat_map(sums).flatten().sum();
                (cpu_seconds() - start, total)
            });
            eprintln!("  fratc: {} samples, {seconds:.3} CPU seconds, checksum {total:.6e}", samples.len());
            seconds
        };
        eprintln!("{name}:");
        let Some(python) = &python else {
            ours();
            let kept = dir.keep();
            eprintln!("  compare: python {SCRIPT} {0}/model.onnx {0}/inputs.f32", kept.display());
            continue;
        };
        let (mut least, mut theirs) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..ROUNDS {
            least = least.min(ours());
            theirs = theirs.min(torch(python, &model, &inputs));
        }
        eprintln!("{name}: fratc {least:.3}, PyTorch {theirs:.3} CPU seconds: {:.2} times PyTorch's", least / theirs);
    }
}
