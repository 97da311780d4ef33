//! `fratc build` end to end on real networks, its numbers recomputed from outside.

use std::fs;
use std::path::Path;
use std::process::Command;

use fratc::data::{Case, Samples};
use serde_json::Value;

use crate::shared::shared;

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
    let test = case.test().expect("test split");
    let classes: Vec<&str> =
        report["classes"].as_array().expect("list").iter().map(|c| c.as_str().expect("name")).collect();
    let wanted: Vec<usize> =
        (0..test.len()).filter(|&i| classes.contains(&case.label_names[test.labels[i] as usize].as_str())).collect();
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

#[test]
fn fashion_three_classes_at_half_the_channels() {
    let Some(case) = shared("cases/cnn_fmnist.toml") else { return };
    let work = tempfile::tempdir().expect("temporary folder");
    let out = work.path().join("tops");
    let report =
        build(&case, &out, &["--classes", "0,1,2", "--target", "qemu-m4", "--keep", "0.5", "--verify-samples", "8"]);
    assert!(number(&report["accuracy"]["int8"]) >= 0.965, "{:#}", report["accuracy"]);
    check_accuracy(&case, &out, &report);

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

/// Every class set of the shared networks, verified on all emulated cores. Takes about an hour:
/// `cargo test --release --test it -- --ignored --nocapture every_case_on_every_core`
#[test]
#[ignore = "an hour of QEMU; run by hand"]
fn every_case_on_every_core() {
    const HALF: &[&str] = &["--keep", "0.5"];
    let rows = [
        row("resnet8_cifar10", "cat,dog,horse", &[], -0.05, 1.0),
        row("resnet8_cifar10", "airplane,ship", &[], -0.05, 1.0),
        row("resnet8_cifar10_nhwc", "cat,dog,horse", &[], -0.05, 1.0),
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
    ];
    let mut wrong = Vec::new();
    eprintln!(
        "| case | classes | options | MACs | source masked | float | int8 | flash B | arena B | mismatches m0 m3 m4 m7 m33 m55 |"
    );
    for row in &rows {
        let Some(case) = shared(&format!("cases/{}.toml", row.case)) else { return };
        let work = tempfile::tempdir().expect("temporary folder");
        let out = work.path().join("net");
        let report = build(&case, &out, &[&["--classes", row.classes, "--target", "qemu-m4"], row.more].concat());
        let accuracy = &report["accuracy"];
        let (int8, masked) = (number(&accuracy["int8"]), number(&accuracy["source_masked"]));
        let share = number(&report["assembled"]["macs"]) / number(&report["model"]["macs"]);
        let floor = if row.floor > 0.0 { row.floor } else { masked + row.floor };
        if int8 < floor || share > row.macs {
            wrong.push(format!(
                "{} {}: int8 {int8:.4} (floor {floor:.4}), MACs {share:.3} (bar {})",
                row.case, row.classes, row.macs
            ));
        }
        let cores = every_core(&out, &case);
        eprintln!(
            "| {} | {} | {} | {share:.3} | {masked:.4} | {:.4} | {int8:.4} | {} | {} | {cores} |",
            row.case,
            row.classes,
            row.more.join(" "),
            number(&accuracy["assembled_f32"]),
            report["flash"]["total_bytes"],
            report["ram"]["arena_bytes"],
        );
        if cores.split(' ').any(|n| n != "0") {
            wrong.push(format!("{} {}: mismatches {cores}", row.case, row.classes));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Mismatches on each emulated core.
fn every_core(dir: &Path, case: &Path) -> String {
    let cores = ["qemu-m0", "qemu-m3", "qemu-m4", "qemu-m7", "qemu-m33", "qemu-m55"];
    let mismatches = cores.map(|core| {
        let words = ["verify", dir.to_str().expect("UTF-8"), "--target", core, "--case", case.to_str().expect("UTF-8")];
        let output = Command::new(env!("CARGO_BIN_EXE_fratc"))
            .args(words)
            .args(["--json", "--quiet"])
            .output()
            .expect("fratc runs");
        match serde_json::from_slice::<Value>(&output.stdout) {
            Ok(summary) => summary["qemu"]["mismatches"].to_string(),
            Err(_) => String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or("?").replace(' ', "_"),
        }
    });
    mismatches.join(" ")
}
