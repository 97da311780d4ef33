//! Plans of hand-made and random programs.

use super::*;
use crate::qir::{Add, Conv, Hwc, Layer, PadValue, Provenance, Quant, Requant, Tensor, Window};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ADD: Op = Op::Add(Add { factors: [1, 1], constant: 0, shift: 0, zero_point: 0, min: -128, max: 127 });

fn conv() -> Op {
    let requant = Requant { multipliers: vec![1], shift: 0, zero_point: 0, min: -128, max: 127 };
    let window = Window { kernel: [1, 1], stride: [1, 1], dilation: [1, 1], pad: [0, 0] };
    let bias = crate::qir::Bias::Channel(vec![0]);
    Op::Conv(Conv { window, weights: vec![1], bias, pad: PadValue::Uniform(0), requant })
}

/// A program from `(op, inputs, bytes of the output)`; the last layer writes the scores.
fn program(input: usize, layers: Vec<(Op, Vec<u32>, usize)>) -> Program {
    let quant = Quant { scale: 1.0, zero_point: 0 };
    let tensor = |i: usize, len: usize| Tensor { name: format!("t{i}"), shape: Hwc { h: 1, w: 1, c: len }, quant };
    let mut tensors = vec![tensor(0, input)];
    let mut program_layers = Vec::new();
    for (i, (op, inputs, bytes)) in layers.into_iter().enumerate() {
        tensors.push(tensor(i + 1, bytes));
        let inputs = inputs.into_iter().map(TensorId).collect();
        program_layers.push(Layer { name: format!("l{i}"), op, inputs, output: TensorId(i as u32 + 1) });
    }
    Program {
        name: "p".into(),
        input_kind: InputKind::U8,
        output: TensorId(tensors.len() as u32 - 1),
        classes: Vec::new(),
        reject: None,
        tensors,
        layers: program_layers,
        provenance: Provenance::default(),
    }
}

/// ResNet-8 on 32×32 pixels, by tensor sizes.
fn resnet8() -> Program {
    let (a, b, c) = (16 * 1024, 8 * 1024, 4 * 1024);
    program(
        3072,
        vec![
            (conv(), vec![0], a), // 1
            (conv(), vec![1], a),
            (conv(), vec![2], a),
            (ADD, vec![1, 3], a), // 4
            (conv(), vec![4], b),
            (conv(), vec![5], b),
            (conv(), vec![4], b),
            (ADD, vec![6, 7], b), // 8
            (conv(), vec![8], c),
            (conv(), vec![9], c),
            (conv(), vec![8], c),
            (ADD, vec![10, 11], c), // 12
            (conv(), vec![12], 64),
            (conv(), vec![13], 10),
        ],
    )
}

/// Runs the plan over an arena whose bytes remember which tensor wrote them.
fn shadow(program: &Program, plan: &Plan) {
    let mut owner: Vec<Option<TensorId>> = vec![None; plan.arena_bytes];
    for step in &plan.steps {
        for (input, read) in step.reads.iter().enumerate() {
            if let Home::Arena(offset) = plan.home(program, *read) {
                let bytes = program.tensor(*read).shape.len();
                assert!(owner[offset..offset + bytes].iter().all(|o| *o == Some(*read)), "step {step:?} input {input}");
            }
        }
        if let Home::Arena(offset) = plan.home(program, step.writes) {
            let bytes = offset..offset + program.tensor(step.writes).shape.len();
            for (input, read) in step.reads.iter().enumerate() {
                let touches = owner[bytes.clone()].contains(&Some(*read));
                assert!(!(touches && step.in_place != Some(input)), "step {step:?} overwrites what it reads");
            }
            owner[bytes].fill(Some(step.writes));
        }
        if let Some(scratch) = step.scratch {
            owner[scratch.offset..scratch.offset + scratch.bytes].fill(None);
        }
    }
}

#[test]
fn resnet8_needs_three_planes_of_its_widest_stage() {
    let program = resnet8();
    let plan = plan(&program).expect("plans");
    shadow(&program, &plan);
    assert_eq!((plan.arena_bytes, plan.bound_bytes), (49_152, 49_152));
    assert_eq!((plan.input_bytes, plan.scores_bytes), (3072, 10));
    assert_eq!(plan.steps[3].in_place, Some(0));
}

#[test]
fn a_chain_needs_its_largest_neighbours() {
    let chain = vec![(conv(), vec![0], 100), (conv(), vec![1], 30), (conv(), vec![2], 70), (conv(), vec![3], 5)];
    let program = program(10, chain);
    let plan = plan(&program).expect("plans");
    shadow(&program, &plan);
    assert_eq!(plan.arena_bytes, 132, "100 + 30, rounded up to words");
}

#[test]
fn random_programs_keep_every_tensor_until_its_last_reader() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut loose = 0;
    for _ in 0..300 {
        let count = rng.random_range(1..25);
        let mut sizes = vec![64];
        let mut layers = Vec::new();
        for next in 1..=count {
            let near = |rng: &mut ChaCha8Rng| rng.random_range(u32::saturating_sub(next, 4)..next);
            let a = near(&mut rng);
            let equal: Vec<u32> = (1..next).filter(|&b| sizes[b as usize] == sizes[a as usize]).collect();
            let (op, inputs, bytes) = match rng.random_range(0..4) {
                0 if a > 0 => (ADD, vec![a, equal[rng.random_range(0..equal.len())]], sizes[a as usize]),
                1 => (Op::Lookup(vec![0; 256]), vec![a], sizes[a as usize]),
                2 if a > 0 && next > 1 => {
                    let b = rng.random_range(1..next);
                    (Op::Concat, vec![a, b], sizes[a as usize] + sizes[b as usize])
                }
                _ => (conv(), vec![a], [3, 16, 64, 65][rng.next_u32() as usize % 4]),
            };
            sizes.push(bytes);
            layers.push((op, inputs, bytes));
        }
        let program = program(64, layers);
        let plan = plan(&program).expect("plans");
        shadow(&program, &plan);
        assert!(plan.arena_bytes >= plan.bound_bytes);
        let all: usize = plan.placements.iter().map(|p| p.bytes.next_multiple_of(ALIGN)).sum();
        assert!(plan.arena_bytes <= all);
        loose += usize::from(plan.arena_bytes > plan.bound_bytes);
    }
    assert!(loose < 30, "{loose} of 300 random programs are above their bound");
}

/// Without room parts lie in their wholes only where that takes no RAM, with room only where it takes no more than the bytes
/// alive; that it would take some is what room is for.
#[test]
fn parts_take_no_more_arena_than_there_is_room_for() {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let (mut parts, mut dearer) = ([0; 2], 0);
    for _ in 0..300 {
        // Two branches of some layers each, side by side.
        let mut layers = vec![(conv(), vec![0], 64)];
        let mut ends = Vec::new();
        for _ in 0..2 {
            let mut last = 1;
            for _ in 0..rng.random_range(1..4) {
                layers.push((conv(), vec![last], [8, 64, 200][rng.next_u32() as usize % 3]));
                last = layers.len() as u32;
            }
            ends.push(last);
        }
        let bytes = ends.iter().map(|end| layers[*end as usize - 1].2).sum();
        layers.push((Op::Concat, ends, bytes));
        layers.push((conv(), vec![layers.len() as u32], 8));
        let mut program = program(64, layers);
        // Of eight rows, so that layers may run in bands.
        program.tensors.iter_mut().for_each(|t| t.shape = Hwc { h: 8, w: 1, c: t.shape.c / 8 });
        let kernels = vec![Kernel::Portable; program.layers.len()];
        let [plain, thrifty, free] = [None, Some(0), Some(usize::MAX)]
            .map(|parts| lay_out(&program, &kernels, &[], Ways { bands: true, parts }).expect("plans"));
        let (_, apart) = lives::lives(&program, &kernels, &[], &[], lives::InPlace::Never);
        assert!(plain.parts.is_empty() && thrifty.arena_bytes <= plain.arena_bytes);
        assert!(free.arena_bytes <= plain.arena_bytes.max(place::bound(&apart, &[])));
        parts = [parts[0] + thrifty.parts.len(), parts[1] + free.parts.len()];
        dearer += usize::from(free.arena_bytes > plain.arena_bytes);
    }
    assert!(parts[0] > 100 && parts[1] > parts[0] && dearer > 20, "{parts:?}, {dearer} with more arena");
}

/// Every kernel but these unpacks patches or weights.
fn gathers(kernel: Kernel) -> bool {
    !matches!(kernel, Kernel::Portable | Kernel::DspAdd | Kernel::DspPool | Kernel::DspMaxPool | Kernel::DspDense)
}

#[test]
fn dsp_kernels_get_scratch_memory_that_meets_no_tensor() {
    let program = resnet8();
    let target = Target::load("qemu-m4").expect("a shipped target");
    let plan = plan_for(&program, &target).expect("plans");
    shadow(&program, &plan);
    assert!(plan.steps.iter().all(|step| gathers(step.kernel) == step.scratch.is_some()));
    assert!(plan.family() == Some(Family::Dsp) && plan.arena_bytes > 49_152);
    let mut broken = plan.clone();
    broken.steps[2].scratch = Some(Scratch { offset: 0, bytes: plan.steps[2].scratch.expect("scratch").bytes });
    assert_eq!(broken.verify(&program).expect_err("it lies in a tensor").code, "plan/invalid");
    let families = [("qemu-m0", Family::V6m), ("qemu-m3", Family::V7m), ("qemu-m55", Family::Mve)];
    for (name, family) in families {
        let target = Target::load(name).expect("a shipped target");
        let plan = plan_for(&program, &target).expect("plans");
        shadow(&program, &plan);
        assert_eq!(plan.family(), Some(family), "{name}");
        assert!(plan.steps.iter().all(|step| gathers(step.kernel) == step.scratch.is_some()), "{name}");
    }
    assert_eq!(super::plan(&program).expect("plans").family(), None);
}

#[test]
fn raw_pixels_into_an_add_are_refused() {
    let program = program(16, vec![(conv(), vec![0], 16), (ADD, vec![0, 1], 16), (conv(), vec![2], 4)]);
    let error = plan(&program).expect_err("u8 pixels are not i8");
    insta::assert_snapshot!(error, @"raw u8 pixels reach a layer whose kernel reads i8 values only in layer `l1`; put a Lookup between the input and the layer [plan/raw-input]");
}

#[test]
fn a_broken_plan_is_caught() {
    let program = resnet8();
    let mut plan = plan(&program).expect("plans");
    plan.placements[2].offset = plan.placements[1].offset;
    let error = plan.verify(&program).expect_err("two tensors in one place");
    assert_eq!(error.code, "plan/invalid");
    assert!(error.what.contains("share bytes"), "{error}");
}
