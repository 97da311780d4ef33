//! A firmware that only calls the network holds no way to panic: no panic handler, no formatting, no text of a place in
//! the source. For every operator, on the cores of all targets, compiled for speed and for size.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use fratc::emit::{self, EmittedFile, Sample, emit};
use fratc::plan::{Optimize, Options, plan_as};
use fratc::qir::Program;
use fratc::sim;
use fratc::target::Target;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SectionKind};

use crate::programs::{self, Pattern};
use crate::shared::skipped;

/// Target, optimization.
const BUILDS: [(&str, &str); 6] = [
    ("qemu-m4", "3"),
    ("qemu-m4", "\"s\""),
    ("qemu-m33", "3"),
    ("qemu-m55", "3"),
    ("qemu-m3", "2"),
    ("qemu-m0", "\"s\""),
];

/// What the names of code that panics, formats or checks an index hold, in both of rustc's manglings.
const FORBIDDEN: [&str; 8] = [
    "panic",
    "PANICKED",
    "4core3fmt",
    "5slice5index",
    "slice_index",
    "unwrap_failed",
    "expect_failed",
    "core9panicking",
];

/// The firmware around the calls.
const HEAD: &str = "#![no_std]\n#![no_main]\n
/// Linked only if something can panic.
#[no_mangle]
static FRATC_PANICKED: u32 = 0x5041_4e49;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        // SAFETY: a static.
        unsafe { core::ptr::read_volatile(&raw const FRATC_PANICKED) };
    }
}

/// For all networks.
#[repr(align(4))]
struct Memory([i8; 50_000]);

static mut MEMORY: Memory = Memory([0; 50_000]);

/// A value that the compiler cannot know.
fn unknown<T: Copy>(value: T) -> T {
    // SAFETY: a reference.
    unsafe { core::ptr::read_volatile(&value) }
}
";

fn installed(target: &Target) -> bool {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().expect("rustc runs").stdout;
    let sysroot = String::from_utf8(sysroot).expect("a path");
    let folder = Path::new(sysroot.trim()).join("lib/rustlib").join(target.rust_target.triple()).join("lib");
    assert!(folder.is_dir() || std::env::var("CI").as_deref() != Ok("true"), "CI needs {}", target.rust_target);
    folder.is_dir()
}

/// Writes the crates of `programs`, and a firmware that calls every one of them, then does `extra`.
fn write_firmware(dir: &Path, target: &Target, programs: &[Program], extra: &str) {
    let (mut main, mut dependencies) = (String::from(HEAD), String::new());
    let mut calls = String::new();
    for program in programs {
        let input = Pattern::new(3).sample(program);
        let samples = vec![Sample { scores: sim::run(program, &input), input }];
        let options = emit::Options { samples, ..emit::Options::default() };
        // One of them in strips.
        let optimize = if program.name == "border" { Optimize::Ram } else { Optimize::Speed };
        let plan = plan_as(program, target, &Options { optimize, ..Options::default() }).expect("plans");
        for EmittedFile { path, bytes } in emit(program, &plan, target, &options).expect("emits") {
            // Settings of the crate on its own do not act here.
            if !path.starts_with('.') {
                let path = dir.join(&program.name).join(path);
                fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
                fs::write(path, bytes).expect("written");
            }
        }
        let (name, ident) = (&program.name, program.name.replace('-', "_"));
        let _ = writeln!(dependencies, "{name} = {{ path = \"{name}\" }}");
        let _ = writeln!(
            calls,
            "    static mut {upper}: {ident}::Arena = {ident}::Arena::new();\n    \
             // SAFETY: one core, called once.\n    \
             let scores = {ident}::infer(unsafe {{ &mut *&raw mut {upper} }}, &unknown([0; {ident}::INPUT_LEN])).scores;\n    \
             unknown(scores);\n    \
             // SAFETY: as above.\n    \
             let memory: &mut [i8] = unsafe {{ &mut *&raw mut MEMORY.0 }};\n    \
             unknown({ident}::infer_in(memory, &unknown([0; {ident}::INPUT_LEN])).map(|p| p.scores));\n    \
             if let Some(mut run) = {ident}::Run::new_in(memory, &unknown([0; {ident}::INPUT_LEN])) {{\n        \
             run.step();\n        unknown(run.finish().scores);\n    }}",
            upper = ident.to_uppercase()
        );
    }
    let _ = write!(main, "\n#[no_mangle]\npub extern \"C\" fn _start() -> ! {{\n{calls}{extra}    loop {{}}\n}}\n");
    fs::create_dir_all(dir.join("src")).expect("folder");
    fs::write(dir.join("src/main.rs"), main).expect("written");
    let manifest = format!(
        "[package]\nname = \"firmware\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[dependencies]\n{dependencies}\n\
         [workspace]\n\n[profile.release]\nlto = true\ncodegen-units = 1\npanic = \"abort\"\nopt-level = OPT\n"
    );
    fs::write(dir.join("Cargo.toml.in"), manifest).expect("written");
}

/// Builds the firmware; what of it can panic.
fn faults(dir: &Path, target: &Target, optimization: &str) -> Vec<String> {
    let manifest = fs::read_to_string(dir.join("Cargo.toml.in")).expect("manifest");
    fs::write(dir.join("Cargo.toml"), manifest.replace("OPT", optimization)).expect("written");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(dir).args(["build", "--release", "--offline", "--quiet"]);
    command.args(["--target", target.rust_target.triple()]).env("CARGO_TARGET_DIR", dir.join("target"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PROFILE") || name == "CARGO_INCREMENTAL" {
            command.env_remove(name);
        }
    }
    let cpu = target.target_cpu.as_ref().map(|cpu| format!("-Ctarget-cpu={cpu}")).unwrap_or_default();
    let built = command.env("RUSTFLAGS", cpu).output().expect("cargo runs");
    assert!(built.status.success(), "{}: {}", target.name, String::from_utf8_lossy(&built.stderr));
    let bytes = fs::read(dir.join("target").join(target.rust_target.triple()).join("release/firmware")).expect("ELF");
    let file = object::File::parse(&*bytes).expect("ELF");
    let names: Vec<&str> = file.symbols().filter_map(|symbol| symbol.name().ok()).collect();
    assert!(names.contains(&"_start"), "{}: symbols are there", target.name);
    let bad = names.iter().filter(|name| FORBIDDEN.iter().any(|part| name.contains(part)));
    let mut found: Vec<String> = bad.map(ToString::to_string).collect();
    for section in
        file.sections().filter(|s| matches!(s.kind(), SectionKind::ReadOnlyData | SectionKind::ReadOnlyString))
    {
        let text = String::from_utf8_lossy(section.data().expect("bytes")).into_owned();
        found.extend(
            ["out of bounds", "src/kernels/", "src/layers.rs", "overflow"]
                .into_iter()
                .filter(|t| text.contains(t))
                .map(String::from),
        );
    }
    found
}

#[test]
fn no_way_to_panic_is_linked() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut wrong = String::new();
    for (name, optimization) in BUILDS {
        let target = Target::load(name).expect("a shipped target");
        if !installed(&target) {
            skipped(&format!("`rustup target add {}`", target.rust_target));
            continue;
        }
        let dir = folder.path().join(name);
        write_firmware(&dir, &target, &programs::all(), "");
        let found = faults(&dir, &target, optimization);
        if !found.is_empty() {
            let _ = writeln!(wrong, "{name}, opt-level {optimization}: {}", found.join(", "));
        }
    }
    assert!(wrong.is_empty(), "code that can panic:\n{wrong}");
}

/// The same test on a firmware that checks an index.
#[test]
fn a_panic_would_be_seen() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let target = Target::load("qemu-m4").expect("a shipped target");
    if !installed(&target) {
        return skipped(&format!("`rustup target add {}`", target.rust_target));
    }
    write_firmware(folder.path(), &target, &[programs::plain()], "    unknown([1, 2, 3][unknown(3_usize)]);\n");
    let found = faults(folder.path(), &target, "3");
    assert!(found.iter().any(|name| name == "FRATC_PANICKED"), "{found:?}");
    assert!(found.iter().any(|name| name.contains("panic")), "{found:?}");
}
