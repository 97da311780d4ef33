//! The command line as users meet it: bad input and its answers, help, and what stays behind.
//!
//! Every bad input must end in one paragraph that says what, where and a way out, with exit code 2 (1 where the
//! answer is "does not fit"), without a panic and without a half-written output.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use fratc::demo;

use crate::demo_case::{self, drawn, first};

fn fratc() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fratc"));
    command.env_remove("RUST_BACKTRACE").stdin(Stdio::null());
    command
}

/// A folder with a small model, its data and a case file, to be spoiled in one place at a time.
struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let fixture = Self { dir: tempfile::tempdir().expect("temporary folder") };
        let demo = drawn();
        let (calibration, test) = (first(&demo.calibration, 8), first(&demo.test, 4));
        demo_case::write(fixture.dir.path(), "case.toml", &[("calibration", &calibration), ("test", &test)]);
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).expect("written");
    }

    fn edit(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(name)).expect("text");
        assert!(text.contains(from), "{name} holds no {from:?}");
        self.write(name, text.replace(from, to).as_bytes());
    }

    fn run(&self, words: &str) -> Output {
        fratc().current_dir(self.dir.path()).args(words.split_whitespace()).output().expect("fratc runs")
    }

    fn listing(&self) -> Vec<String> {
        let mut names = names(self.dir.path());
        names.sort();
        names
    }
}

const BUILD: &str = "build case.toml --classes 0,1,2 --target qemu-m4 --out out";

/// One bad input: a name, how to spoil the fixture, and the command.
type Bad = (&'static str, fn(&Fixture), &'static str);

const TABLE: &[Bad] = &[
    ("missing case file", |_| {}, "build nowhere.toml --classes 0,1 --target qemu-m4 --out out"),
    ("case file with a typo", |f| f.edit("case.toml", "scale", "scael"), BUILD),
    ("missing model", |f| fs::remove_file(f.path("net.onnx")).expect("removed"), BUILD),
    ("empty model", |f| f.write("net.onnx", b""), BUILD),
    ("truncated model", |f| f.write("net.onnx", &demo::model_bytes()[..demo::model_bytes().len() / 2]), BUILD),
    ("model that is no ONNX", |f| f.write("net.onnx", b"\x89PNG\r\n\x1a\n and so on"), BUILD),
    (
        "model of another hash",
        |f| {
            f.edit(
                "case.toml",
                "path = \"net.onnx\"",
                &format!("path = \"net.onnx\"\nsha256 = \"{}\"", "0".repeat(64)),
            );
        },
        BUILD,
    ),
    ("unsupported operator", |f| f.write("net.onnx", &renamed("Relu", "Asin")), BUILD),
    ("weight that is no number", |f| f.write("net.onnx", &with_nan()), BUILD),
    ("unknown class", |_| {}, "build case.toml --classes sotp,dock --target qemu-m4 --out out"),
    ("class index out of range", |_| {}, "build case.toml --classes 0,99 --target qemu-m4 --out out"),
    ("one class", |_| {}, "build case.toml --classes 0 --target qemu-m4 --out out"),
    ("class twice", |_| {}, "build case.toml --classes 0,0 --target qemu-m4 --out out"),
    ("class without samples", |f| without_class(f, 1), BUILD),
    ("wrong image size", |f| f.edit("case.toml", "24, 24", "28, 28"), BUILD),
    (
        "truncated records",
        |f| {
            let b = fs::read(f.path("test.bin")).expect("read");
            f.write("test.bin", &b[..b.len() - 7]);
        },
        BUILD,
    ),
    (
        "label out of range",
        |f| {
            let mut b = fs::read(f.path("calibration.bin")).expect("read");
            b[0] = 200;
            f.write("calibration.bin", &b);
        },
        BUILD,
    ),
    ("labels file too short", |f| f.write("labels.txt", b"one\ntwo\n"), BUILD),
    ("corrupt image", corrupt_image, BUILD),
    (
        "output folder is not ours",
        |f| {
            fs::create_dir(f.path("out")).expect("made");
            f.write("out/precious.txt", b"keep me");
        },
        BUILD,
    ),
    ("output folder is read-only", read_only, BUILD),
    ("output is a file", |f| f.write("out", b"keep me"), BUILD),
    ("output parent is missing", |_| {}, "build case.toml --classes 0,1,2 --target qemu-m4 --out no/such/out"),
    ("unknown target", |_| {}, "build case.toml --classes 0,1,2 --target nrf52840 --out out"),
    ("no target", |_| {}, "build case.toml --classes 0,1,2 --out out"),
    ("keep out of range", |_| {}, "build case.toml --classes 0,1,2 --target qemu-m4 --out out --keep 1.5"),
    ("limit that is no number", |_| {}, "build case.toml --classes 0,1,2 --target qemu-m4 --out out --max-flash much"),
    ("limit in the case file", |f| f.edit("case.toml", "[data]", "[build]\nmax_ram = \"30%\"\n\n[data]"), BUILD),
    (
        "limits that no network meets",
        |_| {},
        "build case.toml --classes 0,1,2 --target qemu-m4 --out out --max-macs 10 --max-ram 1",
    ),
    ("does not fit", tiny_board, "build case.toml --classes 0,1,2 --target tiny.toml --out out --keep 1"),
    ("no samples to attribute", |_| {}, "attribute case.toml --samples 0 --out new.frat"),
    ("no samples to study", |_| {}, "study case.toml --samples 0 --out s"),
    ("heads without components", |_| {}, "assemble case.toml --classes 0,1,2 --keep 0.5 --heads off --out small.onnx"),
    (
        "damaged library",
        |f| f.write("old.frat", b"frat? no"),
        "build case.toml --classes 0,1,2 --target qemu-m4 --out out --library old.frat",
    ),
    ("no program", |_| {}, "emit labels.txt --target qemu-m4 --out out"),
    ("no crate", |_| {}, "verify ."),
    ("plan without a target", |_| {}, "plan case.toml"),
    ("plan for nothing known", |_| {}, "plan case.toml --target qemu-m4 --optimize beauty"),
    ("plan of an unknown target", |_| {}, "plan case.toml --target qemu-m44"),
    ("bench of nothing", |_| {}, "bench nowhere.int8 --target qemu-m4"),
    ("bench of something else", |_| {}, "bench labels.txt --target qemu-m4"),
    ("bench of a foreign folder", |_| {}, "bench ."),
    ("bench without a target", |_| {}, "bench case.toml"),
    ("bench without QEMU's machine", |_| {}, "bench case.toml --target nrf52840dk"),
    ("bench with a damaged baseline", |_| {}, "bench case.toml --target qemu-m4 --compare labels.txt"),
    ("library over the model", |_| {}, "attribute case.toml --out net.onnx"),
    ("network over its source", |_| {}, "assemble case.toml --classes 0,1 --keep 0.5 --out net.onnx"),
    ("program over the case file", |_| {}, "quantize case.toml --classes 0,1 --out case.toml"),
    ("figure over the data", |_| {}, "components case.toml --svg test.bin"),
    ("library and manifest in one", |_| {}, "attribute case.toml --out new.frat --manifest new.frat"),
    ("crate called like a keyword", |_| {}, "build case.toml --classes 0,1,2 --target qemu-m4 --out match"),
    ("crate called like a target of its own", |_| {}, "build case.toml --classes 0,1,2 --target qemu-m4 --out test"),
    ("crate that was worked in", worked_in, "emit net.int8 --target qemu-m4 --out out"),
    ("program that does not fit", tiny_board_and_program, "emit net.int8 --target tiny.toml --out out"),
    (
        "plan of a program for other classes",
        |f| works(f, "quantize case.toml --out net.int8"),
        "plan net.int8 --target qemu-m4 --classes 0,1",
    ),
    ("unknown command", |_| {}, "biuld case.toml"),
];

/// The model with one operator's name replaced by another of the same length.
fn renamed(from: &str, to: &str) -> Vec<u8> {
    let mut bytes = demo::model_bytes().to_vec();
    let needle = [&[0x22, from.len() as u8], from.as_bytes()].concat();
    let at = bytes.windows(needle.len()).position(|w| w == needle).expect("the operator occurs");
    bytes[at + 2..at + 2 + to.len()].copy_from_slice(to.as_bytes());
    bytes
}

fn with_nan() -> Vec<u8> {
    let mut graph = fratc::load::load_bytes(demo::model_bytes(), "markers.onnx").expect("loads").graph;
    for node in &mut graph.nodes {
        if let fratc::ir::op::Op::Conv(conv) = &mut node.op {
            conv.weight[3] = f32::NAN;
        }
    }
    fratc::ir::onnx::to_onnx(&graph, "test")
}

fn read_only(f: &Fixture) {
    fs::create_dir(f.path("out")).expect("made");
    let mut permissions = fs::metadata(f.path("out")).expect("metadata").permissions();
    permissions.set_readonly(true);
    fs::set_permissions(f.path("out"), permissions).expect("set");
}

fn without_class(f: &Fixture, class: u8) {
    let record = 1 + drawn().input.shape.iter().product::<usize>();
    let bytes = fs::read(f.path("calibration.bin")).expect("read");
    f.write("calibration.bin", &bytes.chunks(record).filter(|r| r[0] != class).collect::<Vec<_>>().concat());
}

fn corrupt_image(f: &Fixture) {
    for name in &drawn().label_names {
        let dir = f.path("pics").join(name);
        fs::create_dir_all(&dir).expect("made");
        fs::write(dir.join("a.png"), b"\x89PNG\r\n\x1a\nbroken").expect("written");
    }
    let case = fs::read_to_string(f.path("case.toml")).expect("text");
    let line = case.lines().find(|l| l.starts_with("calibration")).expect("line").to_string();
    f.edit("case.toml", &line, "calibration = { format = \"folder\", path = \"pics\" }");
}

fn tiny_board(f: &Fixture) {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/qemu-m4.toml")).expect("target");
    let sizes =
        |line: &str| if line.trim_start().starts_with("size") { "size = 1024".to_string() } else { line.to_string() };
    f.write("tiny.toml", text.lines().map(sizes).collect::<Vec<_>>().join("\n").as_bytes());
}

fn worked_in(f: &Fixture) {
    works(f, "quantize case.toml --out net.int8");
    works(f, "emit net.int8 --target qemu-m4 --out out");
    f.write("out/src/lib.rs", b"// mine");
    f.write("out/NOTES.md", b"mine");
}

fn tiny_board_and_program(f: &Fixture) {
    tiny_board(f);
    works(f, "quantize case.toml --out net.int8");
}

#[test]
fn bad_input_gets_one_paragraph_and_leaves_nothing() {
    let mut report = String::new();
    for (name, spoil, words) in TABLE {
        let fixture = Fixture::new();
        spoil(&fixture);
        let before = fixture.listing();
        let output = fixture.run(words);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let stderr: Vec<&str> = stderr.lines().filter(|l| !l.starts_with("fratc: ")).collect();
        let dir = fixture.dir.path().to_string_lossy().into_owned();
        let _ = writeln!(report, "## {name}\n$ fratc {words}\n{}", stderr.join("\n").replace(&dir, "[DIR]"));
        let _ = writeln!(report, "exit code {:?}\n", output.status.code());
        assert!(!stderr.iter().any(|l| l.contains("panicked")), "{name}: panic\n{}", stderr.join("\n"));
        assert!(output.stdout.is_empty(), "{name}: data on stdout");
        assert!(matches!(output.status.code(), Some(1 | 2)), "{name}: exit {:?}", output.status.code());
        assert_eq!(fixture.listing(), before, "{name}: something was left behind");
    }
    insta::with_settings!({snapshot_path => "../snapshots", prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("cli-bad-input", report);
    });
}

#[test]
fn a_full_disk_leaves_nothing() {
    let fixture = Fixture::new();
    let before = fixture.listing();
    // A limit on file sizes stands in for a full disk: the write fails half-way.
    let output = Command::new("sh")
        .current_dir(fixture.dir.path())
        .args([
            "-c",
            "ulimit -f 4; trap '' XFSZ; exec \"$0\" assemble case.toml --classes 0,1,2 --keep 1 --out small.onnx",
        ])
        .arg(env!("CARGO_BIN_EXE_fratc"))
        .output()
        .expect("sh runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("output/write"), "{stderr}");
    assert_eq!(fixture.listing(), before);
}

#[test]
#[cfg(unix)]
fn an_interrupt_leaves_nothing() {
    interrupted("-INT", true);
}

/// As when the program that started it is ended with it: nobody reads any more what it says.
#[test]
#[cfg(unix)]
fn a_termination_that_nobody_hears_of_ends_it_too() {
    interrupted("-TERM", false);
}

/// Sends `signal` in the middle of a build, whose last words are read if `heard`.
#[cfg(unix)]
fn interrupted(signal: &str, heard: bool) {
    use std::io::{BufRead as _, BufReader};
    let fixture = Fixture::new();
    let temporary = tempfile::tempdir().expect("temporary folder");
    let before = fixture.listing();
    let mut child = fratc()
        .current_dir(fixture.dir.path())
        .env("TMPDIR", temporary.path())
        .args(BUILD.split(' '))
        .stderr(Stdio::piped())
        .spawn()
        .expect("fratc runs");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let verify = lines.by_ref().map_while(Result::ok).find(|l| l == "fratc: verify");
    assert!(verify.is_some(), "the build ended before it verified");
    // In the middle of a build of the emitted crate.
    let compiles = || names(temporary.path()).iter().any(|name| temporary.path().join(name).join("target").exists());
    for _ in 0..6000 {
        if compiles() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(compiles(), "cargo did not start");
    let mut lines = heard.then_some(lines);
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
    let rest: Vec<String> = lines.iter_mut().flatten().map_while(Result::ok).collect();
    let mut status = None;
    for _ in 0..2000 {
        status = child.try_wait().expect("a child");
        if status.is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(status.and_then(|status| status.code()), Some(2), "{rest:?}");
    assert!(!heard || rest.iter().any(|l| l.contains("interrupted")), "{rest:?}");
    assert_eq!(fixture.listing(), before);
    assert_eq!(names(temporary.path()), Vec::<String>::new(), "temporary folders");
    assert_eq!(programs_with(temporary.path()), Vec::<String>::new(), "programs still run");
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("listing");
    entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect()
}

/// The command lines of the programs whose environment names `folder`, where the system tells.
#[cfg(unix)]
fn programs_with(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().expect("UTF-8").as_bytes();
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let mut found = Vec::new();
    for process in processes.filter_map(Result::ok) {
        // A process that has ended by now, or one of another user, cannot be read.
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        if environment.windows(folder.len()).any(|part| part == folder) {
            let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
            found.push(String::from_utf8_lossy(&command).replace('\0', " "));
        }
    }
    found
}

/// Runs `words`, which must work.
fn works(fixture: &Fixture, words: &str) {
    let output = fixture.run(words);
    assert_eq!(output.status.code(), Some(0), "{words}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn one_command_a_stage_gives_the_crate_of_build() {
    let fixture = Fixture::new();
    works(&fixture, "attribute case.toml --out net.frat");
    let of_library = "assemble case.toml --classes 0,1,2 --library net.frat --keep 0.5";
    works(&fixture, &format!("{of_library} --method frat --out small.onnx"));
    let refused = fixture.run(&format!("{of_library} --method taylor --out none.onnx"));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && said.contains("expected --method taylor, found frat"), "{said}");
    works(&fixture, &format!("{of_library} --out small.onnx"));
    works(&fixture, "attribute case.toml --classes 0,1 --links never --out two.frat");
    let refused = fixture.run("assemble case.toml --classes 0,1,2 --library two.frat --keep 0.5 --out none.onnx");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && said.contains("library/class"), "{said}");
    works(&fixture, "quantize case.toml --model small.onnx --classes 0,1,2 --out small.int8");
    let over = fixture.run("plan small.int8 --target qemu-m4 --max-ram 100");
    let said = String::from_utf8_lossy(&over.stderr);
    assert!(over.status.code() == Some(1) && said.contains("plan/limit") && !over.stdout.is_empty(), "{said}");
    fs::create_dir(fixture.path("staged")).expect("made");
    works(&fixture, "emit small.int8 --target qemu-m4 --out staged/out");
    works(&fixture, "verify staged/out --case case.toml --verify-samples 4");
    // Emitted with DSP kernels, it still runs on a core without: by their portable twins.
    assert!(fixture.path("staged/out/src/kernels/dsp").is_dir());
    works(&fixture, "verify staged/out --case case.toml --verify-samples 2 --target qemu-m0");
    works(&fixture, &format!("{BUILD} --library net.frat --keep 0.5 --verify-samples 4"));

    // Everything but what was measured and the words of the command line.
    for part in ["weights", "src"] {
        let files = tree(&fixture.path("out").join(part));
        assert_eq!(files, tree(&fixture.path("staged/out").join(part)), "{part}");
        assert!(!files.is_empty(), "{part}");
    }

    // The command in the README writes the same crate over it.
    let out = tree(&fixture.path("out"));
    let readme = fs::read_to_string(fixture.path("out/README.md")).expect("text");
    let command = readme.lines().find_map(|line| line.strip_prefix("fratc ")).expect("a command");
    assert!(!command.contains('\''), "no quotes to take away: {command}");
    works(&fixture, &format!("{command} --verify-samples 4"));
    assert_eq!(tree(&fixture.path("out")), out, "{command}");

    // One byte of one layer's weights.
    let weights = fixture.path("staged/out/weights");
    let mut tables: Vec<String> = names(&weights).into_iter().filter(|n| n.ends_with(".weights.bin")).collect();
    tables.sort();
    let table = weights.join(&tables[0]);
    let mut bytes = fs::read(&table).expect("read");
    bytes[0] ^= 0x40;
    fs::write(&table, bytes).expect("written");
    let output = fixture.run("verify staged/out --case case.toml --verify-samples 4 --json");
    let counts: serde_json::Value = serde_json::from_slice(&output.stdout).expect("the numbers come with the no");
    assert!(counts["host"]["mismatches"].as_u64() > Some(0), "{counts}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let place = stderr.lines().find_map(|l| l.strip_prefix("  in: host, sample ")).expect("a place");
    let layer = place.split('`').nth(1).expect("a layer's name").replace(['/', '.'], "_");
    assert!(stderr.contains("error[verify/mismatch]") && tables[0].contains(&layer), "{}: {stderr}", tables[0]);
}

/// Every file under `dir`, sorted, with its lines but comments.
fn tree(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for name in names(dir) {
        let path = dir.join(&name);
        if path.is_dir() {
            files.extend(tree(&path).into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else {
            let bytes = fs::read(&path).expect("read");
            let code = |text: &str| {
                text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n").into_bytes()
            };
            files.push((name, String::from_utf8(bytes.clone()).map_or(bytes, |text| code(&text))));
        }
    }
    files.sort();
    files
}

#[test]
fn targets_are_one_versioned_object() {
    let output = fratc().args(["targets", "--json"]).output().expect("fratc runs");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["schema"], fratc::report::SCHEMA);
    assert_eq!(json["targets"].as_array().map(Vec::len), Some(fratc::target::Target::names().count()));
}

#[test]
fn help_names_every_command() {
    let output = fratc().arg("--help").output().expect("fratc runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for command in [
        "build",
        "demo",
        "inspect",
        "attribute",
        "merge",
        "components",
        "assemble",
        "add-class",
        "transfer",
        "quantize",
        "emit",
        "verify",
        "flash",
        "plan",
        "bench",
        "study",
        "targets",
        "completions",
    ] {
        assert!(text.contains(&format!("\n  {command} ")), "{command} is missing:\n{text}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let output = fratc().args(["completions", shell]).output().expect("fratc runs");
        assert!(output.status.success() && output.stdout.len() > 1000);
    }
}
