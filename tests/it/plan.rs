//! Arena plans of programs with rows and columns: who owns each byte, band by band, and how small they are.

use std::ops::Range;

use fratc::plan::{Home, Plan, Step, plan, plan_for};
use fratc::qir::pass::{Options, simplify};
use fratc::qir::{Hwc, InputKind, Op, Program, TensorId, Window};
use fratc::sim::{self, Values, run_layer};
use fratc::target::Target;

use crate::programs::{self, Pattern};
use crate::random_program::random;
use crate::simplify::model;

/// An arena whose bytes remember which byte of which tensor they hold.
struct Shadow<'a> {
    program: &'a Program,
    plan: &'a Plan,
    owner: Vec<Option<(TensorId, usize)>>,
}

impl<'a> Shadow<'a> {
    /// Runs the plan; fails on any read of a byte that holds something else by then.
    fn run(program: &'a Program, plan: &'a Plan) {
        let mut shadow = Self { program, plan, owner: vec![None; plan.arena_bytes] };
        for step in &plan.steps {
            match step.bands {
                None => {
                    for (input, id) in step.reads.iter().enumerate() {
                        shadow.read(step, *id, 0..shadow.len(*id), step.in_place != Some(input));
                    }
                    shadow.scribble(step);
                    shadow.write(step, 0..shadow.len(step.writes));
                }
                Some(bands) => {
                    let height = program.tensor(step.writes).shape.h;
                    let mut bands: Vec<Range<usize>> =
                        (0..height).step_by(bands.rows).map(|y| y..(y + bands.rows).min(height)).collect();
                    if step.bands.is_some_and(|bands| bands.upward) {
                        bands.reverse();
                    }
                    for rows in bands {
                        let row = |shape: Hwc| shape.w * shape.c;
                        let to = row(program.tensor(step.writes).shape);
                        let read = |shadow: &Self| {
                            for id in &step.reads {
                                let from = row(program.tensor(*id).shape);
                                for y in read_rows(program, step, &rows) {
                                    shadow.read(step, *id, y * from..(y + 1) * from, true);
                                }
                            }
                        };
                        // A kernel may read and write the rows of a band in any order.
                        read(&shadow);
                        shadow.scribble(step);
                        shadow.write(step, rows.start * to..rows.end * to);
                        read(&shadow);
                    }
                }
            }
            // The observer, and whoever reads it later.
            shadow.read(step, step.writes, 0..shadow.len(step.writes), false);
        }
    }

    fn len(&self, id: TensorId) -> usize {
        self.program.tensor(id).shape.len()
    }

    fn read(&self, step: &Step, id: TensorId, bytes: Range<usize>, apart: bool) {
        let Home::Arena(offset) = self.plan.home(self.program, id) else { return };
        for at in bytes {
            assert_eq!(self.owner[offset + at], Some((id, at)), "byte {at} of {id:?} is gone: {step:?}");
        }
        if let (true, None, Home::Arena(to)) = (apart, step.bands, self.plan.home(self.program, step.writes)) {
            let meet = to < offset + self.len(id) && offset < to + self.len(step.writes);
            assert!(!meet, "{step:?} writes what it reads");
        }
    }

    fn write(&mut self, step: &Step, bytes: Range<usize>) {
        let Home::Arena(offset) = self.plan.home(self.program, step.writes) else { return };
        for at in bytes {
            self.owner[offset + at] = Some((step.writes, at));
        }
    }

    /// What a kernel leaves in its scratch memory is nobody's.
    fn scribble(&mut self, step: &Step) {
        if let Some(scratch) = step.scratch {
            self.owner[scratch.offset..scratch.offset + scratch.bytes].fill(None);
        }
    }
}

/// The scores of `program` computed in one arena, as `plan` says, with the simulation's kernels; what is scratch memory to a
/// kernel is filled with noise.
fn execute(program: &Program, plan: &Plan, input: &[u8]) -> Vec<i8> {
    let mut arena = vec![0x55_i8; plan.arena_bytes];
    let mut scores = Vec::new();
    let row = |id: TensorId| program.tensor(id).shape.w * program.tensor(id).shape.c;
    for step in &plan.steps {
        let layer = &program.layers[step.layer];
        let at = |id: TensorId| match plan.home(program, id) {
            Home::Arena(offset) => offset,
            other => unreachable!("{id:?} is {other:?}"),
        };
        if let Some(scratch) = step.scratch {
            arena[scratch.offset..scratch.offset + scratch.bytes].fill(-0x56);
        }
        let Some(bands) = step.bands else {
            let taken: Vec<Vec<i8>> = step
                .reads
                .iter()
                .map(|&id| match plan.home(program, id) {
                    Home::Arena(offset) => arena[offset..offset + program.tensor(id).shape.len()].to_vec(),
                    Home::Input | Home::Scores => input.iter().map(|&p| p as i8).collect(),
                })
                .collect();
            let raw = program.input_kind == InputKind::U8;
            let values =
                step.reads.iter().zip(&taken).map(|(&id, taken)| {
                    if raw && id == program.input() { Values::U8(input) } else { Values::I8(taken) }
                });
            let output = run_layer(program, layer, &values.collect::<Vec<_>>());
            if step.writes == program.output {
                scores = output;
            } else {
                arena[at(step.writes)..][..output.len()].copy_from_slice(&output);
            }
            continue;
        };
        let (x, y) = (step.reads[0], step.writes);
        let [from, to] = [x, y].map(|id| sim::hwc(program.tensor(id).shape));
        let mut program = program.clone();
        if layer.op == Op::Concat {
            for rows in bands.ranges(to.h) {
                let of = |id: TensorId| rows.start * row(id)..rows.end * row(id);
                let parts: Vec<Vec<i8>> = step.reads.iter().map(|&id| arena[at(id)..][of(id)].to_vec()).collect();
                for id in layer.inputs.iter().chain([&layer.output]) {
                    program.tensors[id.index()].shape.h = rows.len();
                }
                let values: Vec<Values<'_>> = parts.iter().map(|part| Values::I8(part)).collect();
                let output = run_layer(&program, layer, &values);
                arena[at(y)..][of(y)].copy_from_slice(&output);
            }
            continue;
        }
        for rows in bands.ranges(to.h) {
            let mut layer = layer.clone();
            let window = match &mut layer.op {
                Op::Conv(conv) | Op::Depthwise(conv) => &mut conv.window,
                Op::MaxPool(window) => window,
                Op::AvgPool(pool) => &mut pool.window,
                other => unreachable!("{} has no rows", other.name()),
            };
            let whole = sim::window(window);
            let (input, output, band) = whole.band(from, to, &rows);
            window.pad = band.pad;
            program.tensors[x.index()].shape.h = input.h;
            program.tensors[y.index()].shape.h = output.h;
            let read = whole.rows_read(&rows, from.h);
            let values = arena[at(x)..][read.start * row(x)..read.end * row(x)].to_vec();
            let output = run_layer(&program, &layer, &[Values::I8(&values)]);
            arena[at(y)..][rows.start * row(y)..rows.end * row(y)].copy_from_slice(&output);
        }
    }
    scores
}

#[test]
fn programs_run_in_their_arena() {
    let targets = ["qemu-m4", "qemu-m0"].map(|name| Target::load(name).expect("a shipped target"));
    let mut banded = 0;
    for program in programs::all().into_iter().chain((200..300).map(|seed| random(seed, 8))) {
        for target in &targets {
            let plan = plan_for(&program, target).expect("plans");
            banded += plan.steps.iter().filter(|step| step.bands.is_some()).count();
            let mut pattern = Pattern::new(5);
            for _ in 0..2 {
                let sample = pattern.sample(&program);
                assert_eq!(execute(&program, &plan, &sample), sim::run(&program, &sample), "{program}\n{plan:?}");
            }
        }
    }
    assert!(banded > 60, "{banded} steps in bands");
}

/// Input rows under the taps of output rows, tap by tap.
fn read_rows(program: &Program, step: &Step, rows: &Range<usize>) -> Vec<usize> {
    let each = Window { kernel: [1, 1], stride: [1, 1], dilation: [1, 1], pad: [0, 0] };
    let window: &Window = match &program.layers[step.layer].op {
        Op::Concat => &each,
        Op::Conv(conv) | Op::Depthwise(conv) => &conv.window,
        Op::MaxPool(window) => window,
        Op::AvgPool(pool) => &pool.window,
        other => unreachable!("{} has no rows", other.name()),
    };
    let height = program.tensor(step.reads[0]).shape.h;
    let taps = rows.clone().flat_map(|y| {
        (0..window.kernel[0])
            .filter_map(move |k| (y * window.stride[0] + k * window.dilation[0]).checked_sub(window.pad[0]))
    });
    taps.filter(|y| *y < height).collect()
}

/// Bytes by plain liveness: tensors and scratch memory alive at once, every tensor in bytes of its own.
fn liveness(program: &Program, plan: &Plan) -> usize {
    let alive = |step: usize| {
        let tensors = plan.placements.iter().filter(|p| (p.first_step..=p.last_step).contains(&step));
        let scratch = plan.steps[step].scratch.map_or(0, |s| s.bytes.next_multiple_of(4));
        tensors.map(|p| p.bytes.next_multiple_of(4)).sum::<usize>() + scratch
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
