//! `fratc build`: everything up to a verified crate.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::data::Samples;
use crate::diag::{Diag, Result};
use crate::emit::{self, EmittedFile};
use crate::output;
use crate::pipeline::command::{command, words};
use crate::pipeline::emit::{PROGRAM_FILE, facts, golden};
use crate::pipeline::simplify::simplify;
use crate::pipeline::{FirmwareStyle, From, HeadScale, Progress, RejectOptions, RouteOptions, Source};
use crate::pipeline::{accuracy, calibration, finetune, joint, memory, quantize, reject, route, score};
use crate::plan::{self, Plan};
use crate::qir::{self, Program};
use crate::report;
use crate::target::{Target, check_fit};
use crate::verify;

/// Random inputs that stand in for test samples where a case has none.
const RANDOM_INPUTS: usize = 64;

/// Test samples to run in QEMU by default: enough to meet every class, seconds even for a slow network.
const QEMU_SAMPLES: usize = 64;

/// What the user wants; what is `None` the case file decides, else the default.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// Classes and size.
    pub route: RouteOptions,
    /// Board; the case's if not given.
    pub target: Option<String>,
    /// Folder of the crate; the case's if not given.
    pub out: Option<PathBuf>,
    /// Test samples to run in QEMU; the case's, else 64, if not given.
    pub qemu_samples: Option<usize>,
    /// Calibrate on this many random inputs.
    pub random_calibration: Option<usize>,
    /// Remove what changes no score from the int8 program.
    pub simplify: bool,
    /// Answer none of the classes where that is the answer.
    pub reject: Option<RejectOptions>,
    /// Write firmware beside the crate, in this style.
    pub firmware: Option<FirmwareStyle>,
    /// Kernels.
    pub plan: plan::Options,
}

/// [`BuildOptions`] with the case file's options and the defaults filled in.
pub(super) struct Settings {
    out: PathBuf,
    target: Target,
    pub(super) route: route::Wanted,
    qemu_samples: usize,
    pub(super) random_calibration: Option<usize>,
    pub(super) simplify: bool,
    pub(super) reject: Option<RejectOptions>,
}

impl Settings {
    fn resolve(source: &Source, options: &BuildOptions) -> Result<Self> {
        let case = &source.case.options;
        let Some(out) = options.out.clone().or_else(|| case.out.clone()) else {
            return Diag::new("build/no-out", "no output folder is given")
                .help("add --out DIR, or `out` to [build] in the case file")
                .err();
        };
        output::check_folder(&out)?;
        let Some(target) = options.target.as_ref().or(source.case.target.as_ref()) else {
            return Diag::new("build/no-target", "no target is given")
                .help("add --target BOARD (`fratc targets` lists them), or `target` to the case file")
                .err();
        };
        let target = Target::load(target)?;
        Ok(Self {
            out,
            route: route::Wanted {
                target: Some(target.clone()),
                optimize: options.plan.optimize,
                ..options.route.resolve(source)?
            },
            target,
            qemu_samples: options.qemu_samples.or(case.verify_samples).unwrap_or(QEMU_SAMPLES),
            random_calibration: options.random_calibration.or(case.random_calibration),
            simplify: options.simplify,
            reject: options.reject.clone(),
        })
    }
}

/// A report, and the reason why the answer is no, if it is. Then no crate was written.
#[derive(Debug)]
pub struct Outcome {
    /// Everything measured; `None` if the program did not get as far as being built.
    pub report: report::Build,
    /// Why the answer is no.
    pub refused: Option<Box<Diag>>,
}

/// Builds the crate that `options` ask for from the case file at `case`.
pub fn build(case: &Path, options: &BuildOptions, progress: &dyn Progress) -> Result<Outcome> {
    if let Some(out) = &options.out {
        // Before anything slow: the user should not wait to hear that the folder is taken.
        output::check_folder(out)?;
        if options.firmware.is_some() {
            output::check_folder(&super::firmware::folder(out)?)?;
        }
    }
    progress.stage("load");
    let source = Source { device: options.route.device, ..Source::open(case)? };
    build_by_command(&source, options, true, progress)
}

/// Builds the crate of several components, each from its own source.
pub fn build_from(from: &[From], scale: HeadScale, options: &BuildOptions, progress: &dyn Progress) -> Result<Outcome> {
    if let Some(out) = &options.out {
        output::check_folder(out)?;
    }
    progress.stage("load");
    let source = Source { device: options.route.device, ..joint::open(from, scale, options.reject.is_some())? };
    build_by_command(&source, options, true, progress)
}

/// The same from a source in memory.
pub fn build_source(source: &Source, options: &BuildOptions, progress: &dyn Progress) -> Result<Outcome> {
    build_by_command(source, options, false, progress)
}

/// The same; whether `fratc build` does it, so that the crate can say how it is written anew.
fn build_by_command(
    source: &Source,
    options: &BuildOptions,
    by_command: bool,
    progress: &dyn Progress,
) -> Result<Outcome> {
    let mut settings = Settings::resolve(source, options)?;
    let (classes, asked) = classes(source, options)?;
    settings.route.rejecting = settings.reject.is_some().then_some(asked);
    let Settings { out, target, route: wanted, .. } = &settings;
    let name = quantize::crate_name(out)?;
    emit::check_name(&name).map_err(|error| Box::new(error.at(out.display())))?;
    let folder = settings.reject.as_ref().and_then(|r| r.background.as_deref());
    let background = folder.map(|folder| reject::background(source, folder)).transpose()?;
    let mut notes = Vec::new();
    if settings.random_calibration.is_some() {
        notes.push("calibrated on random inputs: ranges are guesses, check the accuracy on real data".to_string());
    }

    let mut cut = route::cut(source, &classes, wanted, progress)?;
    let tuned = finetune::finetune(source, &classes, &mut cut, &wanted.finetune, progress)?;
    progress.stage("quantize");
    let samples = quantize::samples(source, &classes, settings.random_calibration, wanted.seed)?;
    let words = words(source, &classes[..asked], &cut, &settings);
    let program = quantize::lower(source, &cut.graph, &classes, &samples, &name, words)?;
    let (mut program, simplified) = simplify(program, target, settings.simplify)?;
    if let Some(options) = &settings.reject {
        let all: Vec<usize> = (0..samples.len()).collect();
        let truth = score::wanted(&samples, &all, &classes);
        let known = background.as_ref().map(|[known, _]| known);
        reject::calibrate(&mut program, asked, &samples, &truth, known, options.point);
        program.verify()?;
    }

    progress.stage("plan");
    let plan = plan::plan_as(&program, target, &wanted.plan())?;
    let (layers, _) = memory::predicted(&program, &plan, target);
    memory::check(target, memory::needs(&program, &plan, target, None, None), &layers, || {
        memory::advice(source, &classes, wanted, target, progress)
    })?;

    progress.stage("score");
    let inputs = inputs(source, &classes, wanted.seed);
    let (accuracy, joint) = accuracy::accuracy(source, &classes, asked, &cut, &program, &inputs)?.unzip();
    let rejected = match &settings.reject {
        Some(options) if source.test.is_some() => {
            let unknown = background.as_ref().map(|[_, unknown]| unknown);
            reject::report(source, &program, &classes, &inputs, unknown, options.point)?
        }
        _ => None,
    };

    progress.stage("emit");
    let files = emit::emit(
        &program,
        &plan,
        target,
        &emit::Options { samples: golden(&program, &inputs), ..emit::Options::default() },
    )?;
    progress.stage("verify");
    let wanted_runs = verify::Options { qemu_samples: settings.qemu_samples, ..verify::Options::default() };
    let verification = verify::verify(&files, &program, &inputs, target, &wanted_runs)?;
    notes.extend(verification.no_qemu.iter().chain(&verification.no_footprint).cloned());
    let flash = verification.footprint.as_ref().map(|f| report::Flash {
        weights_bytes: f.weights_bytes,
        tables_bytes: f.tables_bytes,
        code_bytes: f.code_bytes,
        total_bytes: f.total_bytes,
    });
    let stack = verification.qemu.as_ref().map(|q| q.stack_bytes);
    let flash_bytes = flash.as_ref().map(|f| f.total_bytes);
    let fits = check_fit(target, memory::needs(&program, &plan, target, flash_bytes, stack));
    let linked = verification.footprint.as_ref().map(|footprint| memory::linked(&program, &plan, footprint));
    let (layers, shared_code_bytes) = linked.unzip();
    let regions: Vec<report::Region> = verification
        .regions
        .iter()
        .map(|region| report::Region::new(&region.name, region.size_bytes, region.used_bytes))
        .collect();
    let report = report::Build {
        schema: report::SCHEMA,
        fratc_version: env!("CARGO_PKG_VERSION"),
        model: report::Model {
            path: source.model_path.clone(),
            sha256: source.sha256.clone(),
            params: source.graph.params(),
            macs: source.graph.macs(),
        },
        classes: program.classes.clone(),
        method: cut.method.clone(),
        target: target.name.clone(),
        route: cut.route,
        finetune: tuned,
        accuracy,
        joint: joint.flatten(),
        reject: rejected,
        assembled: report::Assembled { params: cut.graph.params(), macs: cut.graph.macs(), channels: cut.channels },
        simplified,
        flash,
        ram: memory::ram(&plan, stack, regions.iter().find(|region| region.name == target.ram[0].name)),
        layers: layers.unwrap_or_default(),
        shared_code_bytes,
        regions,
        verify: report::Verify {
            host: Some(report::HostRun {
                samples: verification.host.samples,
                mismatches: verification.host.mismatches,
            }),
            qemu: verification.qemu.as_ref().map(|q| report::QemuRun {
                machine: q.machine.clone(),
                samples: q.samples,
                mismatches: q.mismatches,
                instructions_per_inference: Some(q.instructions_per_inference),
            }),
        },
        notes,
        seconds: BTreeMap::new(),
    };
    let refused = verification
        .check()
        .err()
        .or_else(|| fits.err())
        .or_else(|| memory::accuracy_gate(&report, wanted.max_drop).err())
        .or_else(|| memory::limits_gate(&report, &wanted.limits).err());
    if refused.is_none() {
        progress.stage("write");
        let command = by_command.then(|| command(source, &program.provenance.options, &target.name, &program.name));
        let emitted = emit::Options {
            facts: facts(&report, command),
            samples: golden(&program, &inputs),
            ..emit::Options::default()
        };
        write(&report, &program, &plan, target, &emitted, out)?;
        if let Some(style) = options.firmware
            && let Some(golden) = golden(&program, &inputs).first()
        {
            super::firmware::write(&program, target, golden, out, style)?;
        }
    }
    Ok(Outcome { report, refused })
}

/// The program's classes, and how many of them were asked for: with `--reject` the source's others come after them.
fn classes(source: &Source, options: &BuildOptions) -> Result<(Vec<usize>, usize)> {
    if options.reject.is_none() {
        let classes = source.classes(&options.route.classes)?;
        let asked = classes.len();
        return Ok((classes, asked));
    }
    if !source.parts.is_empty() {
        let all: Vec<usize> = (0..source.graph.classes()).collect();
        let asked = joint::asked(source);
        reject::check_others(all.len() - asked)?;
        return Ok((all, asked));
    }
    let wanted = source.any_classes(&options.route.classes)?;
    Ok((reject::in_order(source, &wanted)?, wanted.len()))
}

/// Inputs to verify on: the wanted classes' test samples, or random ones.
fn inputs(source: &Source, classes: &[usize], seed: u64) -> Samples {
    match &source.test {
        Some(test) => test.select(&calibration::of_classes(test, classes)),
        None => Samples::random(&source.case.input, RANDOM_INPUTS, seed),
    }
}

/// Emits again, now with the measured figures in the README, and writes the folder whole.
fn write(
    report: &report::Build,
    program: &Program,
    plan: &Plan,
    target: &Target,
    options: &emit::Options,
    out: &Path,
) -> Result<()> {
    let mut files: Vec<(String, Vec<u8>)> = emit::emit(program, plan, target, options)?
        .into_iter()
        .map(|EmittedFile { path, bytes }| (path, bytes))
        .collect();
    let mut kept = report.clone();
    kept.model.path = program.provenance.models.first().map_or_else(String::new, |(name, _)| name.clone());
    let json = serde_json::to_vec_pretty(&kept)
        .map_err(|e| Box::new(Diag::new("build/report", format!("cannot write the report: {e}"))))?;
    files.push((output::REPORT.into(), json));
    files.push((PROGRAM_FILE.into(), qir::to_bytes(program)?));
    output::write_folder(out, &files)
}
