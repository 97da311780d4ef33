//! `fratc flash` as users meet it, with a probe-rs of our own on the path.
#![cfg(unix)]

use std::path::Path;
use std::process::{Command, Output};

use fratc::qir;

use crate::programs;

/// Says and does what probe-rs would in the situation that `FAKE` names, and keeps its arguments.
const PROBE_RS: &str = r#"#!/bin/sh
echo "$@" >> "$LOG"
case "$FAKE" in
none) echo "Error: No connected probes were found." >&2; exit 1 ;;
gone) echo "Error: The selected debug probe was not found." >&2; echo "This can be due to permissions." >&2; exit 1 ;;
held) echo "Error: The selected USB device could not be opened." >&2; exit 1 ;;
several) echo "Error: 2 probes were found: 1366:1015, 0d28:0204" >&2; exit 1 ;;
locked) echo "Error: Connecting to the chip was unsuccessful." >&2
    echo "An operation could not be performed because it lacked the permission to do so: erase_all" >&2; exit 1 ;;
wrong) echo "Error: Connecting to the chip was unsuccessful." >&2; exit 1 ;;
unknown) echo "Error: The chip 'nRF52840_xxAA' was not found in the database." >&2; exit 1 ;;
other) echo "Error: something else" >&2; exit 1 ;;
esac
"#;

fn fratc(dir: &Path, path: &str, fake: &str, words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fratc"));
    command.current_dir(dir).args(words.split_whitespace()).env("PATH", path).env("FAKE", fake);
    command.env("LOG", dir.join("log")).output().expect("fratc runs")
}

#[test]
fn flashing_says_what_it_does_and_every_failure_has_a_way_out() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let dir = dir.path();
    // Linked like the emulated machine, so that the firmware needs no crates, and flashed like a board.
    let text = include_str!("../../targets/qemu-m4.toml");
    let text = text
        .replace("name = \"qemu-m4\"", "name = \"mine\"")
        .replace("probe_rs = false", "probe_rs = \"nRF52840_xxAA\"");
    std::fs::write(dir.join("mine.toml"), text).expect("written");
    std::fs::write(dir.join("net.int8"), qir::to_bytes(&programs::branches()).expect("bytes")).expect("written");
    let bin = dir.join("bin");
    std::fs::create_dir(&bin).expect("folder");
    std::fs::write(dir.join("plain"), PROBE_RS).expect("written");
    // Not by this process: what it has open for writing cannot be run while another test starts a program.
    let made = Command::new("install").args(["-m", "755"]).args([dir.join("plain"), bin.join("probe-rs")]).status();
    assert!(made.expect("install runs").success());
    let old = std::env::var("PATH").expect("a path");
    let with = format!("{}:{old}", bin.display());
    let done = fratc(dir, &old, "", "emit net.int8 --target mine.toml --out net --firmware");
    assert!(done.status.success(), "{done:?}");
    let log = || std::fs::read_to_string(dir.join("log")).unwrap_or_default();

    let dry = fratc(dir, &with, "", "flash net --target mine.toml --dry-run");
    let said = String::from_utf8_lossy(&dry.stdout).into_owned();
    assert!(dry.status.success(), "{dry:?}");
    assert!(said.contains("writes       0x00000000..=") && said.contains("would run    probe-rs download"), "{said}");
    assert!(said.contains("ZBT_SSRAM1") && said.contains("left"), "{said}");
    assert_eq!(log(), "", "a dry run starts nothing");

    let done = fratc(dir, &with, "", "flash net --target mine.toml --probe 1366:1015");
    assert!(done.status.success(), "{done:?}");
    let asked = log();
    let lines: Vec<&str> = asked.lines().collect();
    assert_eq!(lines.len(), 2, "{asked}");
    assert!(
        lines[0].starts_with("download --non-interactive --chip nRF52840_xxAA --probe 1366:1015 --verify "),
        "{asked}"
    );
    assert!(lines[1].starts_with("reset --non-interactive --chip nRF52840_xxAA --probe 1366:1015"), "{asked}");
    assert!(!asked.contains("erase-all"), "a locked chip stays locked");

    for (fake, code, way_out) in [
        ("none", "flash/no-probe", "probe-rs list"),
        ("gone", "flash/no-probe", "probe-rs list"),
        ("held", "flash/probe-access", "another program"),
        ("several", "flash/several-probes", "--probe"),
        ("locked", "flash/locked", "fratc never does"),
        ("wrong", "flash/connect", "is this the board"),
        ("unknown", "flash/unknown-chip", "chip list"),
        ("other", "flash/failed", "something else"),
    ] {
        let failed = fratc(dir, &with, fake, "flash net --target mine.toml");
        let said = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert_eq!(failed.status.code(), Some(2), "{fake}: {said}");
        assert!(said.contains(code) && said.contains(way_out), "{fake}: {said}");
        assert!(failed.stdout.is_empty(), "{fake}");
    }
    let failed = fratc(dir, &with, "gone", "flash net --target mine.toml --probe 1366:1015");
    assert!(String::from_utf8_lossy(&failed.stderr).contains("the probe 1366:1015 is not connected"), "{failed:?}");
    // Without a probe-rs: the programs that the build needs, and nothing else.
    if Command::new("probe-rs").output().is_err() {
        let failed = fratc(dir, &old, "", "flash net --target mine.toml");
        let said = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert_eq!(failed.status.code(), Some(2));
        assert!(said.contains("flash/no-probe-rs") && said.contains("cargo install probe-rs-tools"), "{said}");
    }
    let failed = fratc(dir, &with, "", "flash net --target mine.toml --image net.uf2");
    assert!(String::from_utf8_lossy(&failed.stderr).contains("flash/no-image"), "{failed:?}");
    let failed = fratc(dir, &with, "", "flash net-firmware");
    assert!(String::from_utf8_lossy(&failed.stderr).contains("not the firmware's beside it"), "{failed:?}");
}
