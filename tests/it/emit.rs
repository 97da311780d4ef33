//! Emitted crates: their text, and what rustc, rustfmt, clippy and their own tests say about them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use fratc::emit::{Accuracy, EmittedFile, Facts, Options, Sample, emit};
use fratc::plan::{code, plan, plan_for};
use fratc::qir::{Add, Hwc, Layer, Op, Program, Quant, Tensor, TensorId, Window};
use fratc::sim;
use fratc::target::Target;
use object::{Object, ObjectSymbol};
use sha2::{Digest, Sha256};

use crate::programs::{self, Pattern};

/// A target for each program, so that every shipped QEMU core is built for.
const TARGETS: [&str; 8] = ["qemu-m0", "qemu-m3", "qemu-m4", "qemu-m7", "qemu-m33", "qemu-m55", "qemu-m0", "qemu-m4"];

fn options(program: &Program) -> Options {
    let mut pattern = Pattern::new(99);
    let samples = (0..3)
        .map(|_| {
            let input = pattern.sample(program);
            Sample { scores: sim::run(program, &input), input }
        })
        .collect();
    Options { samples, ..Options::default() }
}

fn emitted(program: &Program, target: &str, options: &Options) -> Vec<EmittedFile> {
    let target = Target::load(target).expect("a shipped target");
    let plan = plan_for(program, &target).expect("plans");
    emit(program, &plan, &target, options).expect("emits")
}

fn crates() -> Vec<(Program, Vec<EmittedFile>)> {
    programs::all()
        .into_iter()
        .zip(TARGETS)
        .map(|(program, target)| {
            let files = emitted(&program, target, &options(&program));
            (program, files)
        })
        .collect()
}

fn write(dir: &Path, files: &[EmittedFile]) {
    for file in files {
        let path = dir.join(&file.path);
        std::fs::create_dir_all(path.parent().expect("inside the folder")).expect("folder");
        std::fs::write(path, &file.bytes).expect("file");
    }
}

/// Every text once: kernels and start-up code are the same in all crates.
#[test]
fn text_of_every_file() {
    let mut seen = BTreeSet::new();
    for (program, files) in crates() {
        let mut list = String::new();
        for file in &files {
            let hash: [u8; 8] = Sha256::digest(&file.bytes)[..8].try_into().expect("8 bytes");
            let hash = format!("{:016x}", u64::from_be_bytes(hash));
            writeln!(list, "{:7} {hash} {}", file.bytes.len(), file.path).expect("memory");
            if !has_extension(&file.path, "bin") && seen.insert(file.bytes.clone()) {
                let text = std::str::from_utf8(&file.bytes).expect("text");
                snapshot(&format!("{}/{}", program.name, file.path), text);
            }
        }
        snapshot(&format!("{}/files", program.name), &list);
    }
}

/// Depthwise convolutions on a core with vectors and on one without DSP instructions.
#[test]
fn schedule_of_depthwise_layers() {
    let program = programs::separable();
    for target in ["qemu-m55", "qemu-m0"] {
        let files = emitted(&program, target, &options(&program));
        let layers = files.iter().find(|file| file.path == "src/layers.rs").expect("a schedule");
        let text = std::str::from_utf8(&layers.bytes).expect("text");
        snapshot(&format!("{}/{target}/src/layers.rs", program.name), text);
    }
}

fn snapshot(name: &str, text: &str) {
    let name = format!("emit__{}", name.replace(['/', '.'], "_").replace("__cargo", "_cargo"));
    insta::with_settings!({snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!(name, text);
    });
}

#[test]
fn emitted_twice_is_equal() {
    for ((_, once), (_, twice)) in crates().iter().zip(&crates()) {
        assert_eq!(once, twice);
    }
}

#[test]
fn known_numbers_reach_the_readme_and_unknown_ones_do_not() {
    let program = programs::plain();
    let accuracy = Accuracy { samples: 2000, source_masked: None, int8: 0.9125 };
    let facts = Facts { stack_bytes: Some(312), accuracy: Some(accuracy), ..Facts::default() };
    let files = emitted(&program, "qemu-m4", &Options { facts, workspace: true, ..options(&program) });
    let text = |path: &str| {
        let file = files.iter().find(|file| file.path == path).expect("a file");
        String::from_utf8(file.bytes.clone()).expect("text")
    };
    let rows: Vec<String> = text("README.md").lines().filter(|l| l.starts_with("| ")).map(str::to_string).collect();
    insta::assert_snapshot!(rows.join("\n"), @"
    | what | how much |
    | flash: weights | 8592 bytes |
    | flash: tables | 888 bytes |
    | RAM: arena | 1996 bytes |
    | RAM: input | 432 bytes |
    | RAM: stack | 312 bytes |
    | multiply-accumulates | 44432 |
    | accuracy | 91.25 % of 2000 test samples |
    ");
    assert!(text("Cargo.toml").ends_with("[workspace]\n"));
}

#[test]
fn wrong_arguments_are_named() {
    let program = programs::plain();
    let target = Target::load("qemu-m4").expect("a shipped target");
    let good = plan(&program).expect("plans");
    let code = |program: &Program, options: &Options| {
        emit(program, &good, &target, options).map(|_| ()).expect_err("an error").code
    };
    assert_eq!(code(&Program { name: "infer".into(), ..program.clone() }, &options(&program)), "emit/name");
    assert_eq!(code(&Program { classes: vec![], ..program.clone() }, &options(&program)), "qir/class-count");
    assert_eq!(code(&program, &Options::default()), "emit/sample");
    let mut short = options(&program);
    short.samples[1].input.pop();
    assert_eq!(code(&program, &short), "emit/sample");
    assert_eq!(code(&programs::residual(), &options(&program)), "plan/invalid");
}

/// Runs `cargo` (or another program) in `dir`, free of what the outer cargo set; its output if it fails or warns.
fn complaint(dir: &Path, shared_target: &Path, program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("CARGO_PROFILE") || name_text.starts_with("CARGO_BUILD") || name_text == "RUSTFLAGS" {
            command.env_remove(&name);
        }
    }
    let run = command.args(arguments).current_dir(dir).env("CARGO_TARGET_DIR", shared_target).output().expect(program);
    let text = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    let quiet = run.status.success() && !text.contains("warning");
    (!quiet).then(|| format!("{} in {}: {arguments:?}\n{text}", program, dir.display()))
}

/// A symbol of the panic machinery in the linked program, if there is one. The example itself has none to offer.
fn panics(elf: &Path) -> Option<String> {
    let bytes = std::fs::read(elf).ok()?;
    let file = object::File::parse(&*bytes).expect("an ELF file");
    let mut names: Vec<&str> = file.symbols().filter_map(|symbol| symbol.name().ok()).collect();
    assert!(names.len() > 5, "the symbols are there to be looked at");
    names.retain(|name| name.contains("panic"));
    names.first().map(ToString::to_string)
}

fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|e| e == extension)
}

fn rust_files(files: &[EmittedFile]) -> Vec<&str> {
    files.iter().map(|file| file.path.as_str()).filter(|path| has_extension(path, "rs")).collect()
}

fn installed(what: &str, arguments: &[&str]) -> BTreeSet<String> {
    let run = Command::new(what).args(arguments).output();
    let text = run.map(|run| String::from_utf8_lossy(&run.stdout).into_owned()).unwrap_or_default();
    let lines: BTreeSet<String> = text.lines().map(str::to_string).collect();
    if lines.is_empty() {
        crate::shared::skipped(&format!("`{what} {}` says nothing", arguments.join(" ")));
    }
    lines
}

/// Names and classes that no framework would spare us.
fn hostile() -> Program {
    let mut program = programs::residual();
    program.name = "hostile".into();
    for (layer, name) in program.layers.iter_mut().zip([
        "add",
        "Add",
        "StatefulPartitionedCall/model_1/functional/block_13_expand_relu/Relu6;model_1/block_13_expand/Conv2D",
        "größe `x` | \"y\"\n//",
        "match",
        "y",
        "1x1",
        "scores",
    ]) {
        layer.name = name.into();
    }
    program.classes =
        vec!["a \"quoted\" class\\".into(), "zwölf\n| boxes".into(), "{crate} \u{2067}\u{639}\u{2069}".into()];
    program.provenance.options = vec!["--classes".into(), "it's `odd`\n".into()];
    program
}

/// A gate that is called as what it reads is where it is called.
fn gate_called_g() -> Program {
    let mut program = Program { name: "gate-called-g".into(), ..programs::gated() };
    let gate = program.layers.iter_mut().find(|layer| matches!(layer.op, Op::Gate(_)));
    gate.expect("a gate").name = "g".into();
    program
}

/// As many classes as fill several lines.
fn many_classes() -> Program {
    let mut program = programs::plain();
    program.name = "many".into();
    let Op::Dense(dense) = &mut program.layers.last_mut().expect("layers").op else { unreachable!("ends in dense") };
    let inputs = dense.weights.len() / dense.bias.len();
    dense.weights = Pattern::new(3).i8s(inputs * 37, -60, 60);
    dense.bias = vec![7; 37];
    dense.requant.multipliers = vec![dense.requant.multipliers[0]; 37];
    program.tensors[program.output.index()].shape.c = 37;
    program.classes = (0..37).map(|i| format!("c{}", i * i * i)).collect();
    program
}

/// A program of `i8` features from `(operation, inputs, channels)`, all of one scale.
fn features(name: &str, layers: Vec<(Op, Vec<u32>, usize)>) -> Program {
    let mut program = programs::features();
    program.name = name.into();
    let tensor = |i: usize, c: usize| Tensor {
        name: format!("t{i}"),
        shape: Hwc { h: 1, w: 1, c },
        quant: Quant { scale: 1.0, zero_point: 0 },
    };
    program.tensors = vec![tensor(0, 6)];
    program.layers.clear();
    for (op, inputs, channels) in layers {
        let output = TensorId(program.tensors.len() as u32);
        program.tensors.push(tensor(output.index(), channels));
        let inputs = inputs.into_iter().map(TensorId).collect();
        program.layers.push(Layer { name: format!("layer {}", output.index()), op, inputs, output });
        program.output = output;
        program.classes = (0..channels).map(|class| format!("class {class}")).collect();
    }
    program
}

/// Layers in places where networks seldom have them: no arena at all; the input beside tensors of the arena, the
/// same tensor twice, tables in place and into the scores, scores that are read again.
fn odd() -> Vec<Program> {
    let add = || Op::Add(Add { factors: [3, 5], constant: 4, shift: 3, zero_point: 0, min: -128, max: 127 });
    let table = || Op::Lookup((0..=255_u8).map(|q| q.wrapping_mul(7).cast_signed()).collect());
    let pool = || Op::MaxPool(Window { kernel: [1, 1], stride: [1, 1], dilation: [1, 1], pad: [0, 0] });
    vec![
        features("no-arena", vec![(table(), vec![0], 6)]),
        features(
            "odd",
            vec![
                (table(), vec![0], 6),
                (add(), vec![0, 1], 6),
                (Op::Concat, vec![0, 2, 1, 2], 24),
                (table(), vec![3], 24),
                (Op::Concat, vec![4, 4], 48),
                (add(), vec![5, 5], 48),
                (pool(), vec![6], 48),
                (add(), vec![6, 7], 48),
                (Op::Concat, vec![8, 0], 54),
            ],
        ),
        features("sum-of-input", vec![(table(), vec![0], 6), (table(), vec![1], 6), (add(), vec![2, 0], 6)]),
        features(
            "long-concat",
            vec![(table(), vec![0], 6), (pool(), vec![1], 6), (Op::Concat, vec![1, 2, 0, 1, 2, 0, 1, 2, 1, 2], 60)],
        ),
    ]
}

/// A table beyond rustc's lint against endless constant evaluation.
fn heavy() -> Program {
    let mut program = programs::plain();
    program.name = "heavy".into();
    let count = program.layers.len();
    let Op::Dense(dense) = &mut program.layers[count - 2].op else { unreachable!("two dense layers") };
    let outputs = 3_000_000 / (dense.weights.len() / dense.bias.len());
    let inputs = dense.weights.len() / dense.bias.len();
    dense.weights = Pattern::new(4).i8s(inputs * outputs, -60, 60);
    dense.bias = vec![7; outputs];
    dense.requant.multipliers = vec![dense.requant.multipliers[0]; outputs];
    let hidden = program.layers[count - 2].output;
    program.tensors[hidden.index()].shape.c = outputs;
    let Op::Dense(dense) = &mut program.layers[count - 1].op else { unreachable!("two dense layers") };
    dense.weights = Pattern::new(5).i8s(outputs * 4, -60, 60);
    program
}

#[test]
fn crates_are_formatted_and_free_of_warnings_and_pass_their_tests() {
    let temp = tempfile::tempdir().expect("temporary folder");
    let build = temp.path().join("build");
    let mut all = crates();
    for program in [hostile(), gate_called_g(), many_classes()].into_iter().chain(odd()) {
        let files = emitted(&program, "qemu-m4", &options(&program));
        all.push((program, files));
    }
    // Kernels that name the features of two cores.
    for target in ["qemu-m0", "qemu-m3"] {
        let program = Program { name: format!("separable-{target}"), ..programs::separable() };
        let files = emitted(&program, target, &options(&program));
        all.push((program, files));
    }
    let clippy = !installed("cargo", &["clippy", "--version"]).is_empty();
    let targets = installed("rustup", &["target", "list", "--installed"]);
    let mut complaints = Vec::new();
    for (index, (program, files)) in all.iter().enumerate() {
        let dir = temp.path().join(&program.name);
        write(&dir, files);
        let mut found = Vec::new();
        let mut check = |what: &str, arguments: &[&str]| found.extend(complaint(&dir, &build, what, arguments));
        check("rustfmt", &[&["--check", "--edition", "2021"], &rust_files(files)[..]].concat());
        check("cargo", &["test", "--offline"]);
        if clippy {
            check("cargo", &["clippy", "--offline", "--all-targets", "--", "-D", "warnings"]);
        }
        // The last ones are about their text; one more core would say nothing new.
        let Some(own) = TARGETS.get(index) else {
            complaints.extend(found);
            continue;
        };
        let own = Target::load(own).expect("a shipped target");
        for triple in ["thumbv6m-none-eabi", "thumbv7m-none-eabi", "thumbv7em-none-eabihf", "thumbv8m.main-none-eabihf"]
        {
            if !targets.contains(triple) {
                crate::shared::skipped(&format!("the Rust target {triple} is not installed"));
                continue;
            }
            let own = own.rust_target.triple() == triple;
            // Other cores may lack the DSP instructions.
            let what: &[&str] = if own { &["--example", "infer"] } else { &["--lib", "--no-default-features"] };
            check("cargo", &[&["build", "--release", "--offline", "--target", triple], what].concat());
        }
        complaints.extend(found);
        let elf = build.join(own.rust_target.triple()).join("release/examples/infer");
        complaints.extend(panics(&elf).map(|symbol| format!("{}: `{symbol}` is linked", program.name)));
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn a_table_of_three_million_values_compiles() {
    let temp = tempfile::tempdir().expect("temporary folder");
    let program = heavy();
    write(temp.path(), &emitted(&program, "qemu-m4", &options(&program)));
    let complaint = complaint(temp.path(), &temp.path().join("build"), "cargo", &["build", "--offline"]);
    assert_eq!(complaint, None);
}

/// The plan counts what is in the files, to the byte.
#[test]
fn planned_sizes_are_the_files_sizes() {
    for ((program, files), target) in crates().into_iter().zip(TARGETS) {
        let plan = plan_for(&program, &Target::load(target).expect("a shipped target")).expect("plans");
        let bytes = |wanted: bool| -> usize {
            let tables = files.iter().filter(|f| f.path.starts_with("weights/"));
            tables.filter(|f| f.path.ends_with(".weights.bin") == wanted).map(|f| f.bytes.len()).sum()
        };
        // A single multiplier is written in the text.
        let inline: usize = program.layers.iter().map(|layer| usize::from(single_multiplier(&layer.op)) * 4).sum();
        let of_step = |step: &fratc::plan::Step| code::struct_bytes(&program.layers[step.layer], step.kernel);
        let structs: usize = plan.steps.iter().map(of_step).sum();
        let found = (bytes(true), bytes(false) + inline + structs);
        assert_eq!(found, (plan.sizes.weights_bytes, plan.sizes.tables_bytes), "{}", program.name);
    }
}

fn single_multiplier(op: &Op) -> bool {
    match op {
        Op::Conv(conv) | Op::Depthwise(conv) => conv.requant.multipliers.len() == 1,
        Op::Dense(dense) => dense.requant.multipliers.len() == 1,
        Op::AvgPool(pool) => pool.requant.multipliers.len() == 1,
        Op::Grouped(grouped) => grouped.conv.requant.multipliers.len() == 1,
        Op::Gate(gate) => gate.requant.multipliers.len() == 1,
        Op::Add(_) | Op::MaxPool(_) | Op::Concat | Op::Lookup(_) | Op::Flatten | Op::Adapt(_) => false,
    }
}
