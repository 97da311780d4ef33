//! Exact simplifications: what they take away, and that no score changes.

use fratc::data::{Case, Samples};
use fratc::pipeline;
use fratc::qir::pass::{Options, Pass, Summary, simplify};
use fratc::qir::{Bias, Op, Program, Provenance, TensorId};
use fratc::quantize;
use fratc::sim;

use crate::programs::{self, Pattern};
use crate::random_program::{plant, random, single_pixel};
use crate::shared::shared;

/// Runs `passes` and holds the scores to what they were on `n` samples.
fn same_scores(program: &Program, passes: &[Pass], granule: usize, n: usize) -> (Program, Summary) {
    let (simple, summary) = simplify(program, &Options { passes, granule }).expect("a valid program");
    let mut pattern = Pattern::new(99);
    for _ in 0..n {
        let sample = pattern.sample(program);
        assert_eq!(sim::run(&simple, &sample), sim::run(program, &sample), "{passes:?}\n{program}\n{simple}");
    }
    (simple, summary)
}

#[test]
fn random_programs_keep_their_scores_under_each_pass() {
    let (mut less, mut folded) = (0, 0);
    for seed in 0..120 {
        let mut program = random(seed, 7);
        plant(&mut program, &mut Pattern::new(seed + 1000), 35);
        program.verify().expect("a valid program");
        for pass in Pass::ALL {
            same_scores(&program, &[pass], 1, 2);
        }
        let (_, unread) = same_scores(&program, &[Pass::Unread], 1, 1);
        let (simple, all) = same_scores(&program, &Pass::ALL, 1, 4);
        same_scores(&program, &Pass::ALL, 4, 2);
        less += usize::from(all.macs[1] < program.macs());
        folded += usize::from(all.macs[1] < unread.macs[1]);
        assert_eq!(all.macs[1], simple.macs());
        let (_, again) = same_scores(&simple, &Pass::ALL, 1, 0);
        assert!(again.changed.is_empty(), "a second run finds more: {again:?}");
    }
    assert!(less > 95, "{less} of 120 programs became smaller");
    assert!(folded > 60, "constants made {folded} of 120 programs smaller than unread channels did");
}

/// All but one: `features` has a depthwise channel whose sums all lie below its ReLU.
#[test]
fn programs_without_dead_channels_stay() {
    for program in programs::all().into_iter().filter(|program| program.name != "features") {
        let (simple, summary) = same_scores(&program, &Pass::ALL, 1, 4);
        assert_eq!(summary.macs[1], program.macs(), "{}", program.name);
        assert_eq!(simple.tensors, program.tensors, "{}", program.name);
    }
}

/// At a padded border a constant channel is two values, its own and the pad value.
#[test]
fn a_constant_beside_padding_moves_only_where_it_equals_the_padding() {
    for (bias, gone) in [(0, true), (9_000, false)] {
        let mut program = programs::plain();
        let Op::Conv(conv) = &mut program.layers[0].op else { unreachable!("conv1") };
        let filter = conv.weights.len() / 8;
        conv.weights[3 * filter..4 * filter].fill(0);
        let Bias::Channel(biases) = &mut conv.bias else { unreachable!("one bias a channel") };
        biases[3] = bias;
        let (simple, _) = same_scores(&program, &Pass::ALL, 1, 8);
        assert_eq!(simple.tensor(TensorId(1)).shape.c, if gone { 7 } else { 8 });
    }
}

#[test]
fn a_part_of_a_concatenation_that_is_constant_goes_with_its_layers() {
    let mut program = programs::branches();
    let Op::Conv(conv) = &mut program.layers[2].op else { unreachable!("branch3x3") };
    conv.weights.fill(0);
    let (simple, summary) = same_scores(&program, &Pass::ALL, 1, 8);
    assert_eq!(summary.layers, [8, 7]);
    let concat = simple.layers.iter().find(|l| l.op == Op::Concat).expect("two parts are left");
    assert_eq!(concat.inputs.len(), 2);
    let gone: Vec<&str> = summary.changed.iter().filter(|c| c.channels[1] == 0).map(|c| c.name.as_str()).collect();
    assert_eq!(gone, ["branch3x3"]);
}

#[test]
fn a_kernel_over_one_pixel_loses_its_rim() {
    let program = single_pixel();
    let (simple, _) = same_scores(&program, &Pass::ALL, 1, 8);
    let kernels: Vec<[usize; 2]> = simple
        .layers
        .iter()
        .filter_map(|l| match &l.op {
            Op::Conv(conv) | Op::Depthwise(conv) => Some(conv.window.kernel),
            _ => None,
        })
        .collect();
    assert_eq!(kernels, [[4, 4], [1, 1], [1, 1]]);
}

/// A tap that only ever reads padding adds the pad value times its weight, which the bias counts on.
#[test]
fn a_channel_read_only_by_taps_in_the_padding_keeps_what_they_add() {
    let mut program = single_pixel();
    let Op::Conv(conv) = &mut program.layers[1].op else { unreachable!("rim") };
    let inputs = conv.weights.len() / (5 * 9);
    for (index, weight) in conv.weights.iter_mut().enumerate().filter(|(index, _)| index % inputs == 0) {
        *weight = if index / inputs % 9 == 0 { 100 } else { 0 };
    }
    let conv = conv.clone();
    same_scores(&program, &[Pass::Unread], 1, 8);
    let (simple, _) = same_scores(&program, &Pass::ALL, 1, 8);
    assert_eq!(simple.tensor(TensorId(1)).shape.c, inputs - 1, "once the rim is gone nothing reads the channel");
    let mut without = program.clone();
    let Op::Conv(other) = &mut without.layers[1].op else { unreachable!("rim") };
    *other = conv;
    other.weights.iter_mut().step_by(inputs).for_each(|weight| *weight = 0);
    let sample = Pattern::new(99).sample(&program);
    assert_ne!(sim::run(&without, &sample), sim::run(&program, &sample), "these taps make a difference");
}

#[test]
fn tables_join_what_is_before_them() {
    let mut b = programs::Builder::new("tables", 30, fratc::qir::InputKind::U8, [6, 6, 2]);
    let x = b.conv("conv", TensorId(0), 6, programs::square(3, 1, 1), false);
    let quant = b.program.tensor(x).quant;
    let relu = b.lookup("relu", x, quant, |q| q.max(quant.zero_point));
    let same = b.lookup("same", relu, quant, |q| if q < quant.zero_point { 77 } else { q });
    let half = b.lookup("half", same, quant, |q| q / 2);
    let third = b.lookup("minus", half, quant, |q| -q);
    let x = b.dense("fc", third, 3, false);
    let program = b.finish(x, &["a", "b", "c"]);
    let (simple, _) = same_scores(&program, &Pass::ALL, 1, 8);
    let names: Vec<&str> = simple.layers.iter().map(|l| l.name.as_str()).collect();
    assert_eq!(names, ["conv", "half", "fc"]);
    let Op::Conv(conv) = &simple.layers[0].op else { unreachable!("conv") };
    assert_eq!(conv.requant.min, quant.zero_point);
}

#[test]
fn tensors_keep_multiples_of_the_granule() {
    let mut program = programs::plain();
    let Op::Conv(conv) = &mut program.layers[2].op else { unreachable!("conv2") };
    let filter = conv.weights.len() / 16;
    conv.weights[..7 * filter].fill(0);
    for (granule, channels) in [(1, 9), (4, 12), (32, 16)] {
        let (simple, _) = same_scores(&program, &Pass::ALL, granule, 4);
        assert_eq!(simple.tensor(TensorId(3)).shape.c, channels, "granule {granule}");
    }
}

/// `emit` simplifies unless told not to, and says what went.
#[test]
fn emit_says_what_went() {
    let dir = tempfile::tempdir().expect("a scratch folder");
    let mut program = programs::plain();
    let Op::Conv(conv) = &mut program.layers[2].op else { unreachable!("conv2") };
    let filter = conv.weights.len() / 16;
    conv.weights[..4 * filter].fill(0);
    let file = dir.path().join("plain.int8");
    fratc::qir::save(&program, &file).expect("saved");
    let [on, off] = [true, false].map(|simplify| {
        let out = dir.path().join(if simplify { "on" } else { "off" });
        let options = pipeline::EmitOptions {
            target: "qemu-m4".into(),
            out: out.clone(),
            simplify,
            firmware: None,
            plan: pipeline::PlanChoice::default(),
        };
        let summary = pipeline::emit(&file, &options, &pipeline::Silent).expect("emits");
        let kept = fratc::qir::load(&out.join("fratc/program.int8")).expect("the crate keeps its program");
        (summary, kept)
    });
    let went = on.0.simplified.expect("a summary");
    assert_eq!(went.macs, [program.macs(), on.1.macs()]);
    assert_eq!(went.changed.get("conv2"), Some(&[16, 12]));
    assert!(went.to_string().starts_with("41,120 of 44,432 MACs left"), "{went}");
    assert!(off.0.simplified.is_none() && off.1.macs() == program.macs());
}

/// A shared network in int8, calibrated on random inputs.
pub fn model(name: &str, random: usize) -> Option<(Case, Program)> {
    let case = Case::load(&shared(&format!("cases/{name}.toml"))?).expect("a case file");
    let graph = fratc::load::load(&case.model).expect("a model").graph;
    let graph = fratc::ir::pass::simplify(graph).expect("simplifies");
    let samples = Samples::random(&case.input, random, 1);
    let options = quantize::Options::default();
    let program =
        quantize::quantize(&graph, &case.input, &samples, "real", &case.label_names, Provenance::default(), &options);
    Some((case, program.expect("quantizes")))
}

/// 7,489,664 multiply-accumulates, of which half read channels that batch normalization killed.
#[test]
fn mobilenetv1_vww_loses_its_dead_half() {
    let Some((case, program)) = model("mobilenetv1_vww", 8) else { return };
    assert_eq!(program.macs(), 7_489_664);
    for (granule, most) in [(1, 3_730_000), (4, 3_800_000)] {
        let (simple, summary) = simplify(&program, &Options { granule, ..Options::default() }).expect("valid");
        assert!(summary.macs[1] <= most, "{:?} multiply-accumulates", summary.macs);
        let inputs = Samples::random(&case.input, 4, 9);
        for i in 0..inputs.len() {
            assert_eq!(sim::run(&simple, inputs.sample(i)), sim::run(&program, inputs.sample(i)));
        }
    }
}
