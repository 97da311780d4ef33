//! The firmware projects under `examples/`, as their READMEs have them run, against the simulation on the host.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use fratc::qir::{self, Program};
use fratc::sim;
use fratc::target::Target;

use crate::firmware::{cargo, qemu};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// Name and arguments of each `fratc demo` in the README of `example`.
fn demos(example: &str) -> Vec<(String, Vec<String>)> {
    let text = fs::read_to_string(root().join(example).join("README.md")).expect("a README");
    let mut found = Vec::new();
    for line in text.lines() {
        let Some((_, arguments)) = line.split_once("cargo run --release -- demo ") else { continue };
        let words: Vec<&str> = arguments.trim_end_matches('\\').split_whitespace().collect();
        let (out, rest) = words.split_last().expect("arguments");
        let name = out.strip_prefix(&format!("examples/{example}/")).expect("into the example's own folder");
        let (option, rest) = rest.split_last().expect("arguments");
        assert_eq!(*option, "--out");
        found.push((name.to_string(), rest.iter().map(ToString::to_string).collect()));
    }
    assert!(!found.is_empty(), "{example}: the README says how its crates are made");
    assert!(
        text.contains(&format!("&& (cd examples/{example} && cargo run --release)")),
        "{example}: the same command"
    );
    found
}

const EXAMPLES: [&str; 3] = ["in_a_project", "two_networks", "embassy"];

/// The crates that the READMEs name, each emitted once.
fn crates() -> &'static Path {
    static CRATES: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = CRATES.get_or_init(|| {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut wanted = BTreeMap::new();
        for (name, arguments) in EXAMPLES.into_iter().flat_map(demos) {
            let before = wanted.insert(name, arguments.clone());
            assert!(before.is_none_or(|before| before == arguments), "one name, one crate");
        }
        std::thread::scope(|scope| {
            for (name, arguments) in &wanted {
                let out = folder.path().join(name);
                scope.spawn(move || {
                    let mut command = Command::new(env!("CARGO_BIN_EXE_fratc"));
                    let output = command.arg("demo").args(arguments).arg("--out").arg(out).output().expect("runs");
                    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
                });
            }
        });
        folder
    });
    folder.path()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("folder");
    for entry in fs::read_dir(from).expect("folder") {
        let path = entry.expect("entry").path();
        let name = path.file_name().expect("a name");
        // What a reader's own run left behind.
        if ["target", "Cargo.lock", "arrows", "stations"].iter().any(|left| name == *left) && from.starts_with(root()) {
            continue;
        }
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).expect("copied");
        }
    }
}

/// What the example says when it is built and run in QEMU; no warning on the way.
fn said(example: &str) -> String {
    let folder = tempfile::tempdir().expect("temporary folder");
    copy(&root().join(example), folder.path());
    for (name, _) in demos(example) {
        copy(&crates().join(&name), &folder.path().join(&name));
    }
    let (ran, said) = cargo(folder.path(), &folder.path().join("target"), &["run", "--release", "--color", "never"]);
    assert!(ran && !said.contains("warning"), "{example}:\n{said}");
    let mut formatted = Command::new("rustfmt");
    formatted.args(["--edition", "2021", "--check", "src/main.rs"]).current_dir(root().join(example));
    assert!(formatted.status().expect("rustfmt runs").success(), "{example}");
    said
}

fn program(name: &str) -> Program {
    qir::load(&crates().join(name).join("fratc/program.int8")).expect("the program beside the crate")
}

/// The golden inputs of the crate `name`.
fn frames(name: &str) -> Vec<Vec<u8>> {
    let program = program(name);
    let bytes = fs::read(crates().join(name).join("tests/golden/inputs.bin")).expect("golden inputs");
    let frames: Vec<Vec<u8>> =
        bytes.chunks_exact(program.tensor(program.input()).shape.len()).map(<[u8]>::to_vec).collect();
    assert!(frames.len() > 1);
    frames
}

/// As the examples print it.
fn line(program: &Program, frame: &[u8]) -> String {
    let scores = sim::run(program, frame);
    let class = (0..scores.len()).rev().max_by_key(|&class| scores[class]).expect("scores");
    format!("{}: {scores:?}", program.classes[class])
}

/// Lines of `text` with a colon and a list of scores.
fn scores(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.contains(": [") && line.ends_with(']')).collect()
}

#[test]
fn a_project_of_its_own_gets_the_simulations_scores() {
    if !qemu() {
        return;
    }
    let arrows = program("arrows");
    let expected: Vec<String> = frames("arrows").iter().map(|frame| line(&arrows, frame)).collect();
    assert_eq!(scores(&said("in_a_project")), expected);
}

#[test]
fn two_networks_in_one_memory_get_the_simulations_scores() {
    if !qemu() {
        return;
    }
    let networks = ["arrows", "stations"].map(|name| (name, program(name)));
    let frames = ["arrows", "stations"].into_iter().flat_map(frames);
    let expected: Vec<String> = frames
        .flat_map(|frame| networks.each_ref().map(|(name, program)| format!("{name} {}", line(program, &frame))))
        .collect();
    assert_eq!(scores(&said("two_networks")), expected);
    let target = Target::load("qemu-m4").expect("a shipped target");
    let arena = |program| fratc::plan::plan_for(program, &target).expect("plans").arena_bytes;
    let [first, second] = networks.each_ref().map(|(_, program)| arena(program));
    assert_ne!(first, second, "the larger memory serves the smaller network too");
}

#[test]
fn a_task_beside_the_network_has_a_turn_after_every_layer() {
    if !qemu() {
        return;
    }
    let arrows = program("arrows");
    let expected: Vec<String> = frames("arrows").iter().map(|frame| line(&arrows, frame)).collect();
    let said = said("embassy");
    assert_eq!(scores(&said), expected);
    let beats = format!("{} beats in between", 2 * (arrows.layers.len() - 1));
    assert_eq!(said.matches(&beats).count(), expected.len(), "{beats}:\n{said}");
}
