//! `fratc study` on the built-in network.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::demo_case::{self, first};
use crate::shared::{shared, tell};

fn fixture(dir: &Path) {
    let demo = demo_case::drawn();
    let (calibration, test) = (first(&demo.calibration, 12), first(&demo.test, 8));
    demo_case::write(dir, "markers.toml", &[("calibration", &calibration), ("test", &test)]);
}

fn fratc(dir: &Path, words: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fratc"))
        .current_dir(dir)
        .args(words.split_whitespace())
        .output()
        .expect("fratc runs")
}

fn rows(dir: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(dir.join("s/study.json")).expect("study.json");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    json["rows"].as_array().expect("rows").clone()
}

const STUDY: &str =
    "study markers.toml --sets 0,1,2 --sets 3,5 --keep 0.5 --methods frat,random:links=none --split held-out --out s";

#[test]
fn a_study_resumes_and_writes_the_same_tables() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let dir = dir.path();
    fixture(dir);
    let first = fratc(dir, STUDY);
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let all = rows(dir);
    assert_eq!(all.len(), 2 * 2 * 2, "sets × methods × (sliced, refitted)");
    for row in &all {
        let count = |name: &str| row[name].as_u64().expect("a count");
        assert!(count("right") <= count("judged") && count("masked_right") >= count("source_right"), "{row}");
        assert!(count("macs") < count("source_macs"));
    }
    let said = String::from_utf8_lossy(&first.stdout);
    assert!(said.ends_with("plots beside it\n") && dir.join("s/markers-held-out.svg").is_file(), "{said}");
    let tables = ["study.json", "study.csv", "study.md"].map(|f| fs::read(dir.join("s").join(f)).expect("table"));

    // Two rows are lost: just they are measured again, to the same values.
    let mut json: serde_json::Value = serde_json::from_slice(&tables[0]).expect("JSON");
    json["rows"].as_array_mut().expect("rows").truncate(6);
    fs::write(dir.join("s/study.json"), json.to_string()).expect("written");
    let second = fratc(dir, &format!("{STUDY} --json --jobs 1"));
    let summary: serde_json::Value = serde_json::from_slice(&second.stdout).expect("JSON");
    assert_eq!((summary["rows"].as_u64(), summary["new"].as_u64()), (Some(8), Some(2)));
    let again = ["study.json", "study.csv", "study.md"].map(|f| fs::read(dir.join("s").join(f)).expect("table"));
    assert!(tables == again, "resumed tables differ");

    // Rows of another version stay as they are: it may have measured something else.
    let mut json: serde_json::Value = serde_json::from_slice(&tables[0]).expect("JSON");
    json["tool_version"] = "0.0.1".into();
    fs::write(dir.join("s/study.json"), json.to_string()).expect("written");
    let other = fratc(dir, STUDY);
    let said = String::from_utf8_lossy(&other.stderr);
    assert!(!other.status.success() && said.contains("study/schema") && said.contains("0.0.1"), "{said}");
    assert_eq!(fs::read_to_string(dir.join("s/study.json")).expect("there"), json.to_string());
}

#[test]
fn networks_as_sliced_have_no_plot() {
    let dir = tempfile::tempdir().expect("temporary folder");
    fixture(dir.path());
    let words = "study markers.toml --sets 0,1,2 --keep 0.5 --methods random --weights sliced --split held-out --out s";
    let said = fratc(dir.path(), words).stdout;
    assert_eq!(String::from_utf8_lossy(&said), "s: 1 rows, 1 new; tables in study.md\n");
    let summary = fratc(dir.path(), &format!("{words} --json")).stdout;
    let summary: serde_json::Value = serde_json::from_slice(&summary).expect("JSON");
    assert_eq!(summary["plots"].as_array().map(Vec::len), Some(0));
    assert!(!dir.path().join("s/markers-held-out.svg").exists());
}

#[test]
fn budgets_training_and_the_outside_baselines_share_one_table() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let dir = dir.path();
    fixture(dir);
    let words = "study markers.toml --sets 0,1,2 --macs 40% --methods frat,frat:search,random --weights refit,epoch,scratch \
                 --int8 --out s";
    let run = fratc(dir, words);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let all = rows(dir);
    assert_eq!(all.len(), 3 * 2 + 1, "methods × (refitted, trained), and from scratch once");
    for row in &all {
        let count = |name: &str| row[name].as_u64().expect("a count");
        assert!(count("macs") * 10 <= count("source_macs") * 4, "{row}");
        assert!(count("int8_right") <= count("judged") && count("int8_bytes") > 0);
        let trained = row["key"]["weights"] == "epoch";
        assert_eq!(row["training_kept"].is_boolean(), trained, "{row}");
    }
    let of = |weights: &str| all.iter().find(|row| row["key"]["weights"] == weights).expect("a row");
    assert_eq!(of("scratch")["macs"], of("refit")["macs"], "one architecture");
    let table = fs::read_to_string(dir.join("s/study.md")).expect("table");
    assert!(table.contains("| source, masked:") && table.contains("scratch, 1 epoch") && table.contains("frat:search"));
    let picture = fs::read_to_string(dir.join("s/markers.svg")).expect("plot");
    let points = |row: &&serde_json::Value| {
        let count = |name: &str| row[name].as_f64().expect("a count");
        100.0 * (count("int8_right") - count("masked_right")) / count("judged")
    };
    let drawn = all.iter().filter(|row| points(row) >= -25.0).count();
    assert!(drawn >= 6, "{table}");
    assert_eq!(picture.matches("<circle").count(), 2 * drawn, "every row that is no wreck in both panels\n{table}");

    let refused = fratc(dir, "study markers.toml --weights epoch --split held-out --out t");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("study/training"));
    let refused = fratc(dir, "study markers.toml --macs 150% --out t");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("study/budget"));
}

/// Batch norm is folded away in the file, and with it what lets deep networks leave chance.
#[test]
fn eleven_layers_without_batch_norm_learn_from_random_weights() {
    let Some(case) = shared("cases/dscnn_emnist.toml") else { return };
    let dir = tempfile::tempdir().expect("temporary folder");
    let words =
        format!("study {} --sets E,F,G,H,P --keep 0.5 --methods random --weights scratch --out s", case.display());
    let run = fratc(dir.path(), &words);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let all = rows(dir.path());
    let count = |name: &str| all[0][name].as_u64().expect("a count");
    tell(&format!("{} of {} right after one epoch from random weights", count("right"), count("judged")));
    assert!(count("right") * 10 > count("judged") * 7, "chance is one in five");
}

#[test]
fn a_folder_of_others_and_a_wrong_method_are_refused() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let dir = dir.path();
    fixture(dir);
    let wrong = fratc(dir, "study markers.toml --methods frat:loud --out s");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("study/setting"));
    fs::create_dir(dir.join("s")).expect("made");
    fs::write(dir.join("s/precious.txt"), "keep me").expect("written");
    let refused = fratc(dir, STUDY);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("output/not-ours"));
    assert!(dir.join("s/precious.txt").is_file());
}
