//! The classes of a source as parts: sizes, overlaps, what one adds, and the figure of routes.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::shared::shared;

#[test]
fn classes_are_listed_with_size_overlap_and_what_they_add() {
    let Some(case) = shared("cases/dscnn_kws.toml") else { return };
    let dir = tempfile::tempdir().expect("temporary folder");
    let svg = dir.path().join("routes.svg");
    let output = Command::new(env!("CARGO_BIN_EXE_fratc"))
        .arg("components")
        .arg(&case)
        .args(["--classes", "Yes,No,Up,Silence", "--to", "Yes,No", "--threshold", "0.3", "--json", "--quiet", "--svg"])
        .arg(&svg)
        .output()
        .expect("fratc runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let classes = json["classes"].as_array().expect("classes");
    let number = |value: &Value| value.as_u64().expect("a number");
    let source = number(&json["source_macs"]);
    for (i, class) in classes.iter().enumerate() {
        let macs = number(&class["macs"]);
        assert!(macs > 0 && macs < source, "{class}");
        for (k, share) in class["overlap"].as_array().expect("shares").iter().enumerate() {
            let share = share.as_f64().expect("a number");
            assert!((0.0..=1.0).contains(&share) && (i != k || share > 0.999), "{class}");
            assert_eq!(classes[k]["overlap"][i].as_f64(), Some(share), "the same seen from both");
        }
        let adds = &class["adds"];
        assert_eq!(adds.is_null(), i < 2, "{class}");
        assert!(i < 2 || number(&adds[0]) <= macs, "what is shared costs nothing: {class}");
    }
    let figure = fs::read_to_string(&svg).expect("the figure");
    let kept: usize = json["routes"]
        .as_array()
        .expect("routes")
        .iter()
        .flat_map(|strip| strip["kept"].as_array().expect("classes"))
        .map(|channels| channels.as_array().expect("channels").len())
        .sum();
    let strips = json["routes"].as_array().expect("routes").len() * classes.len();
    assert_eq!(figure.matches("<rect").count(), kept + strips + 1);
    for class in ["Yes", "No", "Up", "Silence"] {
        assert!(figure.contains(&format!(">{class}</text>")), "{class}");
    }
    let orange = figure.matches("#e8730c").count();
    assert!(orange > 0 && orange < kept, "private and shared channels: {orange} of {kept}");
}
