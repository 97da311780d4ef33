//! Class sets of real networks as firmware on three cores, over the validation protocol in QEMU.

use std::path::Path;
use std::process::Command;

use fratc::firmware::VALIDATE;
use fratc::verify::build_firmware;
use serde_json::Value;

use crate::firmware::qemu;
use crate::on_device::{sums, target};
use crate::shared::{shared, tell};

/// Case, classes, share of the channels.
const NETWORKS: [(&str, &str, &str); 3] = [
    ("dscnn_kws", "Yes,No,Up,Down,Left,Right", "0.6"),
    ("cnn_fmnist", "0,5,8", "0.4"),
    ("resnet8_cifar10", "0,1,8", "0.5"),
];

const CORES: [&str; 3] = ["qemu-m0", "qemu-m4", "qemu-m33"];

/// What `fratc` prints; it must succeed.
fn fratc(folder: &Path, words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fratc"));
    let output = command.args(words).current_dir(folder).output().expect("fratc runs");
    assert!(output.status.success(), "{words:?}:\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// 256 samples of each network on each core, all scores, then 8 with every byte of every layer; five minutes on a quiet
/// machine: `cargo test --release --test it -- --ignored --nocapture on_device_cases`
#[test]
#[ignore = "minutes of QEMU: run by hand"]
fn class_sets_of_real_networks_give_the_simulations_bytes_on_three_cores() {
    if !qemu() {
        return;
    }
    tell(
        "| network, classes | core | samples | mismatches | accuracy | ticks per inference | longest layer | stack | flash | RAM |",
    );
    tell("|---|---|---|---|---|---|---|---|---|---|");
    for (name, classes, keep) in NETWORKS {
        let Some(case) = shared(&format!("cases/{name}.toml")) else { return };
        let case = case.to_str().expect("a path in UTF-8");
        let folder = tempfile::tempdir().expect("temporary folder");
        let words = ["build", case, "--classes", classes, "--keep", keep, "--verify-samples", "4"];
        fratc(folder.path(), &[&words[..], &["--target", "qemu-m4", "--out", name]].concat());
        let program = format!("{name}/fratc/program.int8");
        for core in CORES {
            fratc(folder.path(), &["emit", &program, "--target", core, "--out", core, "--firmware"]);
            let ask = ["verify", core, "--on-device", "--case", case, "--json", "--silence", "120"];
            let run = |more: &[&str]| -> Value {
                serde_json::from_str(&fratc(folder.path(), &[&ask[..], more].concat())).expect("JSON")
            };
            let said = run(&["--samples", "256"]);
            let number = |key: &str| said[key].as_u64().unwrap_or_else(|| panic!("{key}: {said}"));
            assert_eq!((number("samples"), number("mismatches")), (256, 0), "{name} on {core}: {said}");
            let layers = said["layers"].as_array().expect("layers");
            let ticks = |layer: &Value| layer["ticks"].as_u64().expect("ticks");
            let longest = layers.iter().max_by_key(|layer| ticks(layer)).expect("layers");
            let sum: u64 = layers.iter().map(ticks).sum();
            let whole = number("ticks_per_inference");
            assert!(sum.abs_diff(whole) <= whole / 20 + layers.len() as u64, "{name} on {core}: {sum} of {whole}");
            assert!((64..number("stack_room_bytes")).contains(&number("stack_bytes")), "{name} on {core}: {said}");
            let regions = said["regions"].as_array().expect("regions");
            let used: Vec<u64> = regions.iter().map(|r| r["used_bytes"].as_u64().expect("bytes")).collect();
            let elf = build_firmware(&folder.path().join(format!("{core}-firmware")), VALIDATE, &target(core));
            let size = sums(&std::fs::read(elf.expect("builds")).expect("built"));
            assert_eq!(used, size, "{name} on {core}: the table is not what `size` says");
            tell(&format!(
                "| {name} {classes} | {core} | 256 | 0 | {:.2} % | {whole} | {} {} | {} B | {} B | {} B |",
                100.0 * said["accuracy"]["device"].as_f64().expect("labels"),
                longest["name"].as_str().expect("a name"),
                ticks(longest),
                number("stack_bytes"),
                used[0],
                used[1]
            ));
            let traced = run(&["--samples", "8", "--trace"]);
            assert_eq!((&traced["traced"], &traced["mismatches"]), (&Value::Bool(true), &Value::from(0)), "{traced}");
        }
    }
}
