//! Plans for what the user wants, within limits, and what they take.

use super::cost::{self, Candidate};
use super::{Estimate, Kernel, Optimize, Options, Plan, check_program, code, lay_out, plan_for, select};
use crate::diag::Result;
use crate::qir::Program;
use crate::target::Target;

/// Like [`super::plan_for`], with the kernels that are best for `options`.
///
/// # Errors
/// As [`super::plan`].
pub fn plan_as(program: &Program, target: &Target, options: &Options) -> Result<Plan> {
    if *options == (Options { optimize: Optimize::Speed, ..Options::default() }) {
        return plan_for(program, target);
    }
    check_program(program)?;
    let chosen = within_flash(program, target, options)?;
    if options.optimize != Optimize::Ram {
        return Ok(chosen);
    }
    // What an output may share with its input is known only once everything has its place.
    let of_goal = |optimize| select::Choice::new(program, target, &Options { optimize, ..*options }).kernels();
    let goals = [Optimize::Balanced, Optimize::Size, Optimize::Speed].map(of_goal);
    let mut best = chosen;
    let mut cost = (best.arena_bytes, estimate(program, target, &best).instructions);
    for kernels in goals.into_iter().chain([leanest(program, target)]) {
        let other = lay_out(program, &kernels, true)?;
        let within = options.max_flash.is_none_or(|limit| flash_bound(program, &other, target) <= limit);
        let other_cost = (other.arena_bytes, estimate(program, target, &other).instructions);
        if within && other_cost < cost {
            (best, cost) = (other, other_cost);
        }
    }
    Ok(best)
}

/// For each layer the kernel with the least scratch memory; of several the fastest.
fn leanest(program: &Program, target: &Target) -> Vec<Kernel> {
    let lean = |all: Vec<Candidate>| {
        let best = all.iter().min_by_key(|c| (c.scratch, c.instructions.unwrap_or(u64::MAX)));
        best.map_or(Kernel::Portable, |candidate| candidate.kernel)
    };
    cost::candidates(program, target).into_iter().map(lean).collect()
}

/// The best plan for `options`. Kernels are chosen by estimates; where the plan is above the limit on flash after all, they
/// are chosen again with as much less.
fn within_flash(program: &Program, target: &Target, options: &Options) -> Result<Plan> {
    // Bands take code.
    let room = options.max_ram.unwrap_or(u64::MAX).min(target.ram_bytes());
    let in_room = |plan: &Plan| (plan.arena_bytes + plan.input_bytes) as u64 <= room;
    let choose = |options: &Options| {
        let kernels = select::Choice::new(program, target, options).kernels();
        if options.optimize == Optimize::Size {
            let whole = lay_out(program, &kernels, false)?;
            if in_room(&whole) {
                return Ok(whole);
            }
        }
        lay_out(program, &kernels, true)
    };
    let mut chosen = choose(options)?;
    let Some(limit) = options.max_flash else { return Ok(chosen) };
    for times in 1..=2 {
        let bound = flash_bound(program, &chosen, target);
        if bound <= limit {
            break;
        }
        let max_flash = Some(limit.saturating_sub(times * (bound - limit)));
        let other = choose(&Options { max_flash, ..*options })?;
        if flash_bound(program, &other, target) < bound {
            chosen = other;
        }
    }
    if flash_bound(program, &chosen, target) > limit {
        let kernels: Vec<Kernel> = chosen.steps.iter().map(|step| step.kernel).collect();
        let whole = lay_out(program, &kernels, false)?;
        if in_room(&whole) && flash_bound(program, &whole, target) < flash_bound(program, &chosen, target) {
            chosen = whole;
        }
    }
    Ok(chosen)
}

/// Share by which code may be larger than predicted, see `docs/device.md`.
const CODE_RESERVE: f64 = 0.05;

/// Bytes by which the schedule of a layer in bands may be larger than predicted: with rows that bands do not divide, the
/// optimizer leaves checks in some networks' loops that it proves away in others'.
const BAND_RESERVE: u64 = 160;

/// Bytes of flash that `plan` takes on `target` at most: constants, and code with what its prediction may be wrong by.
pub fn flash_bound(program: &Program, plan: &Plan, target: &Target) -> u64 {
    let code = (code_bytes(program, plan, target) as f64 * (1.0 + CODE_RESERVE)).ceil() as u64;
    let in_bands = plan.steps.iter().filter(|step| step.bands.is_some()).count() as u64;
    plan.sizes.total() as u64 + code + BAND_RESERVE * in_bands
}

/// What `plan` is estimated to cost on `target`; the arena is the plan's own.
pub fn estimate(program: &Program, target: &Target, plan: &Plan) -> Estimate {
    let kernels: Vec<Kernel> = plan.steps.iter().map(|step| step.kernel).collect();
    let estimate = select::Choice::new(program, target, &Options::default()).estimate_of(&kernels);
    let code = code::code(program, plan, target).map_or(estimate.code, |code| code.total());
    let ram = (plan.arena_bytes + plan.input_bytes) as u64;
    Estimate { code, flash: plan.sizes.total() as u64 + code, ram, ..estimate }
}

/// Bytes of code that `plan` is predicted to take on `target`: see [`code`]; where one of its kernels was never measured
/// there, estimated.
pub fn code_bytes(program: &Program, plan: &Plan, target: &Target) -> u64 {
    code::code(program, plan, target).map_or_else(|| estimate(program, target, plan).code, |code| code.total())
}
