//! Firmware beside an emitted crate: its text, and what the compiler says of it for every core.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use fratc::data::{InputContract, InputKind, Samples};
use fratc::emit::{self, EmittedFile, Sample};
use fratc::firmware::Style;
use fratc::plan::{Optimize, plan_as, plan_for};
use fratc::qir::{self, Program};
use fratc::target::Target;
use fratc::{firmware, sim};

use crate::programs::{self, Pattern};
use crate::shared::tell;

/// Whether QEMU is there; says so if not.
pub fn qemu() -> bool {
    let found = Command::new("qemu-system-arm").arg("--version").output().is_ok();
    if !found {
        let _ = writeln!(std::io::stderr(), "SKIPPED: qemu-system-arm is not installed");
    }
    found
}

/// Inputs of `program` that spread over all its scores.
pub fn samples(program: &Program, count: usize) -> Samples {
    let shape = program.tensor(program.input()).shape;
    let kind = match program.input_kind {
        qir::InputKind::U8 => InputKind::U8,
        qir::InputKind::I8 => InputKind::I8,
    };
    let mut pattern = Pattern::new(11);
    let blank = Samples::random(&InputContract::new(kind, [shape.h, shape.w, shape.c], 1.0), 1, 0);
    let raw = (0..count).flat_map(|_| pattern.sample(program)).collect();
    Samples { raw, labels: vec![0; count], ..blank }
}

fn write(folder: &Path, files: &[EmittedFile]) {
    for file in files {
        let path = folder.join(&file.path);
        std::fs::create_dir_all(path.parent().expect("inside the folder")).expect("folder");
        std::fs::write(path, &file.bytes).expect("file");
    }
}

/// A folder with the crate of `program` in `net` and its firmware in `net-firmware`.
pub fn written(program: &Program, target: &str) -> tempfile::TempDir {
    written_as(program, target, Style::Plain, Optimize::Speed)
}

/// The same with firmware of another style, and for another goal.
pub fn written_as(program: &Program, target: &str, style: Style, optimize: Optimize) -> tempfile::TempDir {
    let target = Target::load(target).expect("a shipped target");
    let input = Pattern::new(3).sample(program);
    let golden = Sample { scores: sim::run(program, &input), input };
    let wanted = fratc::plan::Options { optimize, ..fratc::plan::Options::default() };
    let plan = plan_as(program, &target, &wanted).expect("plans");
    let options = emit::Options { samples: vec![golden.clone()], ..emit::Options::default() };
    let folder = tempfile::tempdir().expect("temporary folder");
    write(&folder.path().join("net"), &emit::emit(program, &plan, &target, &options).expect("emits"));
    let files = firmware::firmware(program, "net", &target, &golden, style).expect("emits");
    let again = firmware::firmware(program, "net", &target, &golden, style).expect("emits");
    assert_eq!(files, again, "twice the same");
    write(&folder.path().join("net-firmware"), &files);
    folder
}

/// Runs `cargo` in `folder`, with `store` as its target folder; whether it was content, and what was said. Crates are taken from the local store
/// (`cargo fetch` in this repository fills it), else from the network.
pub fn cargo(folder: &Path, store: &Path, words: &[&str]) -> (bool, String) {
    let mut said = String::new();
    for offline in ["true", "false"] {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy().into_owned();
            if (text.starts_with("CARGO_") && text != "CARGO_HOME") || ["CARGO", "RUSTC", "RUSTFLAGS"].contains(&&*text)
            {
                command.env_remove(name);
            }
        }
        command.env("CARGO_NET_OFFLINE", offline).env("CARGO_TARGET_DIR", store).current_dir(folder).args(words);
        let output = command.output().expect("cargo runs");
        said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        if output.status.success() {
            return (true, said);
        }
    }
    (false, said)
}

/// The linked firmware of `programs::branches` for a board; any warning is an error, of the crate and of the firmware.
fn build(target: &str, style: Style, store: &Path) -> (tempfile::TempDir, PathBuf) {
    let program = programs::branches();
    let folder = written_as(&program, target, style, Optimize::Speed);
    let triple = Target::load(target).expect("a shipped target").rust_target.triple();
    // Joined to the flags that the firmware's own settings name.
    let deny = format!("target.{triple}.rustflags = [\"-D\", \"warnings\"]");
    let words = ["build", "--release", "--color", "never", "--config", &deny];
    let (built, said) = cargo(&folder.path().join("net-firmware"), store, &words);
    assert!(built && !said.contains("warning"), "{target}, {style:?}:\n{said}");
    let elf = store.join(triple).join("release").join(firmware::name(&program.name));
    assert!(elf.is_file(), "{}", elf.display());
    (folder, elf)
}

/// What of the memories the firmware takes lies where the target says, boot blocks included.
fn check(target: &str, elf: &Path) {
    let bytes = std::fs::read(elf).expect("built");
    let target = Target::load(target).expect("a shipped target");
    let table = fratc::verify::region_table(&bytes, &target).expect(&target.name);
    let arena = &target.arena_region().name;
    let plan = plan_for(&programs::branches(), &target).expect("plans");
    let used = |name: &str| table.iter().find(|region| region.name == name).map_or(0, |region| region.used_bytes);
    assert!(used(arena) >= plan.arena_bytes as u64, "{}: {table:?}", target.name);
    let segments = fratc::verify::segments(&bytes).expect("segments");
    let first = segments.first().expect("something is written");
    let flash = &target.flash[0];
    let start = if target.boot_block.is_some() { flash.start } else { flash.usable_start() };
    assert_eq!(first.address, start, "{}: what is written starts where the boot ROM looks", target.name);
    if let Some(image) = target.image {
        let bytes = fratc::flash::image(&target, &segments).expect("an image");
        let head: &[u8] = if image == fratc::target::Image::Hex { b":02000004" } else { b"UF2\n" };
        assert!(bytes.starts_with(head), "{}", target.name);
    }
}

/// One board for each core that has boards, M0, M0+, M4, M7, M33; of M3 and M55 the machines.
#[test]
fn firmware_of_one_board_a_core_builds_without_a_warning() {
    let store = tempfile::tempdir().expect("temporary folder");
    for target in ["microbit-v1", "rp-pico", "nrf52840dk", "stm32f746g-disco", "rp-pico2"] {
        let (_folder, elf) = build(target, Style::Plain, store.path());
        check(target, &elf);
    }
    for target in ["qemu-m3", "mps3-an547"] {
        build(target, Style::Plain, store.path());
    }
    // Without and with compare-and-swap, on which the executor's queue depends.
    for target in ["microbit-v1", "nrf52840dk"] {
        let (_folder, elf) = build(target, Style::Embassy, store.path());
        check(target, &elf);
    }
}

/// All shipped boards and emulated machines in both styles, several minutes:
/// `cargo test --release --test it -- --ignored --nocapture firmware::firmware_of_every_board`
#[test]
#[ignore = "several minutes: run by hand and before a release"]
fn firmware_of_every_board_builds_without_a_warning() {
    let store = tempfile::tempdir().expect("temporary folder");
    for target in Target::list().expect("shipped targets are valid") {
        for style in [Style::Plain, Style::Embassy] {
            let (_folder, elf) = build(&target.name, style, store.path());
            if target.qemu.is_none() {
                check(&target.name, &elf);
            }
        }
        tell(&format!("{}: plain and embassy build", target.name));
    }
}

#[test]
fn firmware_is_as_rustfmt_leaves_it() {
    for target in ["nrf52840dk", "rp-pico2", "imxrt1060-evk", "microbit-v1", "qemu-m4"] {
        for style in [Style::Plain, Style::Embassy] {
            let folder = written_as(&programs::branches(), target, style, Optimize::Speed);
            let mut command = Command::new("rustfmt");
            command.args(["--edition", "2021", "--check", "src/main.rs", "src/bin/validate.rs"]);
            let output = command.current_dir(folder.path().join("net-firmware")).output().expect("rustfmt runs");
            assert!(output.status.success(), "{target}, {style:?}:\n{}", String::from_utf8_lossy(&output.stdout));
        }
    }
}

/// What firmware says in QEMU as `cargo run` starts it; its exit code is 0 only if the scores are those of the
/// simulation, and of an async one if the other task had its turns after every layer.
fn ran(program: &Program, target: &str, style: Style, store: &Path) -> String {
    let folder = written_as(program, target, style, Optimize::Speed);
    let (ran, said) = cargo(&folder.path().join("net-firmware"), store, &["run", "--release", "--quiet"]);
    assert!(ran, "{} on {target}, {style:?}:\n{said}", program.name);
    said
}

#[test]
fn firmware_runs_in_qemu_as_cargo_run_starts_it() {
    if !qemu() {
        return;
    }
    let store = tempfile::tempdir().expect("temporary folder");
    ran(&programs::branches(), "qemu-m33", Style::Plain, store.path());
}

/// Bands, sums in place, squeeze and excite: a layer at a time as in one go.
#[test]
fn async_firmware_lets_others_run_after_every_layer() {
    if !qemu() {
        return;
    }
    let store = tempfile::tempdir().expect("temporary folder");
    for (program, target) in [
        (programs::branches(), "qemu-m0"),
        (programs::residual(), "qemu-m4"),
        (programs::gated(), "qemu-m33"),
        (programs::branches(), "qemu-m33"),
    ] {
        ran(&program, target, Style::Embassy, store.path());
    }
}
