//! Routes of related classes as the body of a network for new classes, from a few images of each.

use std::process::Command;

use serde_json::Value;

use crate::shared::{shared, tell};

fn transfer(words: &[&str]) -> (Option<Value>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_fratc"))
        .arg("transfer")
        .args(words)
        .args(["--json", "--quiet"])
        .output()
        .expect("fratc runs");
    (serde_json::from_slice(&output.stdout).ok(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

/// The accuracies of the head alone, after training, of the crate, and of the best from random weights.
fn letters(images: &str, new: &str, body: &str, scratch: &str, more: &[&str]) -> Option<[f64; 4]> {
    let case = shared("cases/dscnn_emnist.toml")?;
    let dir = tempfile::tempdir().expect("temporary folder");
    let out = dir.path().join("runes");
    let case = case.to_str().expect("UTF-8");
    let to = format!("{case}:{new}");
    let words = [case, "--classes", body, "--to", &to, "--images", images, "--scratch", scratch, "--target", "qemu-m4"];
    let place = ["--verify-samples", "4", "--out", out.to_str().expect("UTF-8")];
    let (report, errors) = transfer(&[&words[..], &place, more].concat());
    let report = report.unwrap_or_else(|| unreachable!("no report: {errors}"));
    assert_eq!(report["build"]["verify"]["host"]["mismatches"], 0, "{report:#}");
    let transfer = &report["transfer"];
    let n: f64 = images.parse().expect("a number");
    assert!(
        transfer["images"].as_array().expect("classes").iter().all(|i| number(i).total_cmp(&n).is_eq()),
        "{transfer:#}"
    );
    let trained = transfer["scratch"]["trained"].as_array().expect("rates");
    let random =
        trained.iter().filter_map(|pair| pair[1].as_f64()).fold(number(&transfer["scratch"]["head"]), f64::max);
    tell(&format!("{new}, {images} images: {transfer:#}, int8 {}", report["build"]["accuracy"]["int8"]));
    Some([
        number(&transfer["head"]),
        number(&transfer["trained"]),
        number(&report["build"]["accuracy"]["int8"]),
        random,
    ])
}

#[test]
fn routes_of_other_letters_beat_random_weights_on_twenty_images() {
    let size = ["--keep", "0.5", "--finetune", "1"];
    let Some([head, trained, int8, random]) = letters("20", "B,K,R,S,X", "A,C,D,E,H,P,T,Z", "20", &size) else {
        return;
    };
    assert!(head > random + 0.05 && trained > random + 0.05 && int8 > random + 0.05, "{int8} and {random}");
    assert!(trained >= head - 0.03 && int8 > 0.7, "{head}, {trained}, {int8}");
}

#[test]
fn what_cannot_be_transferred_says_so() {
    let (Some(grey), Some(color)) = (shared("cases/cnn_fmnist.toml"), shared("cases/vgg_cifar.toml")) else { return };
    let (grey, color) = (grey.to_str().expect("UTF-8"), color.to_str().expect("UTF-8"));
    let dir = tempfile::tempdir().expect("temporary folder");
    let out = dir.path().join("runes");
    let place = ["--target", "qemu-m4", "--out", out.to_str().expect("UTF-8")];
    let refused = |to: &str| transfer(&[&[grey, "--to", to], &place[..]].concat()).1;
    let train = ["--to", "1,2", "--train", "."];
    assert!(transfer(&[&[grey][..], &train, &place].concat()).1.contains("transfer/train"));
    assert!(refused(color).contains("transfer/input"));
    assert!(refused(&format!("{grey}:Bag")).contains("classes/one"));
    assert!(refused(&format!("{grey}:Bag,Hat")).contains("data/unknown-class"));
    assert!(!out.exists());
}

/// `cargo test --release --test it -- --ignored --nocapture letters_left_out`
#[test]
#[ignore = "a measurement of minutes"]
fn letters_left_out() {
    let body = "A,C,D,E,F,G,H,I,J,L,M,N,O,P,Q,T,U,V,W,Y,Z";
    for images in ["5", "20", "50"] {
        for keep in ["0.25", "0.5", "1.0"] {
            let size = ["--keep", keep, "--finetune", "1"];
            tell(&format!("keep {keep}"));
            let Some([head, trained, int8, random]) = letters(images, "B,K,R,S,X", body, "60", &size) else { return };
            tell(&format!("| {images} | {keep} | {head:.4} | {trained:.4} | {int8:.4} | {random:.4} |"));
        }
    }
}
