//! Instructions and cycles of emitted crates: measured in two ways, held to a baseline, and written to
//! `docs/bench.md`.

mod docs;
mod fit;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use fratc::bench::{self, Measured};
use fratc::data::{Case, InputContract, Samples};
use fratc::emit::{self, EmittedFile, Sample, emit};
use fratc::ir::pass;
use fratc::plan::{self, channel_granule, plan_for};
use fratc::qir::{self, Program};
use fratc::target::Target;
use fratc::{demo, load, quantize, sim};

use crate::programs::{self, Pattern};
use crate::shared::{shared, skipped, tell};

/// Instructions may rise by this share over the baseline.
const RISE: f64 = 0.01;

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/instructions.txt");

/// Whether QEMU is there; in CI it must be.
fn qemu() -> bool {
    let found = Command::new("qemu-system-arm").arg("--version").stdout(Stdio::null()).status().is_ok();
    assert!(found || std::env::var("CI").as_deref() != Ok("true"), "CI needs qemu-system-arm");
    if !found {
        skipped("qemu-system-arm is not installed; this test counts instructions in it");
    }
    found
}

fn target(name: &str) -> Target {
    Target::load(name).expect("a shipped target")
}

/// The crate of `program` for `target`, and an input.
fn emitted(program: &Program, target: &Target) -> (Vec<EmittedFile>, Vec<u8>) {
    let input = Pattern::new(99).sample(program);
    let samples = vec![Sample { scores: sim::run(program, &input), input: input.clone() }];
    let plan = plan_for(program, target).expect("plans");
    let options = emit::Options { samples, ..emit::Options::default() };
    (emit(program, &plan, target, &options).expect("emits"), input)
}

/// `program` as `fratc build` emits it for the target `name`.
pub fn simplified(program: &Program, name: &str) -> Program {
    let options = qir::pass::Options { granule: channel_granule(&target(name)), ..qir::pass::Options::default() };
    qir::pass::simplify(program, &options).expect("simplifies").0
}

/// The crate of `program` on the target `name`, measured.
fn measured(program: &Program, name: &str, options: &bench::Options) -> Measured {
    let target = target(name);
    let (files, input) = emitted(program, &target);
    bench::measure(&files, program, &input, &target, options).expect("measured")
}

/// The same with kernels chosen for `optimize`; and the bytes of the arena.
fn measured_for(program: &Program, name: &str, optimize: plan::Optimize) -> (Measured, usize) {
    let target = target(name);
    let input = Pattern::new(99).sample(program);
    let samples = vec![Sample { scores: sim::run(program, &input), input: input.clone() }];
    let goal = plan::Options { optimize, ..plan::Options::default() };
    let plan = plan::plan_as(program, &target, &goal).expect("plans");
    let options = emit::Options { samples, ..emit::Options::default() };
    let files = emit(program, &plan, &target, &options).expect("emits");
    let found = bench::measure(&files, program, &input, &target, &bench::Options::default());
    (found.expect("measured"), plan.arena_bytes)
}

/// The same, the whole only.
fn whole(program: &Program, name: &str) -> u64 {
    let target = target(name);
    let (files, input) = emitted(program, &target);
    let options = bench::Options::default();
    bench::measure_whole(&files, program, &input, &target, &options).expect("measured").instructions
}

/// The int8 program of a network with all its classes.
fn lowered(name: &str, model: &[u8], contract: &InputContract, samples: &Samples, labels: &[String]) -> Program {
    let graph = pass::simplify(load::load_bytes(model, name).expect("loads").graph).expect("simplifies");
    let options = quantize::Options::default();
    quantize::quantize(&graph, contract, samples, name, labels, qir::Provenance::default(), &options).expect("lowers")
}

/// The committed network of `fratc demo`, all 16 classes.
pub fn markers() -> Program {
    let demo = demo::case();
    let few: Vec<usize> = (0..demo.calibration.len()).step_by(10).collect();
    lowered("markers", demo::model_bytes(), &demo.input, &demo.calibration.select(&few), &demo.label_names)
}

/// A network of the pack, calibrated on its calibration samples, or on random ones where it has none.
pub fn of_pack(name: &str) -> Option<Program> {
    let case = Case::load(&shared(&format!("cases/{name}.toml"))?).expect("case file");
    let samples = match &case.calibration {
        Some(_) => case.calibration().expect("calibration samples"),
        None => Samples::random(&case.input, 32, 0),
    };
    let few: Vec<usize> = (0..samples.len()).step_by(samples.len().div_ceil(300)).collect();
    let (bytes, _) = case.model_bytes().expect("model");
    Some(lowered(name, &bytes, &case.input, &samples.select(&few), &case.label_names))
}

/// Instructions of what is tracked, by `network target`.
fn tracked() -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let mut count = |program: &Program, target: &str| {
        found.insert(format!("{} {target}", program.name), whole(&simplified(program, target), target));
    };
    let markers = markers();
    for target in ["qemu-m4", "qemu-m3", "qemu-m0"] {
        count(&markers, target);
    }
    if let Some(resnet8) = of_pack("resnet8_cifar10") {
        count(&resnet8, "qemu-m4");
    }
    found
}

/// What the committed file says, by `network target`.
fn baseline() -> BTreeMap<String, u64> {
    let text = fs::read_to_string(BASELINE).expect("the baseline");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let entry = |line: &str| {
        let (what, count) = line.rsplit_once(' ').expect("network, target and count");
        (what.to_string(), count.parse().expect("a count"))
    };
    lines.map(entry).collect()
}

/// After a change that is meant to cost more, or one that made code faster:
/// `cargo test --release --test it -- --ignored counts::write_baseline`
#[test]
fn instructions_do_not_rise() {
    if !qemu() {
        return;
    }
    let baseline = baseline();
    let mut slower = String::new();
    for (what, count) in tracked() {
        let Some(&before) = baseline.get(&what) else { panic!("{what} is not in {BASELINE}") };
        let rise = count as f64 / before as f64 - 1.0;
        tell(&format!("{what}: {count} instructions, {:+.2} % against the baseline", rise * 100.0));
        if rise > RISE {
            let _ = writeln!(slower, "{what}: {before} to {count} instructions, {:+.2} %", rise * 100.0);
        }
    }
    assert!(slower.is_empty(), "more than {RISE} above {BASELINE}:\n{slower}");
}

#[test]
#[ignore = "writes the baseline of the test above"]
fn write_baseline() {
    let mut text = "# Instructions of one inference: network, target, count. Held by tests/it/counts.rs; written by\n\
                    # cargo test --release --test it -- --ignored counts::write_baseline\n"
        .to_string();
    for (what, count) in tracked() {
        let _ = writeln!(text, "{what} {count}");
    }
    fs::write(BASELINE, text).expect("written");
}

/// Two ways that have nothing in common but the firmware.
#[test]
fn without_a_c_compiler_systick_says_the_same() {
    if !qemu() {
        return;
    }
    let program = programs::residual();
    let exact = measured(&program, "qemu-m4", &bench::Options::default());
    let options = bench::Options { compiler: "no-such-compiler".into(), ..bench::Options::default() };
    let timed = measured(&program, "qemu-m4", &options);
    assert!(exact.exact, "a C compiler is there: {:?}", exact.notes);
    assert!(!timed.exact && timed.notes[0].contains("no-such-compiler"), "{:?}", timed.notes);
    assert_eq!((exact.layers.len(), exact.footprint), (program.layers.len(), timed.footprint));
    // A tick is 40 instructions.
    let near = |a: u64, b: u64| a.abs_diff(b) <= 80;
    assert!(near(exact.whole.instructions, timed.whole.instructions), "{:?} {:?}", exact.whole, timed.whole);
    for (a, b) in exact.layers.iter().zip(&timed.layers) {
        assert!(near(a.instructions, b.instructions), "{a:?} {b:?}");
        assert!(b.cycles.is_none() && a.cycles.is_some_and(|cycles| cycles >= a.instructions), "{a:?} {b:?}");
    }
    let layers: u64 = exact.layers.iter().map(|layer| layer.instructions).sum();
    assert!(
        layers.abs_diff(exact.whole.instructions) < exact.whole.instructions / 100,
        "{layers} in the layers, {:?}",
        exact.whole
    );
    // Another core: no cycles.
    let m0 = measured(&program, "qemu-m0", &bench::Options::default());
    assert!(m0.exact && m0.whole.cycles.is_none() && m0.whole.instructions > exact.whole.instructions, "{m0:?}");
    assert_eq!(m0.whole.instructions, whole(&program, "qemu-m0"));
}

fn fratc(dir: &Path, words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fratc"));
    command.current_dir(dir).args(words.split(' ')).stdin(Stdio::null()).output().expect("fratc runs")
}

#[test]
fn the_command_saves_compares_and_refuses() {
    if !qemu() {
        return;
    }
    let dir = tempfile::tempdir().expect("temporary folder");
    let path = |name: &str| -> PathBuf { dir.path().join(name) };
    qir::save(&programs::plain(), &path("plain.int8")).expect("saved");
    let saved = fratc(dir.path(), "bench plain.int8 --target qemu-m4 --save old.json");
    let text = String::from_utf8_lossy(&saved.stdout);
    assert!(saved.status.success(), "{}", String::from_utf8_lossy(&saved.stderr));
    assert!(text.contains("est. cycles") && text.contains("\nwhole ") && text.contains("\nflash "), "{text}");

    // A crate of the same program, measured as it is.
    let emitted = fratc(dir.path(), "emit plain.int8 --target qemu-m4 --out plain-crate");
    assert!(emitted.status.success(), "{}", String::from_utf8_lossy(&emitted.stderr));
    let same = fratc(dir.path(), "bench plain-crate --compare old.json --json");
    assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stderr));
    let json: serde_json::Value = serde_json::from_slice(&same.stdout).expect("JSON");
    assert!(json["compared"]["rise"].as_f64().expect("a rise").abs() < 1e-3, "{json}");
    assert!(json["layers"][0]["kernel"].is_string() && json["est_cycles"].is_u64(), "{json}");

    let mut old: serde_json::Value =
        serde_json::from_slice(&fs::read(path("old.json")).expect("read")).expect("a baseline");
    let faster = old["instructions"].as_u64().expect("a count") * 98 / 100;
    old["instructions"] = faster.into();
    fs::write(path("faster.json"), old.to_string()).expect("written");
    let slower = fratc(dir.path(), "bench plain-crate --compare faster.json");
    let stderr = String::from_utf8_lossy(&slower.stderr);
    assert_eq!(slower.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("error[bench/slower]") && stderr.contains("2.0"), "{stderr}");
}
