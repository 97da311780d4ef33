//! Target files: the shipped ones, a user's own, and every way one can be wrong.

use fratc::diag::Answer;
use fratc::target::{Needs, Target, check_fit};

const GOOD: &str = r#"
name = "board"
description = "a board"
chip = "a chip"
core = "cortex-m4"
rust_target = "thumbv7em-none-eabihf"
clock_hz = 64_000_000
fpu = "single"
probe_rs = false
tested = "untested on hardware"

[[flash]]
name = "FLASH"
start = 0x0800_0000
size = "512K"
offset = 256

[[ram]]
name = "RAM"
start = 0x2000_0000
size = "64K"

[[ram]]
name = "BIG"
start = 0x2400_0000
size = 262144
arena = true
"#;

/// Reads `GOOD` with `from` replaced by `to`; the error as text.
fn broken(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "the test's own pattern {from:?}");
    let error = Target::parse(&GOOD.replacen(from, to, 1), "board.toml").expect_err("this file is wrong");
    assert_eq!(error.answer, Answer::Failure);
    error.to_string()
}

#[test]
fn every_shipped_target_is_valid_and_carries_its_files_name() {
    let targets = Target::list().expect("shipped targets are valid");
    let names: Vec<&str> = targets.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, Target::names().collect::<Vec<_>>());
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("targets");
    let chips = std::fs::read_dir(folder.join("chips")).expect("targets/chips is in the repository").count();
    let used = std::fs::read_dir(&folder).expect("targets/ is in the repository").filter_map(|file| {
        let text = std::fs::read_to_string(file.ok()?.path()).ok()?;
        Some(text.lines().find(|line| line.starts_with("chip_file"))?.to_string())
    });
    assert_eq!(used.collect::<std::collections::BTreeSet<_>>().len(), chips, "every chip has its boards");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .expect("targets/ is in the repository")
        .filter_map(|e| e.ok()?.file_name().into_string().ok()?.strip_suffix(".toml").map(str::to_string))
        .collect();
    files.sort_unstable();
    let mut listed: Vec<String> = names.iter().map(ToString::to_string).collect();
    listed.sort_unstable();
    assert_eq!(listed, files, "targets/*.toml and the list in the program");
    for target in &targets {
        let loaded = Target::load(&target.name).expect("a shipped target loads by name");
        assert_eq!(&loaded, target);
        assert!(target.qemu.is_some() || target.tested == "untested on hardware", "{}", target.name);
        let runs = target.qemu.is_some() || target.probe_rs.is_some() || target.image.is_some();
        assert!(runs, "{} has no way to run", target.name);
    }
}

#[test]
fn memory_sizes_are_those_of_the_data_sheets() {
    let sizes: Vec<String> = Target::list()
        .expect("shipped targets are valid")
        .iter()
        .map(|t| {
            let flash: u64 = t.flash.iter().map(|r| u64::from(r.size)).sum();
            format!("{} {}K {}K", t.name, flash / 1024, t.ram_bytes() / 1024)
        })
        .collect();
    insta::assert_snapshot!(sizes.join("\n"), @"
    qemu-m0 4096K 4096K
    qemu-m3 4096K 4096K
    qemu-m4 4096K 4096K
    qemu-m7 4096K 4096K
    qemu-m33 4096K 4096K
    qemu-m55 2560K 4608K
    arduino-nano-rp2040 16384K 264K
    arduino-nano33-ble 1024K 256K
    blackpill-f411 512K 128K
    ek-ra6m4 1024K 256K
    imxrt1060-evk 8192K 896K
    microbit-v1 256K 16K
    microbit-v2 512K 128K
    mps3-an547 2560K 4608K
    nrf52840dk 1024K 256K
    nrf5340dk 1024K 512K
    nucleo-f072rb 128K 16K
    nucleo-f411re 512K 128K
    nucleo-g0b1re 512K 144K
    nucleo-h743zi 2048K 640K
    nucleo-l476rg 1024K 128K
    nucleo-l4r5zi 2048K 640K
    nucleo-u575zi 2048K 768K
    rp-pico 2048K 264K
    rp-pico2 4096K 520K
    stm32f746g-disco 1024K 320K
    teensy-4.1 7936K 896K
    xiao-nrf52840 976K 255K
    ");
}

/// What probe-rs knows of one chip; `probe_rs.py` says where it is from.
#[derive(serde::Deserialize)]
struct Chip {
    name: String,
    core: String,
    flash: Vec<[u32; 2]>,
    ram: Vec<[u32; 2]>,
}

#[derive(serde::Deserialize)]
struct Chips {
    chip: Vec<Chip>,
}

/// Memories that are smaller in a target than in probe-rs's tables, on purpose; the targets' comments say why.
const SMALLER: &[(&str, &str)] = &[
    ("arduino-nano-rp2040", "FLASH"),
    ("imxrt1060-evk", "DTCM"),
    ("imxrt1060-evk", "OCRAM"),
    ("rp-pico", "FLASH"),
    ("rp-pico2", "FLASH"),
    ("xiao-nrf52840", "FLASH"),
];

#[test]
fn chips_and_memories_are_those_that_probe_rs_knows() {
    let facts: Chips = toml::from_str(include_str!("../targets/probe_rs.toml")).expect("written by probe_rs.py");
    let mut smaller = Vec::new();
    for target in Target::list().expect("shipped targets are valid") {
        let Some(name) = &target.probe_rs else { continue };
        let chip = facts.chip.iter().find(|chip| chip.name == *name);
        let chip = chip.unwrap_or_else(|| panic!("{}: probe-rs knows no chip called {name}", target.name));
        let set = match target.core.cpu() {
            "cortex-m0" | "cortex-m0plus" => "armv6m",
            "cortex-m3" => "armv7m",
            "cortex-m4" | "cortex-m7" => "armv7em",
            _ => "armv8m",
        };
        assert_eq!(chip.core, set, "{}: instruction set of {name}", target.name);
        for (regions, known) in [(&target.flash, &chip.flash), (&target.ram, &chip.ram)] {
            for region in regions {
                let (start, end) = (region.start, region.start + region.size);
                let whole = known.contains(&[start, end]);
                let inside = known.iter().any(|[from, to]| *from <= start && end <= *to);
                // Neighbours are joined in the table: two that fill a stretch together are whole too.
                let starts =
                    known.iter().any(|[from, _]| *from == start) || regions.iter().any(|r| r.start + r.size == start);
                let ends = known.iter().any(|[_, to]| *to == end) || regions.iter().any(|r| r.start == end);
                assert!(inside, "{}: {} is not in probe-rs's {known:x?} of {name}", target.name, region.name);
                if !(whole || starts && ends) {
                    smaller.push((target.name.clone(), region.name.clone()));
                }
            }
        }
    }
    let smaller: Vec<_> = smaller.iter().map(|(target, region)| (target.as_str(), region.as_str())).collect();
    assert_eq!(smaller, SMALLER);
}

#[test]
fn a_board_takes_from_its_chip_what_it_leaves_out() {
    let own =
        "name = \"mine\"\ndescription = \"my board\"\nchip_file = \"nrf52840\"\ntested = \"untested on hardware\"\n";
    let target = Target::parse(own, "mine.toml").expect("all of the chip");
    let kit = Target::load("nrf52840dk").expect("shipped");
    assert_eq!((&target.flash, &target.ram, &target.probe_rs), (&kit.flash, &kit.ram, &kit.probe_rs));
    let flash = "[[flash]]\nname = \"F\"\nstart = 0\nsize = \"64K\"\noffset = 16\n";
    let target = Target::parse(&format!("{own}{flash}"), "mine.toml").expect("its own flash, the chip's RAM");
    assert_eq!((target.flash_bytes(), target.ram_bytes()), (65_520, 262_144));
    let error =
        |from: &str, to: &str| Target::parse(&own.replace(from, to), "mine.toml").expect_err("wrong").to_string();
    insta::assert_snapshot!(error("nrf52840", "nrf5284"), @"line 3, column 13: no chip is called 'nrf5284': expected one of imxrt1062, mps3-an547, nrf52840, rp2040, stm32f411 in mine.toml; targets/README.md describes every field [target/chip-file]");
    insta::assert_snapshot!(error("\ntested", "\ntarget_cpu = \"cortex-m7\"\ntested"), @"line 4, column 14: target_cpu is 'cortex-m7', but the core is 'cortex-m4' in mine.toml; targets/README.md describes every field [target/core-mismatch]");
    insta::assert_snapshot!(error("name = \"mine\"\n", ""), @"line 1, column 1: missing name in mine.toml; targets/README.md describes every field [target/missing]");
    insta::assert_snapshot!(error("\ntested", "\nimage = \"uf2\"\ntested"), @"line 4, column 9: a UF2 image needs uf2_family, the number that its boot loader expects in mine.toml; targets/README.md describes every field [target/image]");
    insta::assert_snapshot!(error("\ntested", "\nuf2_family = 1\ntested"), @r#"line 1, column 1: uf2_family is given, but image is not "uf2" in mine.toml; targets/README.md describes every field [target/image]"#);
}

#[test]
fn a_users_own_file_loads_by_path() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("mine.toml");
    std::fs::write(&path, GOOD).expect("the folder is writable");
    let target = Target::load(path.to_str().expect("a UTF-8 path")).expect("the file is valid");
    assert_eq!(target.name, "board");
    assert_eq!(target.flash_bytes(), 512 * 1024 - 256);
    assert_eq!(target.arena_region().name, "BIG");
    assert_eq!(target.code_region().usable_start(), 0x0800_0100);
    let missing = Target::load("nowhere/mine.toml").expect_err("there is no such file").to_string();
    assert!(missing.contains("target/read") && missing.contains("nowhere/mine.toml"), "{missing}");
}

#[test]
fn unknown_names_get_the_nearest() {
    let error = Target::load("qemu-m5").expect_err("no such target").to_string();
    insta::assert_snapshot!(error, @"no target is called 'qemu-m5'; did you mean qemu-m0, qemu-m3, qemu-m4? `fratc targets` lists the boards; the path of a TOML file works too [target/unknown]");
    let error = Target::load("h743").expect_err("no such target").to_string();
    insta::assert_snapshot!(error, @"no target is called 'h743'; did you mean nucleo-h743zi? `fratc targets` lists the boards; the path of a TOML file works too [target/unknown]");
    let error = Target::load("").expect_err("no such target").to_string();
    assert!(error.contains("fratc targets"), "{error}");
}

#[test]
fn errors_carry_line_column_and_both_sides() {
    insta::assert_snapshot!(broken("clock_hz", "clok_hz"), @"unknown field `clok_hz`, expected one of `name`, `description`, `chip`, `chip_file`, `core`, `rust_target`, `target_cpu`, `clock_hz`, `fpu`, `probe_rs`, `boot_block`, `image`, `uf2_family`, `qemu`, `tested`, `flash`, `ram` in board.toml, line 7, column 1; targets/README.md describes every field [target/syntax]");
    insta::assert_snapshot!(broken("size = \"512K\"", "size = \"512Q\""), @r#"invalid value: string "512Q", expected a number of bytes below 4 GiB, such as 256, "512K" or "2M" in board.toml, line 15, column 8; targets/README.md describes every field [target/syntax]"#);
    insta::assert_snapshot!(broken("size = 262144", "size = -1"), @r#"invalid value: integer `-1`, expected a number of bytes below 4 GiB, such as 256, "512K" or "2M" in board.toml, line 26, column 8; targets/README.md describes every field [target/syntax]"#);
    insta::assert_snapshot!(broken("probe_rs = false", "probe_rs = true"), @"invalid value: boolean `true`, expected the chip's name for probe-rs, or false in board.toml, line 9, column 12; targets/README.md describes every field [target/syntax]");
    insta::assert_snapshot!(broken("fpu = \"single\"", "fpu = single"), @"string values must be quoted, expected literal string in board.toml, line 8, column 7; targets/README.md describes every field [target/syntax]");
    insta::assert_snapshot!(broken("cortex-m4", "cortex-a7"), @"unknown variant `cortex-a7`, expected one of `cortex-m0`, `cortex-m0plus`, `cortex-m3`, `cortex-m4`, `cortex-m7`, `cortex-m33`, `cortex-m55` in board.toml, line 5, column 8; targets/README.md describes every field [target/syntax]");
    insta::assert_snapshot!(broken("clock_hz = 64_000_000", "clock_hz = 0"), @"line 7, column 12: clock_hz is 0 in board.toml; targets/README.md describes every field [target/clock]");
    insta::assert_snapshot!(broken("thumbv7em-none-eabihf", "thumbv9-none-eabi"), @"line 6, column 15: unknown rust_target 'thumbv9-none-eabi': expected one of thumbv6m-none-eabi, thumbv7m-none-eabi, thumbv7em-none-eabi, thumbv7em-none-eabihf, thumbv8m.main-none-eabi, thumbv8m.main-none-eabihf in board.toml; targets/README.md describes every field [target/unknown-rust-target]");
    insta::assert_snapshot!(broken("cortex-m4", "cortex-m0"), @"line 6, column 15: cortex-m0 cannot run code for thumbv7em-none-eabihf in board.toml; targets/README.md describes every field [target/core-mismatch]");
    insta::assert_snapshot!(broken("fpu = \"single\"", "fpu = \"none\""), @r#"line 6, column 15: thumbv7em-none-eabihf needs an FPU, but fpu is "none" in board.toml; targets/README.md describes every field [target/fpu-mismatch]"#);
    insta::assert_snapshot!(broken("start = 0x2400_0000", "start = 0x2000_8000"), @"line 25, column 9: region BIG (0x20008000..0x20048000) overlaps RAM (0x20000000..0x20010000) in board.toml; targets/README.md describes every field [target/region-overlap]");
    insta::assert_snapshot!(broken("size = \"64K\"", "size = 0"), @"line 21, column 8: region RAM has 0 bytes in board.toml; targets/README.md describes every field [target/region-empty]");
    insta::assert_snapshot!(broken("offset = 256", "offset = \"512K\""), @"line 15, column 8: region FLASH of 524288 bytes is all offset (524288 bytes) in board.toml; targets/README.md describes every field [target/region-empty]");
    insta::assert_snapshot!(broken("start = 0x2400_0000", "start = 0xFFFF_0000"), @"line 25, column 9: region BIG ends past 4 GiB in board.toml; targets/README.md describes every field [target/region-wraps]");
    insta::assert_snapshot!(broken("start = 0x2400_0000", "start = 0x2400_0002"), @"line 25, column 9: start, size and offset of region BIG must be multiples of 4 bytes in board.toml; targets/README.md describes every field [target/region-misaligned]");
    insta::assert_snapshot!(broken("\"BIG\"", "\"RAM\""), @"line 24, column 8: two regions are called 'RAM' in board.toml; targets/README.md describes every field [target/name]");
    insta::assert_snapshot!(broken("\"BIG\"", "\"big ram\""), @"line 24, column 8: region 'big ram' is not of the form [A-Z][A-Z0-9_]* in board.toml; targets/README.md describes every field [target/name]");
    for name in ["", "my board", "board\\n"] {
        let error = broken("\"board\"", &format!("\"{name}\""));
        assert!(error.starts_with(&format!("line 2, column 8: name \"{name}\" is not")), "{error}");
        assert!(error.contains("[target/name]"), "{error}");
    }
    insta::assert_snapshot!(broken("a chip", "a */ chip"), @r#"line 4, column 8: chip "a */ chip" is not one line of text without "*/" in board.toml; targets/README.md describes every field [target/text]"#);
    insta::assert_snapshot!(broken("a board", "a\\nboard"), @r#"line 3, column 15: description "a\nboard" is not one line of text without "*/" in board.toml; targets/README.md describes every field [target/text]"#);
    insta::assert_snapshot!(broken("offset = 256", "banks = 0"), @"line 16, column 9: region FLASH has 0 banks in board.toml; targets/README.md describes every field [target/region-empty]");
    insta::assert_snapshot!(broken("size = \"64K\"", "size = \"64K\"\narena = true"), @"line 28, column 9: two regions have arena = true in board.toml; targets/README.md describes every field [target/preferred-twice]");
}

#[test]
fn independent_problems_come_together() {
    let text = GOOD.replace("clock_hz = 64_000_000", "clock_hz = 0").replace("size = \"64K\"", "size = 0");
    let error = Target::parse(&text, "board.toml").expect_err("two problems").to_string();
    assert!(error.contains("clock_hz is 0") && error.contains("region RAM has 0 bytes"), "{error}");
    let no_regions = GOOD.split("[[flash]]").next().expect("a first part");
    let error = Target::parse(no_regions, "board.toml").expect_err("no regions").to_string();
    assert!(error.contains("no [[flash]] region") && error.contains("no [[ram]] region"), "{error}");
}

#[test]
fn what_does_not_fit_says_needs_has_and_over_by() {
    let target = Target::parse(GOOD, "board.toml").expect("the file is valid");
    let all = Needs { flash: 512 * 1024 - 256, arena: 262_144, other_ram: 65_536 };
    check_fit(&target, all).expect("it fits to the byte");
    let over = Needs { flash: all.flash + 1, arena: all.arena + 2, other_ram: all.other_ram + 3 };
    let error = check_fit(&target, over).expect_err("nothing fits");
    assert_eq!(error.answer, Answer::No);
    insta::assert_snapshot!(error.to_string(), @"the program does not fit board: flash needs 524033 bytes, has 524032 bytes in FLASH, over by 1 bytes; RAM (arena) needs 262146 bytes, has 262144 bytes in BIG, over by 2 bytes; RAM (input, stack, statics) needs 65539 bytes, has 65536 bytes in RAM, over by 3 bytes; keep fewer channels (--keep), fewer classes, or take a larger board (`fratc targets`) [target/does-not-fit]");
    let one_ram = Target::load("nrf52840dk").expect("shipped");
    check_fit(&one_ram, Needs { flash: 1, arena: 200 * 1024, other_ram: 56 * 1024 }).expect("256 K in all");
    let error = check_fit(&one_ram, Needs { flash: 1, arena: 200 * 1024, other_ram: 56 * 1024 + 1 });
    assert!(error.expect_err("one byte over").to_string().contains("over by 1 bytes"));
}
