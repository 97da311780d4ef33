//! `fratc build` end to end on real networks, its numbers recomputed from outside.

use std::fs;
use std::path::Path;
use std::process::Command;

use fratc::data::{Case, Samples};
use fratc::exec::{Batch, Network, for_chunks};
use fratc::ir::Shape;
use rayon::prelude::*;
use serde_json::Value;

use crate::shared::{shared, tell};

/// Runs `fratc` and gives its JSON and exit code.
fn fratc(words: &[&str]) -> (Value, i32) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_fratc")).args(words).args(["--json", "--quiet"]).output().expect("fratc runs");
    let code = output.status.code().expect("an exit code");
    let json = serde_json::from_slice(&output.stdout);
    assert!(json.is_ok(), "no JSON, exit {code}: {}", String::from_utf8_lossy(&output.stderr));
    (json.expect("asserted above"), code)
}

/// Builds a case of the pack into `out`.
fn build(case: &Path, out: &Path, more: &[&str]) -> Value {
    let words = [&["build", case.to_str().expect("UTF-8"), "--out", out.to_str().expect("UTF-8")], more].concat();
    let (report, code) = fratc(&words);
    assert_eq!(code, 0, "{report:#}");
    let host = &report["verify"]["host"];
    assert_eq!(host["mismatches"], 0, "{report:#}");
    if let Some(qemu) = report["verify"]["qemu"].as_object() {
        assert_eq!(qemu["mismatches"], 0, "{report:#}");
    } else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must have QEMU: {report:#}");
        crate::shared::skipped("QEMU is not installed");
    }
    report
}

/// What the emitted crate's own example prints for `samples`, one class name each.
fn run_crate(dir: &Path, samples: &Samples) -> Vec<String> {
    let work = tempfile::tempdir().expect("temporary folder");
    let copy = work.path().join("crate");
    copy_folder(dir, &copy);
    let _ = fs::remove_dir_all(copy.join(".cargo"));
    let records = work.path().join("records.bin");
    fs::write(&records, &samples.raw).expect("written");
    let output = Command::new("cargo")
        .current_dir(&copy)
        .env("CARGO_TARGET_DIR", work.path().join("target"))
        .env_remove("CARGO_BUILD_TARGET")
        .args(["run", "--offline", "--release", "--quiet", "--example", "infer", "--"])
        .arg(&records)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(|l| l.rsplit_once(": ").expect("class and scores").0.to_string()).collect()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listing") {
        let entry = entry.expect("entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

/// The accuracy of the emitted crate, recomputed by running it on the case's own test records.
fn check_accuracy(case: &Path, dir: &Path, report: &Value) {
    let case = Case::load(case).expect("case");
    let (test, wanted) = wanted_tests(&case, report);
    let test = test.select(&wanted);
    let answers = run_crate(dir, &test);
    assert_eq!(answers.len(), test.len());
    let hits = answers.iter().zip(&test.labels).filter(|(a, l)| **a == case.label_names[**l as usize]).count();
    let accuracy = &report["accuracy"];
    assert_eq!(number(&accuracy["samples"]) as usize, test.len());
    assert!(
        (number(&accuracy["int8"]) - hits as f64 / test.len() as f64).abs() < 1e-9,
        "{accuracy:#}, recomputed {hits} of {}",
        test.len()
    );
}

/// The same firmware without the network.
const NO_NETWORK: &str = "mod network {
    pub use LIBRARY::{Arena, Input, Prediction, CLASSES, INPUT_LEN};

    pub fn infer(_: &mut Arena, input: &Input) -> Prediction {
        let scores = [input[0] as i8; CLASSES.len()];
        Prediction { class: 0, scores }
    }
}";

/// The sizes in the report, recomputed by linking the emitted crate's example with and without the network.
fn check_sizes(dir: &Path, triple: &str, report: &Value) {
    let work = tempfile::tempdir().expect("temporary folder");
    copy_folder(dir, work.path());
    let library = dir.file_name().expect("name").to_str().expect("UTF-8").replace('-', "_");
    let firmware = fs::read_to_string(dir.join("examples/infer.rs")).expect("example");
    let import = format!("use ::{library} as network;");
    assert!(firmware.contains(&import), "{firmware}");
    let without = firmware.replace(&import, &NO_NETWORK.replace("LIBRARY", &library));
    fs::write(work.path().join("examples/without.rs"), without).expect("written");
    let output = Command::new("cargo")
        .current_dir(work.path())
        .env("CARGO_TARGET_DIR", work.path().join("target"))
        .env_remove("CARGO_BUILD_TARGET")
        .env_remove("RUSTFLAGS")
        .args(["build", "--offline", "--release", "--quiet", "--target", triple])
        .args(["--example", "infer", "--example", "without"])
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let examples = work.path().join("target").join(triple).join("release/examples");
    let [with, without] = ["infer", "without"].map(|name| sections(&fs::read(examples.join(name)).expect("ELF")));
    let flash = |sections: &[Section]| sections.iter().filter(|s| !s.empty).map(|s| s.bytes).sum::<u64>();
    let code = |sections: &[Section]| sections.iter().filter(|s| s.code).map(|s| s.bytes).sum::<u64>();
    let sizes = &report["flash"];
    assert_eq!(sizes["total_bytes"], flash(&with) - flash(&without), "{sizes:#}");
    // Beside the instructions: bytes between constants, for their alignment.
    let rest = number(&sizes["code_bytes"]) as u64 - (code(&with) - code(&without));
    assert!(rest < 200, "{rest} bytes: {sizes:#}");
    let parts = ["weights_bytes", "tables_bytes", "code_bytes"].map(|part| number(&sizes[part]));
    assert!((parts.iter().sum::<f64>() - number(&sizes["total_bytes"])).abs() < 0.5, "{sizes:#}");
    let arena = with.iter().find(|s| s.name == ".arena").expect("an arena").bytes;
    // Rust rounds the type up to its alignment of a word.
    assert_eq!((number(&report["ram"]["arena_bytes"]) as u64 + 3) & !3, arena, "{:#}", report["ram"]);
}

/// A section that is in memory when the firmware runs.
struct Section {
    name: String,
    bytes: u64,
    /// Nothing of it is in the file: RAM only.
    empty: bool,
    code: bool,
}

/// The allocated sections of a little-endian 32-bit ELF file.
fn sections(elf: &[u8]) -> Vec<Section> {
    assert_eq!(&elf[..6], b"\x7fELF\x01\x01");
    let half = |at: usize| usize::from(u16::from_le_bytes([elf[at], elf[at + 1]]));
    let word = |at: usize| half(at) | half(at + 2) << 16;
    let header = |index: usize| word(0x20) + index * half(0x2E);
    let names = word(header(half(0x32)) + 16);
    let name = |offset: usize| {
        let rest = &elf[names + offset..];
        String::from_utf8_lossy(rest.split(|b| *b == 0).next().unwrap_or_default()).into_owned()
    };
    (0..half(0x30))
        .map(header)
        .filter(|&at| word(at + 8) & 2 != 0)
        .map(|at| Section {
            name: name(word(at)),
            bytes: word(at + 20) as u64,
            empty: word(at + 4) == 8,
            code: word(at + 8) & 4 != 0,
        })
        .collect()
}

/// What `fratc assemble` writes for the same command has the report's weights, work and accuracy.
fn check_assembled(case: &Path, more: &[&str], report: &Value) {
    let work = tempfile::tempdir().expect("temporary folder");
    let onnx = work.path().join("small.onnx");
    let words = ["assemble", case.to_str().expect("UTF-8"), "--out", onnx.to_str().expect("UTF-8")];
    let (summary, code) = fratc(&[&words, more].concat());
    assert_eq!(code, 0, "{summary:#}");
    let graph = fratc::load::load(&onnx).expect("loads").graph;
    assert_eq!(report["assembled"]["params"], graph.params());
    assert_eq!(report["assembled"]["macs"], graph.macs());
    let case = Case::load(case).expect("case");
    let (test, wanted) = wanted_tests(&case, report);
    let network = Network::<f32>::new(&graph).expect("a network");
    let [h, w, c] = test.shape;
    let hits = for_chunks(wanted.len(), |range| {
        let part = &wanted[range];
        let data = case.input.normalized(&test, part.iter().copied(), |x| x as f32);
        let out = network.scores(&Batch { shape: Shape::new(c, h, w), n: part.len(), data })?;
        let right = |k: usize| {
            let score = |class: usize| out.data[class * out.n + k];
            let best = (1..out.shape.c).fold(0, |best, class| if score(class) > score(best) { class } else { best });
            report["classes"][best] == *case.label_names[test.labels[part[k]] as usize]
        };
        Ok((0..out.n).filter(|&k| right(k)).count())
    });
    let hits: usize = hits.expect("runs").iter().sum();
    let reported = number(&report["accuracy"]["assembled_f32"]);
    assert!((reported - hits as f64 / wanted.len() as f64).abs() < 1e-9, "{reported}, {hits} of {}", wanted.len());
}

/// The case's test split, and the indices of its samples of the report's classes.
fn wanted_tests(case: &Case, report: &Value) -> (Samples, Vec<usize>) {
    let test = case.test().expect("test split");
    let classes = report["classes"].as_array().expect("list");
    let name = |i: usize| case.label_names[test.labels[i] as usize].as_str();
    let wanted = (0..test.len()).filter(|&i| classes.iter().any(|class| class == name(i))).collect();
    (test, wanted)
}

#[test]
fn fashion_three_classes_at_half_the_channels() {
    let Some(case) = shared("cases/cnn_fmnist.toml") else { return };
    let work = tempfile::tempdir().expect("temporary folder");
    let out = work.path().join("tops");
    let report =
        build(&case, &out, &["--classes", "0,1,2", "--target", "qemu-m4", "--keep", "0.5", "--verify-samples", "8"]);
    assert!(number(&report["accuracy"]["int8"]) >= 0.965, "{:#}", report["accuracy"]);
    check_accuracy(&case, &out, &report);
    check_sizes(&out, "thumbv7em-none-eabihf", &report);
    check_assembled(&case, &["--classes", "0,1,2", "--keep", "0.5"], &report);

    // The same command again gives the same bytes, with one thread too.
    let again = work.path().join("again").join("tops");
    fs::create_dir(work.path().join("again")).expect("made");
    build(
        &case,
        &again,
        &["--classes", "0,1,2", "--target", "qemu-m4", "--keep", "0.5", "--verify-samples", "8", "--jobs", "1"],
    );
    assert_eq!(folder(&out), folder(&again));
}

/// Every file with its bytes.
fn folder(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut todo = vec![dir.to_path_buf()];
    while let Some(at) = todo.pop() {
        for entry in fs::read_dir(at).expect("listing") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                todo.push(path);
            } else {
                let name = path.strip_prefix(dir).expect("inside").display().to_string();
                files.push((name, fs::read(&path).expect("read")));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn keyword_spotter_searches_its_size() {
    let Some(case) = shared("cases/dscnn_kws.toml") else { return };
    let work = tempfile::tempdir().expect("temporary folder");
    let out = work.path().join("yes-no");
    let report = build(&case, &out, &["--classes", "Yes,No", "--target", "qemu-m0", "--verify-samples", "4"]);
    assert!(number(&report["accuracy"]["int8"]) >= number(&report["accuracy"]["source_masked"]) - 0.05, "{report:#}");
    check_accuracy(&case, &out, &report);
    check_sizes(&out, "thumbv6m-none-eabi", &report);
}

#[test]
fn the_demo_needs_no_files() {
    let work = tempfile::tempdir().expect("temporary folder");
    let out = work.path().join("demo");
    let (report, code) = fratc(&["demo", "--out", out.to_str().expect("UTF-8")]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["verify"]["host"]["mismatches"], 0);
    assert!(number(&report["verify"]["host"]["samples"]) > 0.0);
    assert!(number(&report["accuracy"]["int8"]) >= 0.95, "{report:#}");
    assert!(out.join("src/lib.rs").is_file());
}

/// One row of the table of what must be shown.
struct Row {
    case: &'static str,
    classes: &'static str,
    more: &'static [&'static str],
    /// int8 accuracy at least this, in points relative to the masked source, or absolute if positive.
    floor: f64,
    /// MACs at most this share of the source's.
    macs: f64,
}

const fn row(case: &'static str, classes: &'static str, more: &'static [&'static str], floor: f64, macs: f64) -> Row {
    Row { case, classes, more, floor, macs }
}

/// Every class set of the shared networks, built once for qemu-m4 and verified there with all test samples on the
/// host and 64 in QEMU; then 64 in QEMU on each other core. About half an hour of two processor cores, most of it
/// QEMU and the search for the sizes; with `FRATC_CASES=dscnn_kws,cnn_fmnist` only those cases:
/// `cargo test --release --test it -- --ignored --nocapture every_case_on_every_core`
#[test]
#[ignore = "half an hour of searching and QEMU; run by hand"]
fn every_case_on_every_core() {
    const HALF: &[&str] = &["--keep", "0.5"];
    let rows = [
        row("resnet8_cifar10", "cat,dog,horse", &[], -0.05, 1.0),
        row("resnet8_cifar10", "airplane,ship", &[], -0.05, 1.0),
        row("resnet8_cifar10_nhwc", "cat,dog,horse", &[], -0.05, 1.0),
        row("resnet8_cifar10_nhwc", "airplane,ship", &[], -0.05, 1.0),
        row("vgg_cifar", "airplane,automobile,bird", HALF, -0.05, 0.3),
        row("vgg_cifar", "cat,dog", &[], -0.05, 1.0),
        row("cnn_fmnist", "0,1,2", HALF, 0.965, 0.3),
        row("cnn_fmnist", "0,1,2", &[], -0.015, 0.4),
        row("cnn_fmnist", "2,4,6", &[], -0.05, 1.0),
        row("dscnn_kws", "Yes,No", &[], -0.05, 1.0),
        row("dscnn_kws", "Up,Down,Stop", &[], -0.05, 1.0),
        row("dscnn_emnist", "A,B,C", HALF, -0.02, 0.5),
        row("dscnn_emnist", "I,J,L", &[], -0.05, 1.0),
        row("resnet8_large_cifar10", "airplane,automobile,bird", &[], -0.05, 1.0),
        row("incep_cifar", "cat,dog", &[], -0.05, 1.0),
        row("incep_cifar", "airplane,ship,truck", &[], -0.05, 1.0),
        row("mobilenetv1_vww", "", &["--random-calibration", "32"], -1.0, 1.0),
    ];
    let mut wrong = Vec::new();
    let only = std::env::var("FRATC_CASES").unwrap_or_default();
    tell(
        "| case | classes | options | MACs | source masked | float | int8 | flash B | arena B | instructions | mismatches on \
         the host, m4, m0, m3, m7, m33, m55 |",
    );
    for row in rows.iter().filter(|row| only.is_empty() || only.split(',').any(|name| name == row.case)) {
        let Some(case) = shared(&format!("cases/{}.toml", row.case)) else { return };
        let work = tempfile::tempdir().expect("temporary folder");
        let out = work.path().join("net");
        let classes: &[&str] = if row.classes.is_empty() { &[] } else { &["--classes", row.classes] };
        let report = build(&case, &out, &[classes, &["--target", "qemu-m4", "--optimize", "speed"], row.more].concat());
        let accuracy = |of: &str| report["accuracy"][of].as_f64();
        let share = number(&report["assembled"]["macs"]) / number(&report["model"]["macs"]);
        if let (Some(int8), Some(masked)) = (accuracy("int8"), accuracy("source_masked")) {
            let floor = if row.floor > 0.0 { row.floor } else { masked + row.floor };
            if int8 < floor || share > row.macs {
                wrong.push(format!(
                    "{} {}: int8 {int8:.4} (floor {floor:.4}), MACs {share:.3} (bar {})",
                    row.case, row.classes, row.macs
                ));
            }
        }
        let percent = |of: &str| accuracy(of).map_or("no data".into(), |a| format!("{:.2}", 100.0 * a));
        let cores = every_core(&out, &case, &report);
        tell(&format!(
            "| {} | {} | {} | {:.1} % | {} | {} | {} | {} | {} | {} | {} |",
            row.case,
            if row.classes.is_empty() { "all" } else { row.classes },
            row.more.join(" "),
            100.0 * share,
            percent("source_masked"),
            percent("assembled_f32"),
            percent("int8"),
            report["flash"]["total_bytes"],
            report["ram"]["arena_bytes"],
            report["verify"]["qemu"]["instructions_per_inference"],
            cores.join(" "),
        ));
        if cores.iter().any(|n| n != "0") {
            wrong.push(format!("{} {}: mismatches {}", row.case, row.classes, cores.join(" ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Samples compared in QEMU on the cores that the crate was not built for.
const CORE_SAMPLES: &str = "64";

/// Mismatches on the host and qemu-m4, from the build's report, then on each other emulated core, two at a time.
fn every_core(dir: &Path, case: &Path, report: &Value) -> Vec<String> {
    let built = ["host", "qemu"].map(|place| report["verify"][place]["mismatches"].to_string());
    let cores = ["qemu-m0", "qemu-m3", "qemu-m7", "qemu-m33", "qemu-m55"];
    let one = |core: &&str| {
        let words = ["verify", dir.to_str().expect("UTF-8"), "--target", core, "--case", case.to_str().expect("UTF-8")];
        let output = Command::new(env!("CARGO_BIN_EXE_fratc"))
            .args(words)
            .args(["--samples", CORE_SAMPLES, "--verify-samples", CORE_SAMPLES, "--json", "--quiet"])
            .output()
            .expect("fratc runs");
        match serde_json::from_slice::<Value>(&output.stdout) {
            Ok(summary) => summary["qemu"]["mismatches"].to_string(),
            Err(_) => String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or("?").replace(' ', "_"),
        }
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("pool");
    let others: Vec<String> = pool.install(|| cores.par_iter().map(one).collect());
    built.into_iter().chain(others).collect()
}
