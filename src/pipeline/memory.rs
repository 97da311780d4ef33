//! What a network takes of its board's memories: predicted from its plan, or read from the linked firmware. And whether
//! that is what was asked for.

use std::collections::BTreeMap;

use crate::diag::{Diag, Result};
use crate::emit;
use crate::pipeline::route::{self, Wanted};
use crate::pipeline::{Limits, Progress, Source};
use crate::plan::{self, Plan, code};
use crate::qir::Program;
use crate::report::{self, LayerMemory, Region};
use crate::target::{Needs, STACK_AND_STATICS, Target, check_fit};
use crate::verify::Footprint;

/// What `plan` needs of a board, with what was measured in place of what is predicted.
pub(super) fn needs(program: &Program, plan: &Plan, target: &Target, flash: Option<u64>, stack: Option<u64>) -> Needs {
    let constants = (plan.sizes.weights_bytes + plan.sizes.tables_bytes) as u64;
    Needs {
        flash: flash.unwrap_or_else(|| constants + plan::code_bytes(program, plan, target)),
        arena: plan.arena_bytes as u64,
        other_ram: plan.input_bytes as u64 + stack.unwrap_or(0),
    }
}

fn layer(program: &Program, plan: &Plan, step: usize, code_bytes: Option<u64>) -> LayerMemory {
    let index = plan.steps[step].layer;
    let layer = &program.layers[index];
    LayerMemory {
        name: layer.name.clone(),
        macs: program.layer_macs(layer),
        weights_bytes: plan.sizes.layers[index].weights as u64,
        tables_bytes: plan.sizes.layers[index].tables as u64,
        code_bytes,
        arena_bytes: plan.bytes_held(step) as u64,
    }
}

/// Every layer as predicted, and the code that layers share; code is unknown where a kernel was never measured.
pub(super) fn predicted(program: &Program, plan: &Plan, target: &Target) -> (Vec<LayerMemory>, Option<u64>) {
    let code = code::code(program, plan, target);
    let of_step = |step| layer(program, plan, step, code.as_ref().map(|code| code.alone(step)));
    ((0..plan.steps.len()).map(of_step).collect(), code.as_ref().map(code::Code::shared))
}

/// Every layer as linked, and the code that layers share.
pub(super) fn linked(program: &Program, plan: &Plan, footprint: &Footprint) -> (Vec<LayerMemory>, u64) {
    let mut users: BTreeMap<&(String, u64), usize> = BTreeMap::new();
    for function in footprint.layers.values().flat_map(|layer| &layer.functions) {
        *users.entry(function).or_default() += 1;
    }
    let names = emit::layer_functions(program);
    let of_step = |step: usize| {
        let found = footprint.layers.get(&names[plan.steps[step].layer]).cloned().unwrap_or_default();
        let only = |function: &&(String, u64)| users[*function] == 1 && footprint.functions.contains_key(&function.0);
        let code = found.code_bytes + found.functions.iter().filter(only).map(|(_, bytes)| bytes).sum::<u64>();
        LayerMemory {
            weights_bytes: found.weights_bytes,
            tables_bytes: found.tables_bytes,
            ..layer(program, plan, step, Some(code))
        }
    };
    let layers: Vec<LayerMemory> = (0..plan.steps.len()).map(of_step).collect();
    let alone: u64 = layers.iter().filter_map(|layer| layer.code_bytes).sum();
    (layers, footprint.code_bytes.saturating_sub(alone))
}

/// The board's memories with what `needs` takes of them; the rest of a firmware comes on top.
pub(super) fn regions(target: &Target, needs: Needs) -> Vec<Region> {
    let all = target.flash.iter().chain(&target.ram);
    let regions = all.map(|region| {
        let of = |other: &crate::target::Region, bytes: u64| if region == other { bytes } else { 0 };
        let used = of(target.code_region(), needs.flash)
            + of(target.arena_region(), needs.arena)
            + of(&target.ram[0], needs.other_ram);
        Region::new(&region.name, u64::from(region.usable_bytes()), used)
    });
    regions.collect()
}

/// RAM as planned, with what the stack was measured to take; `of_stack`: the memory that the stack is in, with everything else that the linked firmware has there.
pub(super) fn ram(plan: &Plan, stack: Option<u64>, of_stack: Option<&report::Region>) -> report::Ram {
    let (arena, input) = (plan.arena_bytes as u64, plan.input_bytes as u64);
    report::Ram {
        arena_bytes: arena,
        input_bytes: input,
        stack_bytes: stack,
        stack_left_bytes: stack.zip(of_stack).map(|(stack, region)| region.left_bytes.saturating_sub(stack)),
        total_bytes: arena + input + stack.unwrap_or(0),
    }
}

/// The layer that takes most flash.
fn heaviest(layers: &[LayerMemory]) -> Option<&LayerMemory> {
    layers.iter().max_by_key(|layer| layer.flash_bytes())
}

/// Whether `needs`, as predicted, fit the board beside a stack; if not, says which layer takes most and what limits
/// would choose.
pub(super) fn check(
    target: &Target,
    needs: Needs,
    layers: &[LayerMemory],
    advice: impl FnOnce() -> Option<String>,
) -> Result<()> {
    let linked = Needs { other_ram: needs.other_ram + STACK_AND_STATICS, ..needs };
    check_fit(target, linked).map_err(|mut diag| {
        let mut help: Vec<String> = heaviest(layers).map(|layer| layer.blame(needs.flash)).into_iter().collect();
        help.extend(advice());
        help.extend(diag.help.take());
        diag.help = Some(help.join("; "));
        diag
    })
}

/// Refuses a plan that takes more than its limits, as predicted.
pub(super) fn within(needs: Needs, plan: &plan::Options) -> Result<()> {
    let limits = Limits { macs: None, flash: plan.max_flash, ram: plan.max_ram };
    let need = Limits { macs: None, flash: Some(needs.flash), ram: Some(needs.arena + needs.other_ram) };
    match limits.exceeded(&need).first() {
        None => Ok(()),
        Some((flag, limit, need)) => Diag::no("plan/limit", "the network needs more than its limit allows")
            .expected(format!("{flag} {limit}"), need)
            .help("another --optimize may need less; so does a smaller network")
            .err(),
    }
}

/// What limits of the board's sizes would choose from the same source: found as for those limits.
pub(super) fn advice(
    source: &Source,
    classes: &[usize],
    wanted: &Wanted,
    target: &Target,
    progress: &dyn Progress,
) -> Option<String> {
    if wanted.limits.flash.is_some() && wanted.limits.ram.is_some() || source.calibration.is_none() {
        return None;
    }
    let (flash, ram) =
        (u64::from(target.code_region().usable_bytes()), u64::from(target.arena_region().usable_bytes()));
    let ram = ram.saturating_sub(STACK_AND_STATICS.max(ram / 8));
    let limits = Limits { flash: Some(flash), ram: Some(ram), ..wanted.limits };
    let limited = Wanted { keep: None, max_drop: None, limits, target: Some(target.clone()), ..wanted.clone() };
    Some(match route::cut(source, classes, &limited, progress) {
        Ok(cut) => format!(
            "--max-flash {flash} --max-ram {ram} would keep {:.0} % of the channels and {} MACs",
            100.0 * cut.route.keep,
            cut.graph.macs()
        ),
        Err(diag) => format!("no limit helps: {}", diag.what),
    })
}

/// Only `--max-drop` makes accuracy a reason to refuse.
pub(super) fn accuracy_gate(report: &report::Build, max_drop: Option<f64>) -> Result<()> {
    let (Some(drop), Some(accuracy)) = (max_drop, &report.accuracy) else { return Ok(()) };
    let lost = (accuracy.source_masked - accuracy.int8) * 100.0;
    if lost <= drop + 1e-9 {
        return Ok(());
    }
    Diag::no("build/max-drop", "the crate loses more accuracy on the test split than --max-drop allows")
        .expected(format!("at most {drop} points below the masked source"), format!("{lost:.2} points"))
        .help("allow more with --max-drop, or keep more with --keep")
        .err()
}

/// Limits hold for what was measured too.
pub(super) fn limits_gate(report: &report::Build, limits: &Limits) -> Result<()> {
    let need = Limits {
        macs: Some(report.assembled.macs),
        flash: report.flash.as_ref().map(|f| f.total_bytes),
        ram: Some(report.ram.arena_bytes + report.ram.input_bytes),
    };
    let exceeded = limits.exceeded(&need);
    let Some((flag, limit, need)) = exceeded.first() else { return Ok(()) };
    let help = format!("{flag} {need} is possible; so is a smaller network, with the limit lowered by the difference");
    let blame = heaviest(&report.layers).map(|layer| layer.blame(report.flash.as_ref().map_or(0, |f| f.total_bytes)));
    Diag::no("build/limit", "the crate needs more than its limit allows")
        .expected(format!("{flag} {limit}"), need)
        .help(blame.map_or_else(|| help.clone(), |blame| format!("{help}; {blame}")))
        .err()
}
