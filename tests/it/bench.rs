//! Measurements that are run by hand: gradients of every map, and epochs of training, on one thread, beside `PyTorch` on the
//! same network and inputs.
//!
//! `FRATC_TORCH=python3 cargo test --release --test it bench -- --ignored --nocapture`, with a Python that has torch, numpy
//! and onnx; `FRATC_BENCH=vgg16,resnet20` names some of the networks. Without `FRATC_TORCH` only fratc is measured, and
//! the command that measures `PyTorch` is printed.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use fratc::attribute::{Frat, Target, point_sums, route_points};
use fratc::data::{Case, InputContract, InputKind, Samples};
use fratc::exec::Network;
use fratc::finetune::{Options, Sgd, tune};
use fratc::ir::groups::channel_groups;
use fratc::ir::{Graph, onnx, pass};

use crate::large::shapes;
use crate::random_graph::Random;
use crate::shared::{shared, tell};

/// Networks and the samples whose gradients are timed: seconds of work each, whole chunks.
const NETWORKS: [(&str, usize); 4] =
    [("vgg_cifar", 320), ("resnet8_large_cifar10", 128), ("resnet20", 160), ("vgg16", 16)];

/// Networks that are trained.
const TRAINED: [&str; 4] = ["vgg_cifar", "resnet8_large_cifar10", "cnn_fmnist", "dscnn_emnist"];

/// Samples whose steps are timed.
const STEPS: usize = 640;

/// Samples of an epoch: what the training images of three classes come to. Calibration samples are repeated up to that.
const EPOCH: usize = 6000;

/// Samples of a step.
const BATCH: usize = 32;

/// Runs of each, in turns: the least is the least disturbed.
const ROUNDS: usize = 3;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/attribution");

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
    let first: Vec<usize> = (0..count).map(|i| i % samples.len()).collect();
    Some((graph, case.input, samples.select(&first)))
}

/// Whether a network is asked for.
fn chosen(name: &str) -> bool {
    std::env::var("FRATC_BENCH").ok().is_none_or(|only| only.split(',').any(|n| n == name))
}

/// What is run, and the files that a script reads.
struct Subject {
    graph: Graph,
    input: InputContract,
    samples: Samples,
    folder: tempfile::TempDir,
}

impl Subject {
    fn new(name: &str, count: usize) -> Option<Self> {
        let (graph, input, samples) = subject(name, count)?;
        let graph = pass::simplify(graph).expect("simplifies");
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::write(folder.path().join("model.onnx"), onnx::to_onnx(&graph, "bench")).expect("writes the model");
        // One batch per sample, so that the file is [N, C, H, W].
        let floats = (0..samples.len()).flat_map(|i| input.normalized(&samples, [i], |v| v as f32));
        let floats: Vec<u8> = floats.flat_map(f32::to_le_bytes).collect();
        std::fs::write(folder.path().join("inputs.f32"), floats).expect("writes inputs");
        let classes: Vec<u8> = samples.labels.iter().flat_map(|&c| (c as i32).to_le_bytes()).collect();
        std::fs::write(folder.path().join("inputs.f32.classes"), classes).expect("writes classes");
        Some(Self { graph, input, samples, folder })
    }

    /// Runs `ours`, which gives CPU seconds, and a script of `PyTorch` in turns and prints the least of each. Without
    /// `PyTorch`, runs `ours` once and says how the script is started.
    fn compare(self, name: &str, script: &str, ours: impl Fn(&Self) -> f64) {
        let script = Path::new(SCRIPTS).join(script);
        tell(&format!("{name}:"));
        let Ok(python) = std::env::var("FRATC_TORCH") else {
            ours(&self);
            let kept = self.folder.keep();
            let script = script.display();
            tell(&format!("  compare: python {script} {0}/model.onnx {0}/inputs.f32", kept.display()));
            return;
        };
        let (mut least, mut theirs) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..ROUNDS {
            least = least.min(ours(&self));
            theirs = theirs.min(torch(&python, &script, self.folder.path()));
        }
        let times = least / theirs;
        tell(&format!("{name}: fratc {least:.3}, PyTorch {theirs:.3} CPU seconds: {times:.2} times PyTorch's"));
    }
}

/// CPU seconds of `PyTorch`, as its script prints them.
fn torch(python: &str, script: &Path, folder: &Path) -> f64 {
    let files = ["model.onnx", "inputs.f32"].map(|name| folder.join(name));
    let output = Command::new(python).arg(script).args(files).output().expect("python starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    tell(&format!("  {}", text.trim_end()));
    let words: Vec<&str> = text.split_whitespace().collect();
    let at = words.iter().position(|&w| w == "CPU").expect("the script prints CPU seconds");
    words[at - 1].parse().expect("a number")
}

/// CPU seconds of `work` on one thread, and what it gives.
fn timed<T: Send>(work: impl FnOnce() -> T + Send) -> (f64, T) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("pool");
    pool.install(|| {
        let start = cpu_seconds();
        let result = work();
        (cpu_seconds() - start, result)
    })
}

#[test]
#[ignore = "a measurement, not a check"]
fn attribution_beside_pytorch() {
    for (name, count) in NETWORKS.into_iter().filter(|(name, _)| chosen(name)) {
        let Some(subject) = Subject::new(name, count) else { continue };
        let network = Network::<f32>::new(&subject.graph).expect("runs");
        let groups = channel_groups(&subject.graph);
        let mut points: Vec<_> = route_points(&subject.graph, &groups).into_iter().flatten().collect();
        points.sort_unstable();
        let frat = Frat { target: Target::Margin, weighted: true, within: None };
        subject.compare(name, "torch_gradients.py", |Subject { input, samples, .. }| {
            let (seconds, total): (f64, f64) = timed(|| {
                // Chunks of one class each, as `fratc attribute` makes them.
                let sums = |class: u32| {
                    let own: Vec<usize> = (0..samples.len()).filter(|&i| samples.labels[i] == class).collect();
                    point_sums(&network, input, samples, &own, class as usize, &points, &frat).expect("runs")
                };
                let mut present: Vec<u32> = samples.labels.clone();
                present.sort_unstable();
                present.dedup();
                present.into_iter().flat_map(sums).flatten().sum()
            });
            eprintln!("  fratc: {} samples, {seconds:.3} CPU seconds, checksum {total:.6e}", samples.len());
            seconds
        });
    }
}

/// Weights that hardly move: the losses of both are those of the same network.
const RATE: f64 = 1e-9;

#[test]
#[ignore = "a measurement, not a check"]
fn training_steps_beside_pytorch() {
    for name in TRAINED.into_iter().filter(|name| chosen(name)) {
        let Some(subject) = Subject::new(name, STEPS) else { continue };
        subject.compare(name, "torch_training.py", |Subject { graph, input, samples, .. }| {
            let order: Vec<usize> = (0..samples.len()).collect();
            let (seconds, loss) = timed(|| {
                let mut graph = graph.clone();
                let mut sgd = Sgd::new(&graph, 0.9, 1e-4, 0.0);
                let step = |indices| sgd.step(&mut graph, input, samples, indices, RATE).expect("runs").0;
                order.chunks(BATCH).map(step).sum::<f64>() / samples.len() as f64
            });
            eprintln!("  fratc: {} samples, {seconds:.3} CPU seconds, loss {loss:.6}", samples.len());
            seconds
        });
    }
}

/// An epoch as `--finetune 1` makes it, with its second moments and its mean of weights, beside one of plain steps.
#[test]
#[ignore = "a measurement, not a check"]
fn an_epoch_beside_pytorch() {
    for name in TRAINED.into_iter().filter(|name| chosen(name)) {
        let Some(subject) = Subject::new(name, EPOCH) else { continue };
        subject.compare(name, "torch_training.py", |Subject { graph, input, samples, .. }| {
            let row = |&label: &u32| (0..graph.classes() as u32).map(|c| f32::from(u8::from(c == label))).collect();
            let targets: Vec<Vec<f32>> = samples.labels.iter().map(row).collect();
            let options = Options { batch: BATCH, rate: RATE, ..Options::default() };
            let (seconds, _) = timed(|| {
                tune(graph, input, samples, &targets, &options, &BTreeSet::new(), |_, _| Ok(())).expect("runs")
            });
            eprintln!("  fratc: {} samples, {seconds:.3} CPU seconds", samples.len());
            seconds
        });
    }
}
