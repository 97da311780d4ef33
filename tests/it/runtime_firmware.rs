//! Kernels as firmware: vendored as an emitted crate vendors them, linked for a chip, with no panic in the image.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use fratc_runtime::sources::{SOURCES, requirements};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SectionKind};

/// Calls every kernel with arguments that the optimizer cannot see.
const MAIN: &str = r#"#![no_std]
#![no_main]

mod kernels;

use core::hint::black_box as any;
use kernels::*;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

fn hwc() -> shape::Hwc {
    shape::Hwc { h: any(4), w: any(4), c: any(4) }
}

fn window() -> shape::Window {
    shape::Window { kernel: any([3; 2]), stride: any([1; 2]), dilation: any([1; 2]), pad: any([1; 2]) }
}

fn requant<'a>(multipliers: &'a [i32]) -> requant::Requant<'a> {
    requant::Requant { multipliers, shift: any(0), zero_point: any(0), min: any(-128), max: any(127) }
}

fn of<T: shape::Element>(x: &[T], q: &[i8], words: &[i32], classes: &[u8], out: &mut [i8]) {
    let border = bias::Bias::Border { rows: classes, cols: classes, col_classes: any(3), table: words };
    let bias = if any(true) { border } else { bias::Bias::Channel(words) };
    let pad = if any(true) { pad::PadValue::Channel(q) } else { pad::PadValue::Uniform(any(3)) };
    let (input, output, window, requant) = (hwc(), hwc(), window(), requant(words));
    conv::conv2d(&conv::Conv2d { input, output, window, weights: q, bias, pad, requant }, x, out);
    depthwise::depthwise(&depthwise::Depthwise { input, output, window, weights: q, bias, pad, requant }, x, out);
    let group = any([1; 2]);
    grouped::grouped(&grouped::Grouped { input, output, window, group, weights: q, bias, pad, requant }, x, out);
    let layer = dsp::conv::Conv { input, output, window, weights: words, form: any(dsp::dot::LANES), bias, pad, requant };
    dsp::conv::conv(&layer, x, out, any(&mut [0_i8; 300]));
    let pad = any(3);
    let layer = dsp::rows::Rows { input, output, window, weights: words, bias: words, pad, requant };
    dsp::rows::conv(&layer, q, out, any(&mut [0_i8; 300]));
    let layer = mve::conv::Conv { input, output, window, weights: words, bias: words, pad, requant };
    mve::conv::conv(&layer, x, out, any(&mut [0_i8; 300]));
    let layer = scalar::conv::Conv { input, output, window, weights: words, bias: words, pad, requant };
    scalar::v7m::conv(&layer, x, out, any(&mut [0_i8; 300]));
    scalar::v6m::conv(&layer, x, out, any(&mut [0_i8; 300]));
    let layer = dsp::winograd::Winograd { input, output, window, weights: words, bias: words, pad, requant };
    dsp::winograd::conv(&layer, q, out, any(&mut [0_i8; 300]));
    let layer = dsp::lines::Lines { input, output, window, columns: any(true), weights: words, bias: words, pad, requant };
    dsp::lines::depthwise(&layer, q, out, any(&mut [0_i8; 300]));
    let layer = dsp::depthwise::Depthwise { input, output, window, weights: words, bias: words, pad, requant };
    dsp::depthwise::depthwise(&layer, q, out, any(&mut [0_i8; 300]));
    dense::dense(&dense::Dense { weights: q, bias: words, requant }, x, out);
    max_pool::max_pool(&max_pool::MaxPool { input, output, window }, x, out);
    adapt::adapt(&adapt::Adapt { input, output, block: input.w, first: window.pad, grey: input.c == 3 }, x, out);
    avg_pool::avg_pool(&avg_pool::AvgPool { input, output, window, input_zero_point: any(3), requant }, x, out);
    if let Ok(table) = q.try_into() {
        lookup::lookup(table, x, out);
    }
}

#[no_mangle]
pub extern "C" fn _start() -> ! {
    let (pixels, values, words) = (any([1_u8; 300]), any([1_i8; 300]), any([1_i32; 300]));
    let (pixels, values, words) = (&pixels[..any(300).min(300)], &values[..any(300).min(300)], &words[..any(300).min(300)]);
    let mut out = any([0_i8; 300]);
    let n = any(300).min(300);
    let out = &mut out[..n];
    of(pixels, values, words, pixels, out);
    of(values, values, words, pixels, out);
    let sum = add::Add { factors: any([1; 2]), constant: any(0), shift: any(3), zero_point: any(0), min: any(0), max: any(1) };
    add::add(&sum, values, values, out);
    add::add_in_place(&sum, out, values);
    add::add_in_place_second(&sum, values, out);
    let gated = gate::Gate { zero_points: any([3; 2]), requant: requant(words) };
    gate::gate(&gated, values, values.get(..any(4)).unwrap_or(&[]), out);
    gate::gate_in_place(&gated, out, values.get(..any(4)).unwrap_or(&[]));
    flatten::flatten(values, any(3), out);
    concat::concat_part(values, any(3), out, any(7), any(2));
    if let Ok(table) = values.try_into() {
        lookup::lookup_in_place(table, out);
    }
    any(argmax::argmax(out));
    loop {}
}
"#;

fn has_target(target: &str) -> bool {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().expect("rustc runs");
    let sysroot = String::from_utf8(sysroot.stdout).expect("a path");
    Path::new(sysroot.trim()).join("lib/rustlib").join(target).join("lib").is_dir()
}

/// The image of `MAIN` for `target`: names of its symbols, and whether it has `SMLAD` instructions.
fn link(dir: &Path, target: &str, opt_level: &str) -> (Vec<String>, bool) {
    let image = dir.join("image");
    let out = Command::new("rustc")
        .current_dir(dir)
        .args(["--edition", "2021", "--crate-type", "bin", "--target", target, "-D", "warnings", "-A", "dead_code"])
        .args(["-C", "panic=abort", "-C", "linker=rust-lld", "-C", "link-arg=--gc-sections"])
        .args(if target.starts_with("thumbv7em") { &["--cfg", "feature=\"dsp\""][..] } else { &[] })
        .args(["-C", &format!("opt-level={opt_level}"), "-C", "overflow-checks=on", "main.rs", "-o"])
        .arg(&image)
        .output()
        .expect("rustc runs");
    assert!(out.status.success(), "{target}: {}", String::from_utf8_lossy(&out.stderr));
    let bytes = std::fs::read(&image).expect("image");
    let file = object::File::parse(&*bytes).expect("ELF");
    let symbols = file.symbols().filter_map(|s| s.name().ok().map(str::to_string)).collect();
    let code = file.sections().filter(|s| s.kind() == SectionKind::Text).filter_map(|s| s.data().ok());
    (symbols, code.flat_map(smlads).next().is_some())
}

/// Halfword positions of `SMLAD`s, instruction by instruction: `1111_1011_0010_nnnn aaaa_dddd_0000_mmmm`, `aaaa` not
/// all ones. The second half of a call may read like the first half of one.
fn smlads(code: &[u8]) -> impl Iterator<Item = usize> {
    let half = |i: usize| code.get(2 * i..2 * i + 2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]));
    let mut starts = Vec::new();
    let mut i = 0;
    while i < code.len() / 2 {
        if half(i) & 0xfff0 == 0xfb20 && half(i + 1) & 0x00f0 == 0 && half(i + 1) >> 12 != 15 {
            starts.push(i);
        }
        i += if half(i) >> 11 >= 0x1d { 2 } else { 1 };
    }
    starts.into_iter()
}

/// With overflow checks on, which is worse than any crate a user builds.
#[test]
fn no_panic_is_linked() {
    let dir = tempfile::tempdir().expect("folder");
    std::fs::create_dir(dir.path().join("kernels")).expect("folder");
    let mut modules = String::new();
    for (name, text) in SOURCES {
        let path = dir.path().join("kernels").join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        std::fs::write(path, text).expect("kernel");
        let module = name.trim_end_matches("/mod.rs").trim_end_matches(".rs");
        if !module.contains('/') {
            writeln!(modules, "pub mod {module};").expect("a string");
        }
    }
    std::fs::write(dir.path().join("kernels/mod.rs"), modules).expect("kernels");
    std::fs::write(dir.path().join("main.rs"), MAIN).expect("main");
    for (target, opt_level) in [
        ("thumbv7em-none-eabihf", "3"),
        ("thumbv7em-none-eabihf", "s"),
        ("thumbv7m-none-eabi", "3"),
        ("thumbv6m-none-eabi", "s"),
    ] {
        if !has_target(target) {
            crate::shared::skipped(&format!("the Rust target {target} is not installed; rustup target add {target}"));
            continue;
        }
        let (symbols, smlad) = link(dir.path(), target, opt_level);
        assert_eq!(smlad, target.starts_with("thumbv7em"), "{target}: DSP instructions where the core has them");
        assert!(symbols.iter().any(|s| s.contains("_start")), "{target}: symbols are there");
        let panics: Vec<_> = symbols.iter().filter(|s| s.contains("panic") || s.contains("unwrap_failed")).collect();
        assert!(panics.is_empty(), "{target} opt-level {opt_level}: {panics:?}");
    }
}

#[test]
fn every_kernel_file_is_exported_with_what_it_needs() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("runtime/src");
    let mut files: Vec<String> = Vec::new();
    let folders = ["dsp", "mve", "scalar"].map(|name| (dir.join(name), format!("{name}/")));
    for (folder, prefix) in [(dir.clone(), String::new())].into_iter().chain(folders) {
        let names = std::fs::read_dir(folder).expect("sources").map(|e| e.expect("entry").file_name());
        files.extend(names.map(|name| format!("{prefix}{}", name.into_string().expect("name"))));
    }
    files.retain(|f| !["lib.rs", "sources.rs", "dsp", "mve", "scalar"].contains(&f.as_str()));
    files.sort();
    assert_eq!(files, SOURCES.iter().map(|s| s.0.to_string()).collect::<Vec<_>>());
    for (file, text) in SOURCES {
        let folder = file.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let mut used: Vec<String> = text
            .lines()
            .filter_map(|l| {
                let (prefix, rest) = match l.trim_start().strip_prefix("use super::")? {
                    rest if rest.starts_with("super::") => ("", rest.trim_start_matches("super::")),
                    rest => (&*folder, rest),
                };
                rest.trim_end_matches(';').split("::").next().map(|module| format!("{prefix}{module}.rs"))
            })
            .collect();
        if !folder.is_empty() && !file.ends_with("/mod.rs") {
            used.push(format!("{folder}mod.rs"));
        }
        used.sort();
        used.dedup();
        assert_eq!(used, requirements(file), "{file}");
        assert!(!text.contains("crate::"), "{file} can be moved into another crate");
    }
}
