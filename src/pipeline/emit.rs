//! `fratc emit`: the crate of an int8 program, not verified.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::data::{InputContract, InputKind, Samples};
use crate::diag::Result;
use crate::emit::{self, EmittedFile};
use crate::output;
use crate::pipeline::simplify::simplify;
use crate::pipeline::{FirmwareStyle, Progress, memory};
use crate::qir::{self, Program};
use crate::report::{self, SCHEMA};
use crate::target::Target;
use crate::{plan, sim};

/// Where the crate's folder keeps the int8 program that it was made from.
pub const PROGRAM_FILE: &str = "fratc/program.int8";

/// What the user wants.
#[derive(Debug, Clone)]
pub struct EmitOptions {
    /// Board.
    pub target: String,
    /// Folder of the crate.
    pub out: PathBuf,
    /// Remove what changes no score from the program.
    pub simplify: bool,
    /// Write firmware beside the crate, in this style.
    pub firmware: Option<FirmwareStyle>,
    /// Kernels.
    pub plan: plan::Options,
}

/// What `emit --json` prints, and what the crate's folder keeps.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Layout version.
    pub schema: u32,
    /// The folder written.
    pub path: String,
    /// Board.
    pub target: String,
    /// Files written.
    pub files: usize,
    /// Bytes of the caller's `Arena`.
    pub arena_bytes: usize,
    /// Bytes of int8 weights.
    pub weights_bytes: usize,
    /// Bytes of biases, multipliers and other tables.
    pub tables_bytes: usize,
    /// What was removed from the program; `null` if nothing was tried.
    pub simplified: Option<report::Simplified>,
}

/// Writes the crate of the program file at `path`.
pub fn emit(path: &Path, options: &EmitOptions, progress: &dyn Progress) -> Result<Summary> {
    output::check_folder(&options.out)?;
    if options.firmware.is_some() {
        output::check_folder(&super::firmware::folder(&options.out)?)?;
    }
    let target = Target::load(&options.target)?;
    progress.stage("emit");
    let mut program = qir::load(path)?;
    program.name = super::quantize::crate_name(&options.out)?;
    let (program, simplified) = simplify(program, &target, options.simplify)?;
    let plan = plan::plan_as(&program, &target, &options.plan)?;
    let (layers, _) = memory::predicted(&program, &plan, &target);
    memory::check(&target, memory::needs(&program, &plan, &target, None, None), &layers, || None)?;
    let inputs = random_inputs(&program, GOLDEN);
    let options_emit = emit::Options { samples: golden(&program, &inputs), ..emit::Options::default() };
    let files = emit::emit(&program, &plan, &target, &options_emit)?;
    let mut files: Vec<(String, Vec<u8>)> =
        files.into_iter().map(|EmittedFile { path, bytes }| (path, bytes)).collect();
    let mut summary = Summary {
        schema: SCHEMA,
        path: program.name.clone(),
        target: target.name.clone(),
        // And the report, the program and the list of hashes.
        files: files.len() + 3,
        arena_bytes: plan.arena_bytes,
        weights_bytes: plan.sizes.weights_bytes,
        tables_bytes: plan.sizes.tables_bytes,
        simplified,
    };
    let json = serde_json::to_vec_pretty(&summary)
        .map_err(|e| Box::new(crate::diag::Diag::new("emit/report", format!("cannot write the report: {e}"))))?;
    files.push((output::REPORT.into(), json));
    files.push((PROGRAM_FILE.into(), qir::to_bytes(&program)?));
    progress.stage("write");
    output::write_folder(&options.out, &files)?;
    if let Some(style) = options.firmware
        && let Some(golden) = options_emit.samples.first()
    {
        super::firmware::write(&program, &target, golden, &options.out, style)?;
    }
    summary.path = options.out.display().to_string();
    Ok(summary)
}

/// Random inputs of a program's shape and kind.
pub fn random_inputs(program: &Program, n: usize) -> Samples {
    let shape = program.tensor(program.input()).shape;
    let kind = match program.input_kind {
        qir::InputKind::U8 => InputKind::U8,
        qir::InputKind::I8 => InputKind::I8,
    };
    Samples::random(&InputContract::new(kind, [shape.h, shape.w, shape.c], 1.0), n, 0)
}

/// Golden samples at most: the crate carries their inputs for its own tests.
const GOLDEN: usize = 4;

/// The first inputs of different labels with the simulation's scores.
pub fn golden(program: &Program, inputs: &Samples) -> Vec<emit::Sample> {
    let mut labels = Vec::new();
    let mut chosen = Vec::new();
    for i in 0..inputs.len() {
        let label = inputs.labels.get(i).copied();
        // Random inputs have no labels that mean anything; then the first ones will do.
        if chosen.len() < GOLDEN && (label.is_none() || !labels.contains(&label)) {
            labels.push(label);
            let input = inputs.sample(i).to_vec();
            chosen.push(emit::Sample { scores: sim::run(program, &input), input });
        }
    }
    chosen
}

/// The measured figures that go into the crate's README.
pub fn facts(report: &report::Build, command: Option<String>) -> emit::Facts {
    emit::Facts {
        code_bytes: report.flash.as_ref().map(|f| f.code_bytes),
        flash_bytes: report.flash.as_ref().map(|f| f.total_bytes),
        stack_bytes: report.ram.stack_bytes,
        instructions: report.verify.qemu.as_ref().and_then(|q| q.instructions_per_inference),
        source_macs: Some(report.model.macs),
        accuracy: report.accuracy.as_ref().map(|a| emit::Accuracy {
            samples: a.samples,
            int8: a.int8,
            source_masked: Some(a.source_masked),
        }),
        detection: report.reject.as_ref().map(|r| emit::OperatingPoint {
            wanted: r.wanted_samples,
            recall: r.recall,
            right: r.right,
            others: r.other_samples,
            false_accepts: r.false_accepts,
        }),
        command,
    }
}
