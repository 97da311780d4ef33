//! Outputs that lie in a concatenation's: nothing is copied, and the scores are the same.

use fratc::emit::{self, Sample, emit};
use fratc::plan::{Home, Optimize, Options, Part, Plan, plan_as, plan_for};
use fratc::qir::{InputKind, Program, TensorId, Window};
use fratc::sim;
use fratc::target::Target;
use fratc::verify::{self, verify};

use crate::plan::execute::execute;
use crate::plan::shadow::Shadow;
use crate::programs::{Builder, Pattern, square};
use crate::shared::tell;

/// Two concatenations: of four convolutions, a max pool and a table, which has to be copied, and of two convolutions.
pub fn joined() -> Program {
    let mut b = Builder::new("joined", 9, InputKind::U8, [13, 11, 3]);
    let stem = b.conv("stem", TensorId(0), 8, square(3, 1, 1), true);
    let quant = b.program.tensor(stem).quant;
    let one = b.conv("one", stem, 5, square(1, 1, 0), true);
    let three = b.conv("three", stem, 12, square(3, 1, 1), true);
    let table = b.lookup("table", stem, quant, |q| q / 2);
    let wide = b.conv("wide", stem, 3, Window { kernel: [1, 3], pad: [0, 1], ..square(1, 1, 0) }, true);
    let far = b.conv("far", stem, 2, Window { dilation: [2, 2], ..square(3, 1, 2) }, true);
    let largest = b.max_pool("largest", stem, square(3, 1, 1));
    let parts = [one, three, table, wide, far, largest];
    for id in parts {
        b.program.tensors[id.index()].quant = quant;
    }
    let x = b.concat("joined", &parts);
    let left = b.conv("left", x, 4, square(3, 2, 1), true);
    let right = b.conv("right", x, 6, square(3, 2, 1), true);
    b.program.tensors[right.index()].quant = b.program.tensor(left).quant;
    let x = b.concat("again", &[left, right]);
    let x = b.dense("fc", x, 4, false);
    b.finish(x, &["a", "b", "c", "d"])
}

fn speedy(program: &Program, board: &str) -> Plan {
    plan_for(program, &Target::load(board).expect("a shipped target")).expect("plans")
}

fn shown(program: &Program, plan: &Plan) -> Vec<String> {
    plan.parts.iter().map(|part| program.tensor(part.tensor).name.clone()).collect()
}

#[test]
fn convolutions_and_max_pools_write_where_they_are_joined() {
    let program = joined();
    let all = ["one", "three", "wide", "far", "largest", "left", "right"];
    for board in ["qemu-m4", "qemu-m3", "qemu-m0", "qemu-m55"] {
        let plan = speedy(&program, board);
        plan.verify(&program).expect("a valid plan");
        assert_eq!(shown(&program, &plan), all, "{board}");
        Shadow::run(&program, &plan);
        let sample = Pattern::new(3).sample(&program);
        assert_eq!(execute(&program, &plan, &sample), sim::run(&program, &sample), "{board}");
        let copied: Vec<usize> = plan.steps.iter().map(|step| plan.copied(step).count()).collect();
        let at = |name: &str| program.layers.iter().position(|layer| layer.name == name).expect("a layer");
        assert_eq!([copied[at("joined")], copied[at("again")]], [1, 0]);
    }
}

#[test]
fn a_part_where_none_may_be_is_caught() {
    let program = joined();
    let good = speedy(&program, "qemu-m4");
    let broken = |change: &dyn Fn(&mut Plan)| {
        let mut plan = good.clone();
        change(&mut plan);
        plan.verify(&program).expect_err("a broken plan").code
    };
    let table = program.tensors.iter().position(|tensor| tensor.name == "table").expect("a tensor");
    let codes = [
        broken(&|plan| plan.parts[0].channel += 1),
        broken(&|plan| plan.parts.truncate(1)),
        broken(&|plan| {
            let part = Part { tensor: TensorId(table as u32), ..plan.parts[0] };
            plan.placements.retain(|place| place.tensor != part.tensor);
            plan.parts.insert(2, part);
        }),
        broken(&|plan| {
            let whole = plan.parts[0].whole;
            let place = plan.placements.iter_mut().find(|place| place.tensor == whole).expect("in the arena");
            place.first_step += 1;
        }),
    ];
    assert_eq!(codes, ["plan/invalid"; 4]);
    let Home::Part { pitch, .. } = good.home(&program, good.parts[0].tensor) else { unreachable!() };
    assert_eq!(pitch, 38);
}

#[test]
fn emitted_crates_give_every_byte_on_all_cores() {
    if !crate::verify::qemu() {
        return;
    }
    let program = joined();
    for board in ["qemu-m0", "qemu-m3", "qemu-m4", "qemu-m7", "qemu-m33", "qemu-m55"] {
        let target = Target::load(board).expect("a shipped target");
        for optimize in [Optimize::Speed, Optimize::Size] {
            let plan = plan_as(&program, &target, &Options { optimize, ..Options::default() }).expect("plans");
            assert!(plan.parts.len() >= 7, "{board}: {plan:?}");
            let input = Pattern::new(99).sample(&program);
            let samples = vec![Sample { scores: sim::run(&program, &input), input }];
            let options = emit::Options { samples, ..emit::Options::default() };
            let files = emit(&program, &plan, &target, &options).expect("emits");
            let options = verify::Options { qemu_samples: 2, ..verify::Options::default() };
            let done = verify(&files, &program, &crate::verify::samples(&program, 5), &target, &options).expect(board);
            done.check().expect(board);
            tell(&format!("{board}, {}: {:?}", optimize.name(), done.qemu));
        }
    }
}

/// The schedule with a concatenation that copies one of its parts, and one that copies none.
#[test]
fn schedule_of_parts() {
    let program = joined();
    let target = Target::load("qemu-m4").expect("a shipped target");
    let plan = speedy(&program, "qemu-m4");
    let input = Pattern::new(99).sample(&program);
    let samples = vec![Sample { scores: sim::run(&program, &input), input }];
    let files = emit(&program, &plan, &target, &emit::Options { samples, ..emit::Options::default() }).expect("emits");
    let layers = files.iter().find(|file| file.path == "src/layers.rs").expect("a schedule");
    let text = std::str::from_utf8(&layers.bytes).expect("text");
    insta::with_settings!({snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("parts__joined_src_layers_rs", text);
    });
}
