//! Layers that advance together, some rows at a time: the same scores in less memory.

use fratc::data::Samples;
use fratc::emit::{self, EmittedFile, Sample, emit};
use fratc::plan::{Optimize, Options, Plan, plan_as};
use fratc::qir::Program;
use fratc::qir::pass::{self, simplify};
use fratc::sim;
use fratc::target::Target;
use fratc::verify::{self, verify};

use crate::plan::execute::execute;
use crate::plan::shadow::Shadow;
use crate::programs::{self, Pattern};
use crate::random_program::random;
use crate::shared::tell;
use crate::simplify::model;

/// The plan of least RAM on `board`, checked byte by byte.
fn leanest(program: &Program, board: &str) -> Plan {
    let target = Target::load(board).expect("a shipped target");
    let options = Options { optimize: Optimize::Ram, ..Options::default() };
    let plan = plan_as(program, &target, &options).expect("plans");
    plan.verify(program).expect("a valid plan");
    Shadow::run(program, &plan);
    plan
}

#[test]
fn the_scores_are_those_of_whole_tensors() {
    let mut in_strips = 0;
    for program in
        programs::all().into_iter().chain([programs::resnet8()]).chain((400..520).map(|seed| random(seed, 8)))
    {
        for board in ["qemu-m4", "qemu-m0"] {
            let plan = leanest(&program, board);
            in_strips += plan.strips.iter().map(|strip| strip.last - strip.first + 1).sum::<usize>();
            let sample = Pattern::new(7).sample(&program);
            assert_eq!(execute(&program, &plan, &sample), sim::run(&program, &sample), "{program}\n{plan:?}");
        }
    }
    tell(&format!("{in_strips} layers in strips"));
    assert!(in_strips > 200, "{in_strips} layers in strips");
}

#[test]
fn a_plan_with_wrong_turns_is_caught() {
    let program = programs::resnet8();
    let good = leanest(&program, "qemu-m4");
    assert!(!good.strips.is_empty(), "{good:?}");
    let broken = |change: &dyn Fn(&mut Plan)| {
        let mut plan = good.clone();
        change(&mut plan);
        plan.verify(&program).expect_err("a broken plan").code
    };
    let codes = [
        broken(&|plan| plan.strips[0].turns[1].held[0] += 1),
        broken(&|plan| plan.strips[0].rolling[0].rows -= 1),
        broken(&|plan| plan.strips[0].last -= 1),
        broken(&|plan| plan.strips.clear()),
        broken(&|plan| plan.steps[plan.strips[0].first].strip = None),
        broken(&|plan| {
            let first = plan.strips[0].rolling[0].tensor;
            let place = plan.placements.iter_mut().find(|place| place.tensor == first).expect("in the arena");
            place.bytes -= 4;
        }),
    ];
    assert_eq!(codes, ["plan/invalid"; 6]);
}

/// Bytes of the arena for the least RAM, kernels' scratch memory included; `balanced` takes 35,328 and 43,936 for these two.
#[test]
fn real_networks_need_far_less() {
    for (name, most) in [("resnet8_cifar10", 26 * 1024), ("mobilenetv1_vww", 28 * 1024)] {
        let Some((_, program)) = model(name, 4) else { continue };
        let (program, _) =
            simplify(&program, &pass::Options { granule: 4, ..pass::Options::default() }).expect("valid");
        let plan = leanest(&program, "qemu-m4");
        tell(&format!("{name}: arena {} B", plan.arena_bytes));
        assert!(plan.arena_bytes <= most, "{name}: {} bytes, at most {most}", plan.arena_bytes);
    }
}

/// RAM that does not hold the network otherwise holds it in strips, whatever the goal.
#[test]
fn too_little_ram_is_enough_in_strips() {
    let (program, target) = (programs::resnet8(), Target::load("qemu-m4").expect("a shipped target"));
    let plan = |max_ram| plan_as(&program, &target, &Options { max_ram, ..Options::default() }).expect("plans");
    let whole = plan(None);
    assert!(whole.strips.is_empty());
    let limit = whole.arena_bytes * 3 / 4 + whole.input_bytes;
    let tight = plan(Some(limit as u64));
    assert!(!tight.strips.is_empty() && tight.arena_bytes + tight.input_bytes <= limit, "{tight:?}");
}

/// The crate for the least RAM, and samples.
fn emitted(program: &Program, board: &str) -> (Vec<EmittedFile>, Plan, Samples) {
    let plan = leanest(program, board);
    let input = Pattern::new(99).sample(program);
    let samples = vec![Sample { scores: sim::run(program, &input), input }];
    let target = Target::load(board).expect("a shipped target");
    let files = emit(program, &plan, &target, &emit::Options { samples, ..emit::Options::default() }).expect("emits");
    (files, plan, crate::verify::samples(program, 5))
}

/// A crate and layers that are called as what stands around them in the example and in `src/layers.rs`.
fn called_like_surroundings() -> Program {
    let mut program = Program { name: "bare-metal".into(), ..programs::branches() };
    let names = ["since", "slide", "until", "now", "before", "read", "BlackBox", "part0"];
    assert_eq!(program.layers.len(), names.len());
    for (layer, name) in program.layers.iter_mut().zip(names) {
        layer.name = name.into();
    }
    program
}

#[test]
fn emitted_crates_give_every_byte_on_all_cores() {
    if !crate::verify::qemu() {
        return;
    }
    let all = ["qemu-m0", "qemu-m3", "qemu-m4", "qemu-m7", "qemu-m33", "qemu-m55"];
    let of_net = [
        (programs::resnet8(), &all[..]),
        (called_like_surroundings(), &all[2..3]),
        (programs::residual(), &all[..1]),
        (programs::border(), &all[2..3]),
    ];
    for (program, boards) in of_net {
        for board in boards {
            let (files, plan, samples) = emitted(&program, board);
            assert!(!plan.strips.is_empty(), "{} {board}: {plan:?}", program.name);
            let target = Target::load(board).expect("a shipped target");
            let options = verify::Options { qemu_samples: 2, ..verify::Options::default() };
            let done = verify(&files, &program, &samples, &target, &options).expect(board);
            done.check().expect(board);
            let size = done.footprint.as_ref().expect(board);
            assert_eq!(size.tables_bytes, plan.sizes.tables_bytes as u64, "{} {board}", program.name);
            tell(&format!("{} {board}: {} strips, {:?}", program.name, plan.strips.len(), done.qemu));
        }
    }
}

/// Of layers in a strip only the last is shown; what differs there is found all the same.
#[test]
fn a_difference_inside_a_strip_is_found_where_it_comes_out() {
    let program = programs::border();
    let (mut files, plan, samples) = emitted(&program, "qemu-m4");
    let strip = &plan.strips[0];
    let name = &emit::layer_functions(&program)[strip.first];
    let weights = files.iter_mut().find(|file| file.path == format!("weights/{name}.weights.bin")).expect("weights");
    weights.bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
    let target = Target::load("qemu-m4").expect("a shipped target");
    let options = verify::Options { qemu: false, ..verify::Options::default() };
    let done = verify(&files, &program, &samples, &target, &options).expect("runs");
    let error = done.check().expect_err("it differs").to_string();
    let shown = &program.layers[strip.last].name;
    assert!(error.contains(&format!("layer {} `{shown}`", strip.last)), "{error}");
}

/// The schedule of a strip, as text.
#[test]
fn schedule_of_a_strip() {
    let program = programs::border();
    let (files, ..) = emitted(&program, "qemu-m4");
    let layers = files.iter().find(|file| file.path == "src/layers.rs").expect("a schedule");
    let text = std::str::from_utf8(&layers.bytes).expect("text");
    insta::with_settings!({snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("strips__border_src_layers_rs", text);
    });
}
