//! Proof that an emitted crate computes what the program says, on the host and on the emulated device.
//!
//! In: the files of an emitted crate, its [`Program`] and [`Target`], raw samples. The crate is copied outside of
//! any workspace, built there offline and run over the samples. Out: a [`Verification`]: how many samples were
//! compared and how many differ from [`sim`], the first difference down to layer and byte, instructions and stack
//! of one inference from QEMU, and what the crate adds to a firmware's flash and RAM. Guaranteed: a part that was
//! not run is `None` with a reason, never a made-up number; every run has a time limit.
//!
//! - `process`: a program under a time limit
//! - `copy`: the copy and its builds
//! - `lines`: what the example prints
//! - `runs`: host and QEMU
//! - `differ`: the first layer that differs
//! - `symbols`, `footprint`: sizes from ELF files
//! - `firmware`: building firmware in its folder
//! - `regions`: what a firmware takes of each memory
//! - `device`: the same comparison with running firmware, over a serial line

mod copy;
pub mod device;
mod differ;
mod firmware;
mod footprint;
mod lines;
mod process;
mod regions;
mod runs;
mod symbols;

use std::path::Path;
use std::time::Duration;

pub(crate) use copy::Copy;
pub use differ::Mismatch;
pub use firmware::build_firmware;
pub use footprint::{Footprint, LayerFootprint, measure};
pub(crate) use lines::Printed;
pub use process::stop_all;
pub(crate) use process::{Finished, Stopped, run as run_program};
pub use regions::{RegionUse, Segment, region_table, segments};
pub(crate) use runs::{instructions, run_qemu};

use crate::data::{self, Samples};
use crate::diag::{Answer, Diag, Result};
use crate::emit::EmittedFile;
use crate::qir::{InputKind, Program};
use crate::sim;
use crate::target::Target;
use copy::Variant;

/// How much is run, and for how long at most.
#[derive(Debug, Clone)]
pub struct Options {
    /// Samples run in QEMU, the first ones; the host runs all.
    pub qemu_samples: usize,
    /// Whether to run QEMU at all.
    pub qemu: bool,
    /// The program to start as QEMU in place of `qemu-system-arm`.
    pub qemu_program: Option<String>,
    /// Limit of one build.
    pub build_limit: Duration,
    /// Limit of one run, on the host or in QEMU.
    pub run_limit: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            qemu_samples: 64,
            qemu: true,
            qemu_program: None,
            build_limit: Duration::from_mins(10),
            run_limit: Duration::from_mins(15),
        }
    }
}

/// Samples compared on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostRun {
    /// Compared.
    pub samples: usize,
    /// Of which at least one score differs.
    pub mismatches: usize,
}

/// Samples compared in QEMU, and what was measured there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QemuRun {
    /// QEMU's name of the machine.
    pub machine: String,
    /// Compared.
    pub samples: usize,
    /// Of which at least one score differs.
    pub mismatches: usize,
    /// Mean over the samples, exact to about one instruction; see `examples/infer/bare_metal.rs`.
    pub instructions_per_inference: u64,
    /// Most bytes of stack below the call of `infer`.
    pub stack_bytes: u64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// All samples, on this machine.
    pub host: HostRun,
    /// The first samples, on the emulated device.
    pub qemu: Option<QemuRun>,
    /// Why `qemu` is `None`.
    pub no_qemu: Option<String>,
    /// The first sample that differs, on the host if there is one there.
    pub first: Option<Mismatch>,
    /// What the crate adds to a firmware for the target.
    pub footprint: Option<Footprint>,
    /// Why `footprint` is `None`.
    pub no_footprint: Option<String>,
    /// What the linked example takes of each memory; empty if nothing was linked.
    pub regions: Vec<RegionUse>,
}

impl Verification {
    /// `Ok` if nothing differs.
    ///
    /// # Errors
    /// `verify/mismatch`, the answer no (exit code 1): how many samples differ, and where the first one does.
    pub fn check(&self) -> Result<()> {
        let Some(first) = &self.first else { return Ok(()) };
        let qemu = self
            .qemu
            .as_ref()
            .map_or_else(String::new, |q| format!(", {} of {} samples on {}", q.mismatches, q.samples, q.machine));
        let what = format!(
            "the emitted crate differs from the program for {} of {} samples on the host{qemu}",
            self.host.mismatches, self.host.samples
        );
        Diag::no("verify/mismatch", what)
            .at(&first.place)
            .expected(&first.expected, &first.found)
            .help("emit the crate anew: `fratc emit` never leaves such a crate behind, so a file of it was changed")
            .err()
    }
}

/// Verifies the crate of `program` made of `files`.
///
/// # Errors
/// `verify/samples` (none, or not the program's shape), `verify/build` and the other build errors of the host,
/// `verify/run` (the program ended with an error, the answer no), `verify/run-time`, `verify/output`. A missing
/// QEMU or Rust target is no error: see [`Verification::no_qemu`]. Differences are no error either: see
/// [`Verification::check`].
pub fn verify(
    files: &[EmittedFile],
    program: &Program,
    samples: &Samples,
    target: &Target,
    options: &Options,
) -> Result<Verification> {
    check_samples(program, samples)?;
    let raw: Vec<&[u8]> = (0..samples.len()).map(|i| samples.sample(i)).collect();
    let expected = sim::run_many(program, &raw);
    let copy = Copy::new(files, &program.name, options.build_limit)?;

    let executable = copy.build(Variant::Infer, None)?;
    let found = runs::host(&copy, &executable, &raw, options)?;
    let differing = differ::differing(program, &expected, &found)?;
    let host = HostRun { samples: raw.len(), mismatches: differing.len() };
    let mut first = match differing.first() {
        Some(&sample) => Some(differ::on_host(&copy, program, sample, raw[sample], &found[sample], options)?),
        None => None,
    };

    let device = match device_elf(&copy, target) {
        Ok(device) => device,
        Err(error) if error.code == "verify/no-rust-target" => {
            let why = format!("{}; {}", error.what, error.help.unwrap_or_default());
            let (no_qemu, no_footprint) = (Some(why.clone()), Some(why));
            let regions = Vec::new();
            return Ok(Verification { host, qemu: None, no_qemu, first, footprint: None, no_footprint, regions });
        }
        Err(error) => return Err(error),
    };
    let count = raw.len().min(options.qemu_samples);
    let run = match runs::qemu(&copy, &device.with, &raw[..count], target, options)? {
        Ok(run) => run,
        Err(why) => {
            let (footprint, no_qemu, regions) = (Some(device.footprint), Some(why), device.regions);
            return Ok(Verification { host, qemu: None, no_qemu, first, footprint, no_footprint: None, regions });
        }
    };
    let differing = differ::differing(program, &expected[..count], &run.records)?;
    if first.is_none()
        && let Some(&sample) = differing.first()
    {
        let found = &run.records[sample];
        first = Some(differ::in_qemu(&copy, program, sample, raw[sample], found, target, options)?);
    }
    let qemu = Some(QemuRun {
        machine: run.machine,
        samples: count,
        mismatches: differing.len(),
        instructions_per_inference: run.instructions,
        stack_bytes: run.stack,
    });
    let (footprint, regions) = (Some(device.footprint), device.regions);
    Ok(Verification { host, qemu, no_qemu: None, first, footprint, no_footprint: None, regions })
}

/// What the crate `name` made of `files` adds to a firmware for `target`; nothing is run.
///
/// # Errors
/// The build errors of [`verify`]; `verify/no-rust-target` if the target's standard library is not installed.
pub fn footprint(files: &[EmittedFile], name: &str, target: &Target, options: &Options) -> Result<Footprint> {
    let copy = Copy::new(files, name, options.build_limit)?;
    Ok(device_elf(&copy, target)?.footprint)
}

/// Reads an emitted crate from a folder: every file but those that builds leave behind.
///
/// # Errors
/// `verify/not-a-crate` if there is no `Cargo.toml`; `verify/read`.
pub fn read_crate(folder: &Path) -> Result<Vec<EmittedFile>> {
    if !folder.join("Cargo.toml").is_file() {
        return Diag::new("verify/not-a-crate", "this folder holds no emitted crate: there is no Cargo.toml")
            .at(folder.display())
            .help("give the folder that `fratc build --out` or `fratc emit --out` wrote")
            .err();
    }
    let mut files = Vec::new();
    read_folder(folder, "", &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn read_folder(folder: &Path, prefix: &str, files: &mut Vec<EmittedFile>) -> Result<()> {
    let failed = |path: &Path, error: &std::io::Error| {
        Box::new(Diag::new("verify/read", format!("cannot read a part of the crate: {error}")).at(path.display()))
    };
    for entry in std::fs::read_dir(folder).map_err(|error| failed(folder, &error))? {
        let entry = entry.map_err(|error| failed(folder, &error))?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().map_err(|error| failed(&path, &error))?;
        let left_behind = prefix.is_empty() && matches!(&*name, "target" | "Cargo.lock" | ".git");
        if left_behind {
            continue;
        }
        if kind.is_dir() {
            read_folder(&path, &format!("{prefix}{name}/"), files)?;
        } else if kind.is_file() {
            let bytes = std::fs::read(&path).map_err(|error| failed(&path, &error))?;
            files.push(EmittedFile { path: format!("{prefix}{name}"), bytes });
        }
    }
    Ok(())
}

/// The device's executables.
struct Device {
    with: std::path::PathBuf,
    footprint: Footprint,
    regions: Vec<RegionUse>,
}

/// What the crate adds to a firmware for `target`.
pub(crate) fn device_footprint(copy: &Copy, target: &Target) -> Result<Footprint> {
    device_elf(copy, target).map(|device| device.footprint)
}

fn device_elf(copy: &Copy, target: &Target) -> Result<Device> {
    let with = copy.build(Variant::Infer, Some(target.rust_target))?;
    let without = copy.build(Variant::Baseline, Some(target.rust_target))?;
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| {
            Box::new(Diag::new("verify/elf", format!("cannot read what was built: {error}")).at(path.display()))
        })
    };
    let elf = read(&with)?;
    let footprint = measure(&elf, &read(&without)?)?;
    Ok(Device { footprint, regions: region_table(&elf, target)?, with })
}

fn check_samples(program: &Program, samples: &Samples) -> Result<()> {
    let shape = program.tensor(program.input()).shape;
    let (expected, found) = ([shape.h, shape.w, shape.c], samples.shape);
    let kind = match samples.kind {
        data::InputKind::U8 => InputKind::U8,
        data::InputKind::I8 => InputKind::I8,
    };
    if expected != found || kind != program.input_kind {
        return Diag::new("verify/samples", "the samples are not what the program takes")
            .expected(format!("{expected:?} of {:?}", program.input_kind), format!("{found:?} of {kind:?}"))
            .err();
    }
    if samples.is_empty() {
        return Diag::new("verify/samples", "there are no samples to verify with")
            .help("give a case file with test or calibration data")
            .err();
    }
    Ok(())
}

/// A run that ended badly: the answer is no.
fn ended_badly(place: &str, what: impl Into<String>) -> Box<Diag> {
    Box::new(Diag { answer: Answer::No, ..Diag::new("verify/run", what).at(place) })
}
