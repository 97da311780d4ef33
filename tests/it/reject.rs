//! Crates that may answer none of the wanted classes.

use std::fs;
use std::path::Path;
use std::process::Command;

use fratc::data::Case;
use fratc::qir::{self, Reject};
use serde_json::Value;

use crate::shared::{shared, tell};

fn fratc(words: &[&str]) -> (Option<Value>, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_fratc")).args(words).args(["--json", "--quiet"]).output().expect("fratc runs");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    (serde_json::from_slice(&output.stdout).ok(), errors)
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

/// Builds a detector; the report.
fn detector(case: &Path, out: &Path, more: &[&str]) -> Value {
    let words = ["build", case.to_str().expect("UTF-8"), "--out", out.to_str().expect("UTF-8"), "--reject"];
    let (report, errors) = fratc(&[&words, more, &["--target", "qemu-m4"]].concat());
    let report = report.unwrap_or_else(|| unreachable!("no report: {errors}"));
    assert_eq!(report["verify"]["host"]["mismatches"], 0, "{report:#}");
    report
}

#[test]
fn the_answer_is_the_best_wanted_class_far_enough_above_the_others() {
    let reject = Reject { wanted: 2, threshold: 3 };
    assert_eq!(reject.answer(&[5, 9, 6, -7]), Some(1));
    assert_eq!(reject.answer(&[5, 8, 6, -7]), None);
    assert_eq!(reject.answer(&[9, 9, 6, -7]), Some(0));
    assert_eq!(Reject { wanted: 2, threshold: -2 }.answer(&[4, 3, 6, 0]), Some(0));
    assert_eq!(reject.margin(&[-128, -128, 127]), -255);
}

#[test]
fn a_detector_for_one_class_is_nearly_as_good_as_its_source() {
    let Some(case) = shared("cases/cnn_fmnist.toml") else { return };
    let dir = tempfile::tempdir().expect("temporary folder");
    let out = dir.path().join("trouser");
    let report = detector(&case, &out, &["--classes", "Trouser", "--keep", "0.25", "--verify-samples", "2"]);
    assert_eq!(report["accuracy"], Value::Null, "one class has no accuracy");
    let reject = &report["reject"];
    assert!(number(&reject["int8"]["auc"]) >= number(&reject["source"]["auc"]) - 0.01, "{reject:#}");
    assert!(number(&reject["int8"]["recall_at_1"]) >= 0.95, "{reject:#}");
    assert!(number(&reject["recall"]) >= 0.94 && number(&reject["false_accepts"]) <= 0.02, "{reject:#}");
    assert!(number(&report["assembled"]["macs"]) <= 0.3 * number(&report["model"]["macs"]));
    let library = fs::read_to_string(out.join("src/lib.rs")).expect("the crate");
    let threshold = format!("pub const THRESHOLD: i32 = {};", reject["threshold"]);
    assert!(library.contains(&threshold) && library.contains("pub const WANTED: usize = 1;"), "{library}");
    let program = qir::load(&out.join("fratc/program.int8")).expect("the program");
    assert_eq!(program.reject.expect("rejects").wanted, 1);
    let readme = fs::read_to_string(out.join("README.md")).expect("the crate's README");
    for said in ["detector of `Trouser` among 9 other classes", "prediction.answer()", "| recall:", "| false accepts:"]
    {
        assert!(readme.contains(said), "{said}: {readme}");
    }
    assert!(!readme.contains("| accuracy |") && readme.contains(" --reject --false-accept 1% "), "{readme}");
    // The crate's own tests, which ask it for answers.
    let test = Command::new("cargo")
        .current_dir(&out)
        .env("CARGO_TARGET_DIR", dir.path().join("target"))
        .env_remove("CARGO_BUILD_TARGET")
        .args(["test", "--offline", "--quiet", "--test", "golden"])
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&test.stdout).into_owned() + &String::from_utf8_lossy(&test.stderr);
    assert!(test.status.success() && said.contains("3 passed"), "{said}");
}

#[test]
fn components_reject_by_all_other_classes_of_their_sources() {
    let Some(case) = shared("cases/dscnn_kws.toml") else { return };
    let dir = tempfile::tempdir().expect("temporary folder");
    let out = dir.path().join("words");
    let part = |class: &str| format!("{}:{class}", case.to_str().expect("UTF-8"));
    let (yes, no) = (part("Yes"), part("No"));
    let words = ["build", "--from", &yes, "--from", &no, "--keep", "0.5", "--reject", "--recall", "90%"];
    let place = ["--target", "qemu-m4", "--verify-samples", "2", "--out", out.to_str().expect("UTF-8")];
    let (report, errors) = fratc(&[&words[..], &place].concat());
    let report = report.unwrap_or_else(|| unreachable!("no report: {errors}"));
    assert_eq!(report["verify"]["host"]["mismatches"], 0, "{report:#}");
    let reject = &report["reject"];
    assert_eq!(reject["wanted_samples"].as_u64().map(|n| n + 572), Some(700), "{reject:#}");
    assert!(number(&reject["int8"]["auc"]) > 0.95 && number(&reject["recall"]) > 0.7, "{reject:#}");
    assert_eq!(reject["false_accepts_per_class"].as_object().expect("classes").len(), 10);
    assert_eq!(report["joint"]["components"].as_array().expect("components").len(), 2);
    let library = fs::read_to_string(out.join("src/lib.rs")).expect("the crate");
    assert!(library.contains("pub const WANTED: usize = 2;"), "{library}");
}

#[test]
fn a_folder_of_other_images_is_judged_too() {
    let (Some(case), Some(letters)) = (shared("cases/cnn_fmnist.toml"), shared("cases/dscnn_emnist.toml")) else {
        return;
    };
    let dir = tempfile::tempdir().expect("temporary folder");
    let folder = dir.path().join("letters");
    fs::create_dir(&folder).expect("folder");
    let letters = Case::load(&letters).expect("case").test().expect("samples");
    for i in 0..120 {
        let pixels = image::GrayImage::from_raw(28, 28, letters.sample(i).to_vec()).expect("28 rows of 28 pixels");
        pixels.save(folder.join(format!("{i:03}.png"))).expect("written");
    }
    let words = ["--classes", "Trouser", "--keep", "0.25", "--verify-samples", "1"];
    let background = ["--background", folder.to_str().expect("UTF-8")];
    let report = detector(&case, &dir.path().join("trouser"), &[&words[..], &background].concat());
    let reject = &report["reject"];
    // Half of the letters judge: 60 of them.
    assert!(number(&reject["false_accepts_background"]) <= 0.1, "{reject:#}");
    assert!(number(&reject["recall"]) >= 0.9, "{reject:#}");
    let (none, errors) = fratc(&[
        "build",
        case.to_str().expect("UTF-8"),
        "--classes",
        "Trouser",
        "--reject",
        "--background",
        dir.path().join("nowhere").to_str().expect("UTF-8"),
        "--target",
        "qemu-m4",
        "--out",
        dir.path().join("none").to_str().expect("UTF-8"),
    ]);
    assert!(none.is_none() && errors.contains("nowhere"), "{errors}");
}

#[test]
fn what_cannot_reject_says_so() {
    let Some(case) = shared("cases/cnn_fmnist.toml") else { return };
    let case = case.to_str().expect("UTF-8");
    let dir = tempfile::tempdir().expect("temporary folder");
    let out = dir.path().join("crate");
    let build = ["build", case, "--out", out.to_str().expect("UTF-8"), "--target", "qemu-m4"];
    let (_, errors) = fratc(&[&build[..], &["--reject"]].concat());
    assert!(errors.contains("reject/no-others"), "{errors}");
    let (_, errors) = fratc(&[&build[..], &["--classes", "1"]].concat());
    assert!(errors.contains("classes/one") && errors.contains("--reject"), "{errors}");
    let (_, errors) = fratc(&[&build[..], &["--classes", "1", "--recall", "95%"]].concat());
    assert!(errors.contains("--reject"), "{errors}");
    assert!(!out.exists());
}

/// `cargo test --release --test it -- --ignored --nocapture detectors_of_the_pack`
#[test]
#[ignore = "a measurement of minutes"]
fn detectors_of_the_pack() {
    for (case, classes) in [("cnn_fmnist", "Trouser"), ("dscnn_kws", "Yes,No"), ("vgg_cifar", "ship")] {
        let Some(path) = shared(&format!("cases/{case}.toml")) else { return };
        let dir = tempfile::tempdir().expect("temporary folder");
        for keep in ["0.25", "0.5", "0.75"] {
            let report = detector(&path, &dir.path().join("crate"), &["--classes", classes, "--keep", keep]);
            let (reject, share) =
                (&report["reject"], number(&report["assembled"]["macs"]) / number(&report["model"]["macs"]));
            tell(&format!("{case} {classes} keep {keep}, {:.1} % of the MACs: {reject:#}", share * 100.0));
        }
    }
}
