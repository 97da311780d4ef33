//! What networks of given widths need: multiply-accumulates, flash and RAM as planned for the board.

use crate::data::Samples;
use crate::diag::{Diag, Result};
use crate::ir::Graph;
use crate::pipeline::cutter::Cutter;
use crate::pipeline::limits::Limits;
use crate::pipeline::route::Wanted;
use crate::pipeline::{Progress, joint};
use crate::plan::{self, Plan};
use crate::qir::{Program, Provenance};
use crate::quantize;
use crate::target::Target;

/// Units of a combined cost per whole limit.
const UNIT: f64 = 1e9;

/// What multiply-accumulates count for beside limits that are not met, so that of two narrowings that help alike the
/// one that saves more work is taken.
const WORK: f64 = 0.02;

/// Exponent of the smooth maximum over the steps of a plan: where two steps share the peak, narrowing one of them
/// must count as progress.
const SHARP: i32 = 12;

/// What a network needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Need {
    /// In the order and with the meaning of the limits; `None` where nobody asks.
    pub(super) sizes: Limits,
    /// A smooth stand-in for RAM, in bytes.
    crowd: f64,
}

/// Measures needs.
pub(super) struct Meter<'a> {
    cutter: &'a Cutter<'a>,
    pub(super) limits: Limits,
    target: Option<&'a Target>,
    /// How kernels are chosen.
    plan: plan::Options,
    /// Whether the network is trained in the end.
    trained: bool,
}

impl<'a> Meter<'a> {
    pub(super) fn new(cutter: &'a Cutter<'a>, options: &'a Wanted, progress: &dyn Progress) -> Self {
        if options.limits.flash.is_some() && options.target.is_none() {
            progress.note("--max-flash counts weights and tables only: without a board nothing is known of the code");
        }
        Self {
            cutter,
            limits: options.limits,
            target: options.target.as_ref(),
            plan: options.plan(),
            trained: options.finetune.any(),
        }
    }

    /// What the network of these widths needs.
    pub(super) fn need(&self, widths: &[usize]) -> Result<Need> {
        let mut graph = self.cutter.sliced(widths)?;
        if self.trained
            && let Some(merged) = joint::merged(self.cutter.source, &graph)?
        {
            graph = merged;
        }
        let mut need = Need { sizes: Limits { macs: Some(graph.macs()), flash: None, ram: None }, crowd: 0.0 };
        if self.limits.flash.is_some() || self.limits.ram.is_some() {
            let (program, plan) = self.planned(&graph)?;
            let constants = (plan.sizes.weights_bytes + plan.sizes.tables_bytes) as u64;
            let bound = |target| plan::flash_bound(&program, &plan, target);
            need.sizes.flash = Some(self.target.map_or(constants, bound));
            need.sizes.ram = Some((plan.arena_bytes + plan.input_bytes) as u64);
            need.crowd = crowd(&plan);
        }
        Ok(need)
    }

    /// Whether every limit is met.
    pub(super) fn fits(&self, widths: &[usize]) -> Result<bool> {
        Ok(self.limits.exceeded(&self.need(widths)?.sizes).is_empty())
    }

    /// One number for all limits: multiply-accumulates if nothing else is limited, else by how much limits are
    /// exceeded, with a little for the work.
    pub(super) fn cost(&self, widths: &[usize]) -> Result<u64> {
        let need = self.need(widths)?;
        let Need { sizes: Limits { macs: Some(macs), flash, ram }, crowd } = need else { return Ok(0) };
        if self.limits.flash.is_none() && self.limits.ram.is_none() {
            return Ok(macs);
        }
        let over = |need: f64, limit: u64| (need / limit.max(1) as f64 - 1.0).max(0.0);
        let mut cost = WORK * macs as f64 / self.cutter.source.graph.macs().max(1) as f64;
        if let Some(limit) = self.limits.macs {
            cost += over(macs as f64, limit);
        }
        if let (Some(limit), Some(flash)) = (self.limits.flash, flash) {
            cost += over(flash as f64, limit);
        }
        if let (Some(limit), Some(ram)) = (self.limits.ram, ram)
            && ram > limit
        {
            cost += crowd / limit.max(1) as f64;
        }
        Ok((cost * UNIT) as u64)
    }

    /// The int8 program and its plan for the board. Sizes do not depend on the values of weights or ranges, so one
    /// input of noise is calibration enough; what simplification may take away later makes the program smaller only.
    fn planned(&self, graph: &Graph) -> Result<(Program, Plan)> {
        let Cutter { source, classes, .. } = *self.cutter;
        let options = quantize::Options { range_samples: 1, correction_samples: 0 };
        let program = quantize::quantize(
            graph,
            &source.case.input,
            &Samples::random(&source.case.input, 1, self.cutter.seed),
            "sizes",
            &source.names(classes),
            Provenance { models: Vec::new(), options: Vec::new() },
            &options,
        )?;
        let plan = match self.target {
            Some(target) => plan::plan_whole(&program, target, &self.plan)?,
            None => plan::plan(&program)?,
        };
        Ok((program, plan))
    }
}

/// A smooth maximum, over the steps of the plan, of the bytes alive.
fn crowd(plan: &Plan) -> f64 {
    let alive = |step: usize| -> f64 {
        let tensors = plan.placements.iter().filter(|p| (p.first_step..=p.last_step).contains(&step));
        let scratch = plan.steps[step].scratch.map_or(0, |s| s.bytes);
        (tensors.map(|p| p.bytes).sum::<usize>() + scratch) as f64
    };
    let total: f64 = (0..plan.steps.len()).map(|step| alive(step).powi(SHARP)).sum();
    total.powf(1.0 / f64::from(SHARP)) + plan.input_bytes as f64
}

/// The error of a search that no network can satisfy: every limit in the way, and the least that it could be.
pub(super) fn infeasible(what: &str, exceeded: &[(&'static str, u64, u64)], more: Option<String>) -> Box<Diag> {
    let list = |f: &dyn Fn(&(&str, u64, u64)) -> String| exceeded.iter().map(f).collect::<Vec<_>>().join(", ");
    let way_out = list(&|(flag, _, need)| format!("{flag} {need}"));
    let way_out = more.map_or_else(|| way_out.clone(), |more| format!("{way_out} holds it; or {more}"));
    Box::new(
        Diag::no("search/infeasible", what)
            .expected(
                list(&|(flag, limit, _)| format!("{flag} {limit}")),
                list(&|(flag, _, need)| format!("{need} for {flag}")),
            )
            .help(format!("nearest that is possible: {way_out}")),
    )
}
