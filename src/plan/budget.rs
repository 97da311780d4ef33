//! Plans for what the user wants, within limits, and what they take.

use super::cost::{self, Candidate};
use super::layout::{Ways, lay_out};
use super::{Estimate, Kernel, Optimize, Options, Plan, check_program, code, plan_for, select, strip_search};
use crate::diag::Result;
use crate::qir::Program;
use crate::target::Target;

/// Where little RAM is wanted, a part of so many of it is worth as many instructions as the plan takes that is balanced.
const NEARLY: u128 = 20;

/// Layers at most whose kernels are exchanged one after the other for some with less scratch memory.
const LEANER: usize = 8;

/// Like [`super::plan_for`], with the kernels that are best for `options`. Layers advance together in strips where little
/// RAM is wanted, and where there is not enough of it otherwise.
///
/// # Errors
/// As [`super::plan`].
pub fn plan_as(program: &Program, target: &Target, options: &Options) -> Result<Plan> {
    let chosen = plan_whole(program, target, options)?;
    let room = options.max_ram.unwrap_or(u64::MAX).min(target.room_bytes());
    let over = |ram: u64| u128::from(ram.saturating_sub(room));
    if options.optimize != Optimize::Ram {
        if over(ram(&chosen)) == 0 {
            return Ok(chosen);
        }
        return in_strips(program, target, options, chosen, |ram, instructions| [over(ram), u128::from(instructions)]);
    }
    let balanced = within_flash(program, target, &Options { optimize: Optimize::Balanced, ..*options })?;
    let scale = estimate(program, target, &balanced);
    let [all, whole] = [scale.instructions, scale.ram].map(u128::from);
    in_strips(program, target, options, chosen, |ram, instructions| {
        [over(ram), NEARLY * u128::from(ram) * all + u128::from(instructions) * whole]
    })
}

/// [`plan_as`] without strips, in a part of the time: for a search that asks often.
///
/// # Errors
/// As [`super::plan`].
pub fn plan_whole(program: &Program, target: &Target, options: &Options) -> Result<Plan> {
    check_program(program)?;
    if *options == (Options { optimize: Optimize::Speed, ..Options::default() }) {
        return plan_for(program, target);
    }
    within_flash(program, target, options)
}

/// The plan of least `key` of its RAM and instructions, with the kernels of each goal and with any strips; `chosen` where none
/// is better.
fn in_strips(
    program: &Program,
    target: &Target,
    options: &Options,
    chosen: Plan,
    key: impl Fn(u64, u64) -> [u128; 2],
) -> Result<Plan> {
    let of_goal = |optimize| select::Choice::new(program, target, &Options { optimize, ..*options }).kernels();
    let goals = [Optimize::Balanced, Optimize::Size, Optimize::Speed, Optimize::Ram].map(of_goal);
    let mut sets: Vec<Vec<Kernel>> = Vec::new();
    for kernels in goals.into_iter().chain([leanest(program, target)]) {
        if !sets.contains(&kernels) {
            sets.push(kernels);
        }
    }
    let limit = options.max_flash.unwrap_or(u64::MAX).min(target.flash_bytes());
    let key_of = |plan: &Plan| {
        let Estimate { ram, instructions, .. } = estimate(program, target, plan);
        let [over, wanted] = key(ram, instructions);
        [flash_bound(program, plan, target).saturating_sub(limit).into(), over, wanted]
    };
    let candidates = cost::candidates(program, target);
    let mut best = (key_of(&chosen), chosen);
    for kernels in sets {
        let each = instructions(program, target, &kernels);
        let all: u64 = each.iter().sum();
        let input = program.tensor(program.input()).shape.len();
        let strips =
            strip_search::best(program, &kernels, &each, |arena, more| key((arena + input) as u64, all + more));
        for strips in [&strips[..], &[]] {
            let mut next = Some(kernels.clone());
            for _ in 0..LEANER {
                let Some(kernels) = next else { break };
                let plan = lay_out(program, &kernels, strips, Ways { bands: true, parts: Some(0) })?;
                next = leaner(&candidates, &plan, kernels);
                let key = key_of(&plan);
                if key < best.0 {
                    best = (key, plan);
                }
            }
        }
    }
    Ok(best.1)
}

/// The kernels of `plan` but for the layer during which most of the arena is in use, which gets the fastest of those with less scratch
/// memory; `None` if there is none.
fn leaner(candidates: &[Vec<Candidate>], plan: &Plan, mut kernels: Vec<Kernel>) -> Option<Vec<Kernel>> {
    let peak = (0..kernels.len()).max_by_key(|&step| plan.bytes_held(step))?;
    let scratch = plan.steps[peak].scratch?.bytes;
    let less = candidates[peak].iter().filter(|candidate| candidate.scratch < scratch);
    kernels[peak] = less.min_by_key(|candidate| candidate.instructions.unwrap_or(u64::MAX))?.kernel;
    Some(kernels)
}

/// Estimated instructions of each layer.
fn instructions(program: &Program, target: &Target, kernels: &[Kernel]) -> Vec<u64> {
    select::Choice::new(program, target, &Options { optimize: Optimize::Speed, ..Options::default() })
        .instructions_of(kernels)
}

/// Bytes of arena and input.
fn ram(plan: &Plan) -> u64 {
    (plan.arena_bytes + plan.input_bytes) as u64
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
    let room = options.max_ram.unwrap_or(u64::MAX).min(target.room_bytes());
    let in_room = |plan: &Plan| ram(plan) <= room;
    let choose = |options: &Options| {
        let choice = select::Choice::new(program, target, options);
        let kernels = choice.kernels();
        let parts = Some(if options.optimize == Optimize::Ram { 0 } else { choice.arena_room() });
        if options.optimize == Optimize::Size {
            let whole = lay_out(program, &kernels, &[], Ways { bands: false, parts })?;
            if in_room(&whole) {
                return Ok(whole);
            }
        }
        lay_out(program, &kernels, &[], Ways { bands: true, parts })
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
        let whole = lay_out(program, &kernels, &[], Ways { bands: false, parts: Some(0) })?;
        if in_room(&whole) && flash_bound(program, &whole, target) < flash_bound(program, &chosen, target) {
            chosen = whole;
        }
    }
    Ok(chosen)
}

/// Share by which code may be larger than predicted, see `docs/device.md`.
const CODE_RESERVE: f64 = 0.05;

/// Bytes by which the schedule of a layer in bands or strips may be larger than predicted: with rows that bands do not divide, the
/// optimizer leaves checks in some networks' loops that it proves away in others'.
const BAND_RESERVE: u64 = 160;

/// Bytes of flash that `plan` takes on `target` at most: constants, and code with what its prediction may be wrong by.
pub fn flash_bound(program: &Program, plan: &Plan, target: &Target) -> u64 {
    let code = (code_bytes(program, plan, target) as f64 * (1.0 + CODE_RESERVE)).ceil() as u64;
    let by_rows = plan.steps.iter().filter(|step| step.by_rows()).count() as u64;
    plan.sizes.total() as u64 + code + BAND_RESERVE * by_rows
}

/// What `plan` is estimated to cost on `target`; the arena is the plan's own.
pub fn estimate(program: &Program, target: &Target, plan: &Plan) -> Estimate {
    let kernels: Vec<Kernel> = plan.steps.iter().map(|step| step.kernel).collect();
    let any = Options { optimize: Optimize::Speed, ..Options::default() };
    let estimate = select::Choice::new(program, target, &any).estimate_of(&kernels);
    let code = code::code(program, plan, target).map_or(estimate.code, |code| code.total());
    let each = instructions(program, target, &kernels);
    let more = plan.strips.iter().map(|strip| strip_search::overhead(program, &kernels, &each, strip)).sum::<u64>();
    let instructions = estimate.instructions + more - spared(program, &each, plan);
    Estimate { instructions, code, flash: plan.sizes.total() as u64 + code, ram: ram(plan) }
}

/// Estimated instructions of concatenations that need not copy all their parts.
fn spared(program: &Program, each: &[u64], plan: &Plan) -> u64 {
    plan.steps.iter().zip(each).map(|(step, &all)| all - plan.copied_share(program, step, all)).sum()
}

/// Bytes of code that `plan` is predicted to take on `target`: see [`code`]; where one of its kernels was never measured
/// there, estimated.
pub fn code_bytes(program: &Program, plan: &Plan, target: &Target) -> u64 {
    code::code(program, plan, target).map_or_else(|| estimate(program, target, plan).code, |code| code.total())
}
