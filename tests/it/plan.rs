//! Arena plans of programs with rows and columns: who owns each byte, band by band, and how small they are.

pub mod execute;
pub mod shadow;

use fratc::plan::{Kernel, Optimize, Options as PlanOptions, Plan, code_bytes, estimate, plan, plan_as, plan_for};
use fratc::qir::pass::{Options, simplify};
use fratc::qir::{Layer, Program, TensorId};
use fratc::sim;
use fratc::target::Target;

use crate::programs::{self, Pattern};
use crate::random_program::random;
use crate::simplify::model;
use execute::execute;
use shadow::Shadow;

#[test]
fn programs_run_in_their_arena() {
    let targets = ["qemu-m4", "qemu-m0"].map(|name| Target::load(name).expect("a shipped target"));
    let (mut banded, mut parts) = (0, 0);
    for program in programs::all().into_iter().chain((200..300).map(|seed| random(seed, 8))) {
        for target in &targets {
            let plan = plan_for(&program, target).expect("plans");
            banded += plan.steps.iter().filter(|step| step.bands.is_some()).count();
            parts += plan.parts.len();
            let mut pattern = Pattern::new(5);
            for _ in 0..2 {
                let sample = pattern.sample(&program);
                assert_eq!(execute(&program, &plan, &sample), sim::run(&program, &sample), "{program}\n{plan:?}");
            }
        }
    }
    assert!(banded > 30 && parts > 100, "{banded} steps in bands, {parts} parts in concatenations");
}

/// Bytes by plain liveness: tensors and scratch memory alive at once, every tensor in bytes of its own.
fn liveness(program: &Program, plan: &Plan) -> usize {
    let alive = |step: usize| {
        let in_arena = |id: &TensorId| *id != program.input() && *id != program.output;
        let tensors = program.layers.iter().enumerate().filter(|(at, layer)| {
            let readers = program.layers.iter().enumerate().filter(|(_, reader)| reader.inputs.contains(&layer.output));
            let last = readers.map(|(at, _)| at).max().unwrap_or(*at);
            in_arena(&layer.output) && (*at..=last).contains(&step)
        });
        let scratch = plan.steps[step].scratch.map_or(0, |s| s.bytes.next_multiple_of(4));
        let bytes = |(_, layer): (usize, &Layer)| program.tensor(layer.output).shape.len().next_multiple_of(4);
        tensors.map(bytes).sum::<usize>() + scratch
    };
    (0..program.layers.len()).map(alive).max().unwrap_or(0)
}

fn check(program: &Program, plan: &Plan) {
    plan.verify(program).expect("a valid plan");
    Shadow::run(program, plan);
    let plain = liveness(program, plan);
    assert!(plan.arena_bytes <= plain, "{} bytes, {plain} by liveness\n{program}\n{plan:?}", plan.arena_bytes);
    assert!(plan.arena_bytes >= plan.bound_bytes);
}

#[test]
fn no_byte_is_read_after_it_was_overwritten() {
    let targets = ["qemu-m4", "qemu-m0"].map(|name| Target::load(name).expect("a shipped target"));
    let random = (0..150).map(|seed| random(seed, 8));
    let (mut banded, mut upward) = (0, 0);
    for program in programs::all().into_iter().chain([programs::resnet8()]).chain(random) {
        for target in &targets {
            let plan = plan_for(&program, target).expect("plans");
            check(&program, &plan);
            banded += plan.steps.iter().filter(|step| step.bands.is_some()).count();
            upward += plan.steps.iter().filter(|step| step.bands.is_some_and(|bands| bands.upward)).count();
        }
    }
    assert!(banded > 80 && upward > 20, "{banded} steps in bands, {upward} of them upward");
}

#[test]
fn resnet8_needs_two_planes_and_a_few_rows() {
    let program = programs::resnet8();
    let plan = plan(&program).expect("plans");
    check(&program, &plan);
    // Two planes of 16,384 bytes, and the two rows that a 3×3 convolution reads above the one it writes.
    assert_eq!(plan.arena_bytes, 32_768 + 1_024);
}

#[test]
fn a_plan_with_bands_too_large_is_caught() {
    let program = programs::resnet8();
    let good = plan(&program).expect("plans");
    let at = good.steps.iter().position(|step| step.bands.is_some()).expect("a step in bands");
    let mut broken = good.clone();
    broken.steps[at].bands = None;
    assert_eq!(broken.verify(&program).expect_err("it runs whole").code, "plan/invalid");
    let mut broken = good.clone();
    broken.steps[at].bands.as_mut().expect("bands").rows = 32;
    assert_eq!(broken.verify(&program).expect_err("32 rows").code, "plan/invalid");
    let mut broken = good;
    let bands = broken.steps[at].bands.as_mut().expect("bands");
    bands.upward = !bands.upward;
    assert_eq!(broken.verify(&program).expect_err("the wrong way").code, "plan/invalid");
}

/// With portable kernels these two would take less flash, and ten and seven times the instructions of the fastest ones.
#[test]
fn least_flash_is_not_bought_with_any_time() {
    let target = Target::load("qemu-m4").expect("a shipped target");
    for name in ["dscnn_kws", "mobilenetv1_vww"] {
        let Some((_, program)) = model(name, 4) else { continue };
        let [speed, size] = [Optimize::Speed, Optimize::Size].map(|optimize| {
            let options = PlanOptions { optimize, ..PlanOptions::default() };
            let plan = plan_as(&program, &target, &options).expect("plans");
            estimate(&program, &target, &plan)
        });
        assert!(size.instructions <= 2 * speed.instructions, "{name}: {size:?}, {speed:?}");
        assert!(size.flash < speed.flash, "{name}: {size:?}, {speed:?}");
    }
}

/// The last layer's own kernel would save a ten-thousandth of `balanced`'s instructions for 616 bytes of code.
#[test]
fn code_of_resnet8_stays_below_its_bars() {
    let Some((_, program)) = model("resnet8_cifar10", 4) else { return };
    let target = Target::load("qemu-m4").expect("a shipped target");
    let bars = [(Optimize::Speed, 12 * 1024), (Optimize::Balanced, 12 * 1024), (Optimize::Size, 6 * 1024)];
    for (optimize, most) in bars {
        let plan = plan_as(&program, &target, &PlanOptions { optimize, ..PlanOptions::default() }).expect("plans");
        let code = code_bytes(&program, &plan, &target);
        assert!(code <= most, "{}: {code} bytes, at most {most}", optimize.name());
        let last = plan.steps.last().expect("steps").kernel;
        assert!(optimize != Optimize::Balanced || last == Kernel::DspConv, "{last:?}");
    }
}

/// Kernel scratch included.
#[test]
fn real_networks_stay_below_their_bars() {
    let target = Target::load("qemu-m4").expect("a shipped target");
    for (name, most) in [("resnet8_cifar10", 36 * 1024), ("dscnn_kws", 15 * 1024), ("mobilenetv1_vww", 44 * 1024)] {
        let Some((_, program)) = model(name, 4) else { continue };
        let (program, _) = simplify(&program, &Options { granule: 4, ..Options::default() }).expect("valid");
        let plan = plan_for(&program, &target).expect("plans");
        check(&program, &plan);
        eprintln!("{name}: arena {} B", plan.arena_bytes);
        assert!(plan.arena_bytes <= most, "{name}: {} bytes, at most {most}", plan.arena_bytes);
    }
}
