//! `fratc plan`: order, memory and kernels of a network on a board, and whether it fits, without compiling anything.

use std::path::Path;

use crate::diag::{Diag, Result};
use crate::pipeline::bench::words;
use crate::pipeline::memory;
use crate::pipeline::subject::Subject;
use crate::pipeline::{Progress, SubjectOptions};
use crate::plan::{self, Home, Plan, Step, cost};
use crate::qir::{Hwc, Program, TensorId};
use crate::report::{PlanCandidate, PlanLayer, PlanReport, PlanStrip, PlanTensor, SCHEMA};
use crate::target::Target;

/// What the user wants.
#[derive(Debug, Clone, Default)]
pub struct PlanOptions {
    /// Network and board.
    pub subject: SubjectOptions,
    /// Kernels.
    pub plan: plan::Options,
}

/// A plan, and the reason why the answer is no, if it does not fit the board.
#[derive(Debug)]
pub struct Planned {
    /// The plan.
    pub report: PlanReport,
    /// Why the answer is no.
    pub refused: Option<Box<Diag>>,
}

/// Plans what `path` names: a case file, an int8 program, or the folder of an emitted crate.
pub fn plan(path: &Path, options: &PlanOptions, progress: &dyn Progress) -> Result<Planned> {
    let subject = Subject::open(path, &options.subject, options.plan.optimize, progress)?;
    let Subject { program, target, name, plan: wanted, .. } = &subject;
    progress.stage("plan");
    let plan = plan::plan_as(program, target, wanted)?;
    let (memory, shared_code_bytes) = memory::predicted(program, &plan, target);
    let needs = memory::needs(program, &plan, target, None, None);
    let refused = memory::check(target, needs, &memory, || subject.advice(progress))
        .and_then(|()| memory::within(needs, wanted))
        .err();
    let report = report(program, &plan, target, name, wanted.optimize.name());
    let regions = memory::regions(target, needs);
    Ok(Planned { report: PlanReport { memory, shared_code_bytes, regions, ..report }, refused })
}

fn report(program: &Program, plan: &Plan, target: &Target, name: &str, optimize: &'static str) -> PlanReport {
    let candidates = cost::candidates(program, target);
    let estimate = plan::estimate(program, target, plan);
    let steps = plan.steps.iter().zip(&candidates);
    let layers: Vec<PlanLayer> = steps.map(|(step, all)| layer(program, plan, step, all, target)).collect();
    let measured = |layer: &PlanLayer| layer.candidates.iter().any(|c| c.chosen && c.est_instructions.is_some());
    PlanReport {
        schema: SCHEMA,
        name: name.to_string(),
        target: target.name.clone(),
        optimize,
        macs: program.macs(),
        est_instructions: layers.iter().all(measured).then_some(estimate.instructions),
        weights_bytes: plan.sizes.weights_bytes as u64,
        tables_bytes: plan.sizes.tables_bytes as u64,
        est_code_bytes: estimate.code,
        est_flash_bytes: estimate.flash,
        arena_bytes: plan.arena_bytes as u64,
        input_bytes: plan.input_bytes as u64,
        layers,
        strips: plan
            .strips
            .iter()
            .map(|strip| PlanStrip {
                first_layer: strip.first,
                last_layer: strip.last,
                rows: strip.rows,
                turns: strip.turns.len(),
            })
            .collect(),
        tensors: plan
            .placements
            .iter()
            .map(|place| PlanTensor {
                name: program.tensor(place.tensor).name.clone(),
                shape: shape(program.tensor(place.tensor).shape),
                offset: place.offset,
                bytes: place.bytes,
                first_layer: place.first_step,
                last_layer: place.last_step,
            })
            .collect(),
        memory: Vec::new(),
        shared_code_bytes: None,
        regions: Vec::new(),
    }
}

fn shape(Hwc { h, w, c }: Hwc) -> [usize; 3] {
    [h, w, c]
}

fn layer(program: &Program, plan: &Plan, step: &Step, all: &[cost::Candidate], target: &Target) -> PlanLayer {
    let layer = &program.layers[step.layer];
    let home = |id: TensorId| match plan.home(program, id) {
        Home::Input => "input".to_string(),
        Home::Arena(offset) | Home::Part { offset, .. } => offset.to_string(),
        Home::Scores => "scores".to_string(),
    };
    let candidates = all.iter().map(|candidate| PlanCandidate {
        kernel: candidate.kernel.name(),
        chosen: candidate.kernel == step.kernel,
        est_instructions: candidate.instructions.map(|all| plan.copied_share(program, step, all)),
        error: cost::fitted(cost::class(target), cost::form(&layer.op, candidate.kernel)).map(|fitted| fitted.error),
        weights_bytes: candidate.weights,
        tables_bytes: candidate.tables,
        scratch_bytes: candidate.scratch,
    });
    PlanLayer {
        name: layer.name.clone(),
        op: words(&layer.op),
        input: shape(program.tensor(layer.inputs[0]).shape),
        output: shape(program.tensor(layer.output).shape),
        macs: program.layer_macs(layer),
        reads: step.reads.iter().map(|id| home(*id)).collect(),
        writes: home(step.writes),
        scratch: step.scratch.map(|scratch| [scratch.offset, scratch.bytes]),
        candidates: candidates.collect(),
    }
}
