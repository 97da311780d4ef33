//! Which kernels the planner chooses, for what is wanted and within the memory there is.

use std::process::{Command, Output, Stdio};

use fratc::plan::{Estimate, Kernel, Optimize, Options, Plan, cost, estimate, plan_as, plan_for, plan_kernels};
use fratc::qir::{self, Layer, Op, Program, TensorId};
use fratc::target::Target;

use crate::programs;

const GOALS: [Optimize; 4] = [Optimize::Speed, Optimize::Size, Optimize::Ram, Optimize::Balanced];

fn target(name: &str) -> Target {
    Target::load(name).expect("a shipped target")
}

fn planned(program: &Program, target: &Target, options: Options) -> (Plan, Estimate) {
    let plan = plan_as(program, target, &options).expect("plans");
    let estimate = estimate(program, target, &plan);
    (plan, estimate)
}

fn goal(optimize: Optimize) -> Options {
    Options { optimize, ..Options::default() }
}

/// A limit that does not bind: then kernels are weighed by the estimates for every goal.
fn weighed(optimize: Optimize) -> Options {
    Options { optimize, max_flash: Some(u64::MAX), max_ram: None }
}

/// Of the four plans, the one for a goal is the best by that goal.
#[test]
fn every_goal_is_served_best_by_its_own_plan() {
    for program in [programs::resnet8(), programs::separable(), programs::residual(), programs::branches()] {
        for name in ["qemu-m4", "qemu-m3", "qemu-m0", "qemu-m55"] {
            let target = target(name);
            let found = GOALS.map(|optimize| planned(&program, &target, weighed(optimize)).1);
            let [speed, size, ram, _] = found;
            for other in found {
                assert!(speed.instructions <= other.instructions, "{} {name}: {speed:?} {other:?}", program.name);
                assert!(size.flash <= other.flash, "{} {name}: {size:?} {other:?}", program.name);
                assert!(ram.ram <= other.ram, "{} {name}: {ram:?} {other:?}", program.name);
            }
        }
    }
}

/// No single layer's change of kernel makes the fastest plan faster.
#[test]
fn the_fastest_plan_has_the_fastest_kernel_of_every_layer() {
    let (program, target) = (programs::resnet8(), target("qemu-m4"));
    let plan = plan_for(&program, &target).expect("plans");
    assert_eq!(plan, planned(&program, &target, goal(Optimize::Speed)).0, "the fastest");
    // With a limit that does not bind, all costs are weighed.
    let weighed = planned(&program, &target, weighed(Optimize::Speed)).0;
    let mut several = 0;
    for (step, all) in weighed.steps.iter().zip(cost::candidates(&program, &target)) {
        let measured = all.iter().filter(|candidate| candidate.instructions.is_some());
        let least = measured.min_by_key(|candidate| candidate.instructions).expect("candidates");
        // A kernel that was never measured counts as faster than those before it.
        let unmeasured = all.iter().any(|c| c.kernel == step.kernel && c.instructions.is_none());
        assert!(unmeasured || step.kernel == least.kernel, "{}", program.layers[step.layer].name);
        several += usize::from(all.len() > 1);
    }
    assert!(several >= 9, "{several} layers with a choice");
    assert!(plan.steps.iter().any(|step| step.kernel != Kernel::Portable));
}

/// A limit is met where any choice meets it, at the price of speed.
#[test]
fn limits_go_before_the_goal() {
    let (program, target) = (programs::resnet8(), target("qemu-m4"));
    let [speed, size] = [Optimize::Speed, Optimize::Size].map(|goal| planned(&program, &target, weighed(goal)).1);
    assert!(size.flash < speed.flash && size.instructions > speed.instructions, "{speed:?} {size:?}");
    let tight = Options { max_flash: Some(size.flash), ..Options::default() };
    let found = planned(&program, &target, tight).1;
    assert!(found.flash <= size.flash && found.instructions >= speed.instructions, "{found:?} {size:?}");
    // A limit that nothing meets is no error here; whoever flashes is told what is missing.
    planned(&program, &target, Options { max_flash: Some(1), max_ram: Some(1), ..Options::default() });
}

/// A layer whose kernels were never measured does not make others look cheap: `size` and `balanced` weigh those that were.
#[test]
fn an_unmeasured_layer_leaves_the_others_choices_alone() {
    let (program, target) = (programs::resnet8(), target("qemu-m4"));
    let mut with_table = program.clone();
    let last = with_table.layers.len() - 1;
    let (input, bytes) = (with_table.layers[last].inputs[0], with_table.layers[last].output);
    let mut tensor = with_table.tensor(input).clone();
    tensor.name = "table".into();
    with_table.tensors.insert(bytes.index(), tensor);
    let table = TensorId(bytes.index() as u32);
    with_table.output = TensorId(table.0 + 1);
    with_table.layers[last].inputs[0] = table;
    with_table.layers[last].output = with_table.output;
    let lookup = Layer { name: "table".into(), op: Op::Lookup(vec![0; 256]), inputs: vec![input], output: table };
    with_table.layers.insert(last, lookup);
    for optimize in [Optimize::Size, Optimize::Balanced] {
        let [found, expected] = [&with_table, &program].map(|program| {
            let (plan, _) = planned(program, &target, goal(optimize));
            let all = plan.steps.iter().zip(cost::candidates(program, &target));
            let chosen = all.filter_map(|(step, all)| all.iter().find(|c| c.kernel == step.kernel)?.instructions);
            chosen.sum::<u64>()
        });
        assert!(found <= expected + expected / 20, "{}: {found}, {expected}", optimize.name());
    }
}

#[test]
fn kernels_can_be_given() {
    let program = programs::resnet8();
    let portable = vec![Kernel::Portable; program.layers.len()];
    let plan = plan_kernels(&program, &portable).expect("plans");
    assert!(plan.steps.iter().all(|step| step.kernel == Kernel::Portable && step.bands.is_none()));
}

fn fratc(dir: &std::path::Path, words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fratc"));
    command.current_dir(dir).args(words.split(' ')).stdin(Stdio::null()).output().expect("fratc runs")
}

#[test]
fn the_command_shows_every_candidate_and_compiles_nothing() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let program = programs::resnet8();
    qir::save(&program, &dir.path().join("net.int8")).expect("saved");
    // Without a compiler or QEMU in reach.
    let shown = Command::new(env!("CARGO_BIN_EXE_fratc"))
        .current_dir(dir.path())
        .env("PATH", "")
        .env_remove("CARGO")
        .args(["plan", "net.int8", "--target", "nrf52840dk", "--optimize", "speed", "--no-simplify", "--json"])
        .output()
        .expect("fratc runs");
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let json: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    let target = target("nrf52840dk");
    let plan = plan_for(&program, &target).expect("plans");
    assert_eq!(json["arena_bytes"], plan.arena_bytes);
    assert_eq!(json["weights_bytes"], plan.sizes.weights_bytes);
    assert_eq!(json["est_flash_bytes"], estimate(&program, &target, &plan).flash);
    assert_eq!(json["tensors"].as_array().map(Vec::len), Some(plan.placements.len()));
    for (layer, all) in json["layers"].as_array().expect("layers").iter().zip(cost::candidates(&program, &target)) {
        let rows = layer["candidates"].as_array().expect("candidates");
        assert_eq!(rows.len(), all.len());
        assert_eq!(rows.iter().filter(|row| row["chosen"] == true).count(), 1, "{layer}");
    }
    let text = fratc(dir.path(), "plan net.int8 --target nrf52840dk --optimize size");
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("for size") && text.contains("dsp rows") && text.contains("\nflash     about"), "{text}");
}
