//! Saved assemblies: classes of other sources are added without touching what is there, and crates are built of them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use fratc::data::{InputContract, Samples};
use fratc::exec::{Batch, Network, for_chunks};
use fratc::ir::{Graph, Shape};
use fratc::pipeline::Source;
use serde_json::Value;

use crate::shared::shared;

fn fratc(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fratc")).args(words).args(["--json", "--quiet"]).output().expect("fratc runs")
}

fn done(words: &[&str]) -> Value {
    let output = fratc(words);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn refused(words: &[&str]) -> String {
    let output = fratc(words);
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Logits of `samples`, one row each, as bits.
fn bits(graph: &Graph, contract: &InputContract, samples: &Samples) -> Vec<Vec<u32>> {
    let network = Network::<f32>::new(graph).expect("runs");
    let [h, w, c] = samples.shape;
    let chunks = for_chunks(samples.len(), |range| {
        let data = contract.normalized(samples, range.clone(), |x| x as f32);
        let acts = network.forward(&Batch::new(Shape::new(c, h, w), range.len(), data)?)?;
        let out = acts.get(graph.logits());
        Ok((0..out.n).map(|s| out.sample(s).into_iter().map(f32::to_bits).collect()).collect::<Vec<Vec<u32>>>())
    });
    chunks.expect("runs").into_iter().flatten().collect()
}

fn some_of(samples: &Samples, n: usize) -> Samples {
    samples.select(&(0..samples.len()).step_by(samples.len().div_ceil(n)).collect::<Vec<usize>>())
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

#[test]
fn a_letter_joins_clothes_that_stay_to_the_bit() {
    let (Some(clothes), Some(letters)) = (shared("cases/cnn_fmnist.toml"), shared("cases/dscnn_emnist.toml")) else {
        return;
    };
    let dir = tempfile::tempdir().expect("temporary folder");
    let (set, more) = (dir.path().join("set.assembly"), dir.path().join("more.assembly"));
    let keep = ["--keep", "0.25"];
    done(&[&["assemble", text(&clothes), "--classes", "0,1,2", "--out", text(&set)], &keep[..]].concat());
    let letter = format!("{}:A", text(&letters));
    let add = ["add-class", text(&set), "--from", &letter, "--out", text(&more)];
    let report = done(&[&add[..], &keep, &["--finetune", "1"]].concat());
    assert_eq!(report["classes"].to_string(), "[\"T-shirt/top\",\"Trouser\",\"Pullover\",\"A\"]");
    assert!(number(&report["accuracy"]["added"]) > 0.97, "{report:#}");
    assert!(number(&report["accuracy"]["former"]) > number(&report["accuracy"]["before"]) - 0.01, "{report:#}");

    let (old, new) = (Source::open(&set).expect("opens"), Source::open(&more).expect("opens"));
    assert_eq!(report["macs"].to_string(), format!("[{},{}]", old.graph.macs(), new.graph.macs()));
    let test = some_of(new.test.as_ref().expect("a test split"), 400);
    let before = bits(&old.graph, &old.case.input, &test);
    let after = bits(&new.graph, &new.case.input, &test);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before[..], after[..3], "the logits of what was there");
    }

    let out = dir.path().join("four");
    let place = ["--target", "qemu-m4", "--verify-samples", "4", "--out", text(&out)];
    let crate_of = done(&[&["build", text(&more)], &place[..]].concat());
    assert_eq!(crate_of["classes"], report["classes"]);
    assert_eq!(crate_of["route"]["chosen_by"], "the assembly as it is");
    assert_eq!(crate_of["verify"]["host"]["mismatches"], 0);
    assert_eq!(crate_of["assembled"]["macs"], report["macs"][1]);
    assert!(number(&crate_of["joint"]["mean_class_int8"]) > number(&report["accuracy"]["all"]) - 0.02, "{crate_of:#}");
}

#[test]
fn a_larger_input_leaves_the_assembly_as_it_was() {
    let (Some(grey), Some(color)) = (shared("cases/cnn_fmnist.toml"), shared("cases/vgg_cifar.toml")) else { return };
    let dir = tempfile::tempdir().expect("temporary folder");
    let (set, more) = (dir.path().join("set.assembly"), dir.path().join("more.assembly"));
    let keep = ["--keep", "0.125", "--no-refit"];
    done(&[&["assemble", text(&grey), "--classes", "8,1", "--out", text(&set)], &keep[..]].concat());
    let ship = format!("{}:ship", text(&color));
    done(&[&["add-class", text(&set), "--from", &ship, "--out", text(&more)], &keep[..]].concat());
    let (old, new) = (Source::open(&set).expect("opens"), Source::open(&more).expect("opens"));
    assert_eq!((old.case.input.shape, new.case.input.shape), ([28, 28, 1], [32, 32, 3]));
    let of_old: Vec<usize> = (0..40).collect();
    let (small, large) = (old.test.as_ref().expect("a test split"), new.test.as_ref().expect("a test split"));
    assert_eq!(small.labels[..40], large.labels[..40]);
    let before = bits(&old.graph, &old.case.input, &small.select(&of_old));
    let after = bits(&new.graph, &new.case.input, &large.select(&of_old));
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before[..], after[..2], "the logits of what was there");
    }
    let out = dir.path().join("three");
    let place = ["--target", "qemu-m4", "--verify-samples", "3", "--out", text(&out)];
    let crate_of = done(&[&["build", text(&more)], &place[..]].concat());
    for run in [&crate_of["verify"]["host"], &crate_of["verify"]["qemu"]] {
        assert!(run.is_null() || run["mismatches"] == 0, "{run}");
    }
    let layers = fs::read_to_string(out.join("src/layers.rs")).expect("the crate");
    assert!(layers.contains("adapt::adapt(layer, x, y);") && layers.contains("grey: true"), "{layers}");
}

#[test]
fn what_cannot_be_added_says_so() {
    let Some(case) = shared("cases/dscnn_kws.toml") else { return };
    let dir = tempfile::tempdir().expect("temporary folder");
    let set = dir.path().join("set.assembly");
    done(&["assemble", text(&case), "--classes", "Yes,No", "--out", text(&set), "--keep", "0.25", "--no-refit"]);
    let part = |class: &str| format!("{}:{class}", text(&case));
    let (yes, up) = (part("Yes"), part("Up"));
    let add = |file: &Path, from: &str, out: &str| refused(&["add-class", text(file), "--from", from, "--out", out]);
    let out = dir.path().join("out.assembly");
    assert!(add(&set, &yes, text(&out)).contains("joint/class-twice"));
    assert!(add(&set, &up, "out.onnx").contains("assembly/name"));
    assert!(add(&case, &up, text(&out)).contains("assembly/name"));
    let own = format!("{}:Yes", text(&set));
    assert!(add(&set, &own, text(&out)).contains("joint/assembly"));
    let nowhere = add(&dir.path().join("no.assembly"), &up, text(&out));
    assert!(nowhere.contains("library/read") && nowhere.contains("fratc assemble"), "{nowhere}");
    let good = fs::read(&set).expect("written");
    for (at, code) in [(0, "not-a-frat"), (8, "version"), (good.len() - 9, "damaged")] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&set, &bad).expect("written");
        let said = add(&set, &up, text(&out));
        assert!(said.contains(&format!("library/{code}")), "{said}");
    }
    fs::write(&set, &good[..good.len() / 2]).expect("written");
    assert!(add(&set, &up, text(&out)).contains("library/truncated"));
    fs::write(&set, &good).expect("written");
    assert!(
        refused(&["build", text(&set), "--classes", "0,1", "--target", "qemu-m4", "--out", "x"])
            .contains("classes/assembly")
    );
    assert!(!out.exists());
}
