//! Emitted crates on the host and in QEMU against the simulation, and what is said when they differ.

use std::process::{Command, Stdio};

use fratc::data::{InputKind, Samples};
use fratc::diag::Answer;
use fratc::emit::{self, EmittedFile, Sample, emit};
use fratc::plan::plan_for;
use fratc::qir::{self, Hwc, Program};
use fratc::sim;
use fratc::target::Target;
use fratc::verify::{Options, Verification, read_crate, verify};

use crate::programs::{self, Pattern};

/// Whether QEMU is there; in CI it must be.
pub fn qemu() -> bool {
    let found = Command::new("qemu-system-arm").arg("--version").stdout(Stdio::null()).status().is_ok();
    assert!(found || std::env::var("CI").as_deref() != Ok("true"), "CI needs qemu-system-arm");
    if !found {
        crate::shared::skipped("qemu-system-arm is not installed; this test runs emitted crates in it");
    }
    found
}

/// The crate of `program` for `target`, with one golden sample.
fn emitted(program: &Program, name: &str) -> Vec<EmittedFile> {
    let input = Pattern::new(99).sample(program);
    let samples = vec![Sample { scores: sim::run(program, &input), input }];
    let options = emit::Options { samples, ..emit::Options::default() };
    let target = target(name);
    emit(program, &plan_for(program, &target).expect("plans"), &target, &options).expect("emits")
}

pub fn samples(program: &Program, count: usize) -> Samples {
    let mut pattern = Pattern::new(7);
    let Hwc { h, w, c } = program.tensor(program.input()).shape;
    let kind = match program.input_kind {
        qir::InputKind::U8 => InputKind::U8,
        qir::InputKind::I8 => InputKind::I8,
    };
    let raw = (0..count).flat_map(|_| pattern.sample(program)).collect();
    Samples { shape: [h, w, c], kind, raw, labels: vec![0; count] }
}

fn target(name: &str) -> Target {
    Target::load(name).expect("a shipped target")
}

fn without_qemu() -> Options {
    Options { qemu: false, ..Options::default() }
}

/// Verifies `files` as the crate of `program` for qemu-m4.
fn on_m4(files: &[EmittedFile], program: &Program, options: &Options) -> fratc::diag::Result<Verification> {
    verify(files, program, &samples(program, 5), &target("qemu-m4"), options)
}

#[test]
fn host_and_all_six_cores_give_every_byte_of_the_simulation() {
    if !qemu() {
        return;
    }
    let program = programs::branches();
    let samples = samples(&program, 70);
    for name in ["qemu-m0", "qemu-m3", "qemu-m4", "qemu-m7", "qemu-m33", "qemu-m55"] {
        let options = Options { qemu_samples: 9, ..Options::default() };
        let done = verify(&emitted(&program, name), &program, &samples, &target(name), &options).expect(name);
        done.check().expect(name);
        assert_eq!((done.host.samples, done.host.mismatches), (70, 0), "{name}");
        let run = done.qemu.expect(name);
        assert_eq!((run.samples, run.mismatches), (9, 0), "{name}");
        assert!(run.instructions_per_inference > program.macs(), "{name}: {run:?}");
        assert!((16..16 * 1024).contains(&run.stack_bytes), "{name}: {run:?}");
        let size = done.footprint.expect(name);
        let plan = plan_for(&program, &target(name)).expect("plans");
        let constants = (plan.sizes.weights_bytes as u64, plan.sizes.tables_bytes as u64);
        assert_eq!((size.weights_bytes, size.tables_bytes), constants, "{name}: {size:?}");
        assert_eq!(size.total_bytes, size.weights_bytes + size.tables_bytes + size.code_bytes, "{name}");
        assert!(size.code_bytes > 500 && size.tables_bytes > 0, "{name}: {size:?}");
        let arena = plan.arena_bytes as u64;
        assert!((arena..arena + 16).contains(&size.static_ram_bytes), "{name}: arena {arena}, {size:?}");
    }
}

/// The shapes of MLPerf Tiny's ResNet-8, 12.5 M multiply-accumulates: CMSIS-NN takes 29.9 M instructions, the portable
/// kernels take 78 M.
#[test]
fn resnet8_stays_quick_on_dsp_instructions() {
    if !qemu() {
        return;
    }
    let program = programs::resnet8();
    let target = target("qemu-m4");
    let options = Options { qemu_samples: 1, ..Options::default() };
    let done = verify(&emitted(&program, "qemu-m4"), &program, &samples(&program, 2), &target, &options).expect("runs");
    done.check().expect("no difference");
    let run = done.qemu.expect("ran in QEMU");
    eprintln!("ResNet-8 on qemu-m4: {run:?}, {:?}", done.footprint);
    assert!(run.instructions_per_inference < 14_000_000, "{run:?}");
}

/// Instructions that ResNet-8 may take for each of its 12.5 M multiply-accumulates: 0.30 on the vectors of M55, 2.1 on M3
/// and 4.5 on M0, which has neither multiply-accumulate nor long products.
#[test]
fn resnet8_stays_quick_without_dsp_instructions() {
    if !qemu() {
        return;
    }
    let program = programs::resnet8();
    let macs = program.macs();
    for (name, limit) in [("qemu-m55", macs * 3 / 10), ("qemu-m3", macs * 21 / 10), ("qemu-m0", macs * 9 / 2)] {
        let options = Options { qemu_samples: 1, ..Options::default() };
        let done =
            verify(&emitted(&program, name), &program, &samples(&program, 1), &target(name), &options).expect(name);
        done.check().expect(name);
        let run = done.qemu.expect(name);
        eprintln!("ResNet-8 on {name}: {run:?}, {:?}", done.footprint);
        assert!(run.instructions_per_inference <= limit, "{name}: {run:?}, at most {limit}");
    }
}

#[test]
fn raw_features_and_odd_borders_too_and_twice_the_same() {
    if !qemu() {
        return;
    }
    let border = programs::border();
    on_m4(&emitted(&border, "qemu-m4"), &border, &Options::default()).expect("runs").check().expect("no difference");
    let residual = programs::residual();
    let done = on_m4(&emitted(&residual, "qemu-m4"), &residual, &Options::default()).expect("runs");
    done.check().expect("no difference");
    let program = programs::features();
    let files = emitted(&program, "qemu-m4");
    let first = on_m4(&files, &program, &Options::default()).expect("runs");
    first.check().expect("no difference");
    assert_eq!(first.qemu.as_ref().map(|run| run.samples), Some(5));
    assert_eq!(on_m4(&files, &program, &Options::default()).expect("runs"), first, "runs repeat exactly");
}

#[test]
fn a_changed_weight_is_found_in_its_layer() {
    let program = programs::residual();
    let mut files = emitted(&program, "qemu-m4");
    let table = files
        .iter_mut()
        .filter(|file| file.path.starts_with("weights/") && file.path.ends_with(".weights.bin"))
        .nth(1)
        .expect("the program has two layers with weights");
    table.bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
    let path = table.path.clone();
    let no_qemu = Options { qemu_program: Some("no-such-qemu".into()), ..Options::default() };
    let done = on_m4(&files, &program, &no_qemu).expect("it runs, with wrong scores");
    assert!(done.host.mismatches > 0);
    assert!(done.qemu.is_none() && done.footprint.is_some());
    let why = done.no_qemu.clone().expect("a reason");
    assert!(why.contains("no-such-qemu") && why.contains("apt-get install qemu-system-arm"), "{why}");
    let first = done.first.clone().expect("a difference");
    let (index, name) = first.layer.clone().expect("a layer");
    let file = path.trim_start_matches("weights/").trim_end_matches(".weights.bin");
    assert!(name.replace(['/', '.'], "_").contains(file), "{name} is not the layer of {path}");
    assert_ne!(first.expected, first.found);
    assert_eq!(program.layers[index].name, name);
    let error = done.check().expect_err("the answer is no");
    assert_eq!(error.answer, Answer::No);
    let text = error.to_string();
    assert!(text.contains(&format!("layer {index} `{name}`")) && text.contains("expected"), "{text}");
}

#[test]
fn a_difference_on_the_device_alone_is_found() {
    if !qemu() {
        return;
    }
    let program = programs::plain();
    let mut files = emitted(&program, "qemu-m4");
    let library = files.iter_mut().find(|file| file.path == "src/lib.rs").expect("a library");
    let text = String::from_utf8(library.bytes.clone()).expect("text");
    let end = "layers::run(memory, input, &mut scores, observe);";
    assert!(text.contains(end));
    library.bytes = text.replace(end, &format!("{end} if cfg!(target_arch = \"arm\") {{ scores[0] ^= 1; }}")).into();
    let done = on_m4(&files, &program, &Options::default()).expect("it runs");
    assert_eq!(done.host.mismatches, 0);
    assert_eq!(done.qemu.as_ref().map(|run| run.mismatches), Some(5));
    let first = done.first.clone().expect("a difference");
    assert_eq!((first.sample, first.layer.as_ref()), (0, None));
    assert!(first.place.starts_with("mps2-an386, sample 0, scores"), "{}", first.place);
    assert_eq!(done.check().expect_err("no").answer, Answer::No);
}

#[test]
fn broken_crates_and_wrong_samples_are_named() {
    let program = programs::plain();
    let mut files = emitted(&program, "qemu-m4");
    let few = samples(&program, 2);
    let m4 = target("qemu-m4");
    let mut wrong = few.clone();
    wrong.shape[0] += 1;
    let error = verify(&files, &program, &wrong, &m4, &without_qemu()).expect_err("another shape");
    assert_eq!(error.code, "verify/samples");
    let error = verify(&files, &program, &few.select(&[]), &m4, &without_qemu()).expect_err("nothing to compare");
    assert_eq!(error.code, "verify/samples");
    let error = verify(&files[..1], &program, &few, &m4, &without_qemu()).expect_err("one file is no crate");
    assert!(["verify/not-a-crate", "verify/build"].contains(&error.code), "{error}");
    let library = files.iter_mut().find(|file| file.path == "src/lib.rs").expect("a library");
    library.bytes.extend(b"\nfn broken( {");
    let error = verify(&files, &program, &few, &m4, &without_qemu()).expect_err("no Rust");
    assert_eq!((error.code, error.answer), ("verify/build", Answer::No));
    assert!(error.to_string().contains("src/lib.rs"), "{error}");
    files.push(EmittedFile { path: "../outside".into(), bytes: Vec::new() });
    let error = verify(&files, &program, &few, &m4, &without_qemu()).expect_err("a path that leaves the crate");
    assert_eq!(error.code, "verify/path");
}

#[test]
fn a_folder_reads_back_as_the_files_that_were_written() {
    let files = emitted(&programs::plain(), "qemu-m4");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let error = read_crate(folder.path()).expect_err("empty");
    assert_eq!(error.code, "verify/not-a-crate");
    for file in &files {
        let path = folder.path().join(&file.path);
        std::fs::create_dir_all(path.parent().expect("inside")).expect("writable");
        std::fs::write(path, &file.bytes).expect("writable");
    }
    std::fs::create_dir(folder.path().join("target")).expect("writable");
    std::fs::write(folder.path().join("target/left-behind"), "x").expect("writable");
    assert_eq!(read_crate(folder.path()).expect("a crate"), files);
}
