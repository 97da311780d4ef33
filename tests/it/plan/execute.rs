//! A plan carried out in one arena with the simulation's kernels.

use std::ops::Range;

use fratc::plan::{Home, Plan, Step, Strip};
use fratc::qir::{Bias, InputKind, Op, Program, TensorId};
use fratc::sim::{self, Values, run_layer};

/// An arena and what it is for.
struct Machine<'a> {
    program: &'a Program,
    plan: &'a Plan,
    input: &'a [u8],
    arena: Vec<i8>,
    scores: Vec<i8>,
}

/// The scores of `program` computed as `plan` says; what is scratch memory to a kernel is filled with noise.
pub fn execute(program: &Program, plan: &Plan, input: &[u8]) -> Vec<i8> {
    let mut machine = Machine { program, plan, input, arena: vec![0x55; plan.arena_bytes], scores: Vec::new() };
    for (index, step) in plan.steps.iter().enumerate() {
        match (step.strip.map(|strip| &plan.strips[strip]), step.bands) {
            (Some(strip), _) if strip.first == index => machine.strip(strip),
            (Some(_), _) => {}
            (None, Some(bands)) => {
                let height = program.tensor(step.writes).shape.h;
                bands.ranges(height).into_iter().for_each(|rows| machine.rows(step, &rows, |_| 0));
            }
            (None, None) => machine.whole(step),
        }
    }
    machine.scores
}

impl Machine<'_> {
    fn row(&self, id: TensorId) -> usize {
        self.program.tensor(id).shape.w * self.program.tensor(id).shape.c
    }

    /// Rows `rows` of a tensor, of which memory starts with row `first`.
    fn values(&self, id: TensorId, rows: &Range<usize>, first: usize) -> Vec<i8> {
        let row = self.row(id);
        match self.plan.home(self.program, id) {
            Home::Arena(at) => self.arena[at..][(rows.start - first) * row..(rows.end - first) * row].to_vec(),
            Home::Part { offset, pitch } => {
                let shape = self.program.tensor(id).shape;
                let positions = self.arena[offset..].chunks(pitch).take(shape.h * shape.w);
                positions.flat_map(|position| position[..shape.c].to_vec()).collect()
            }
            _ => self.input[rows.start * row..rows.end * row].iter().map(|&p| p as i8).collect(),
        }
    }

    fn noise(&mut self, step: &Step) {
        if let Some(scratch) = step.scratch {
            self.arena[scratch.offset..scratch.offset + scratch.bytes].fill(-0x56);
        }
    }

    fn whole(&mut self, step: &Step) {
        self.noise(step);
        let all = |id: &TensorId| self.values(*id, &(0..self.program.tensor(*id).shape.h), 0);
        let inputs: Vec<Vec<i8>> = step.reads.iter().map(all).collect();
        let output = run(self.program, step, &self.program.layers[step.layer].op, &inputs);
        match self.plan.home(self.program, step.writes) {
            Home::Arena(at) => self.arena[at..][..output.len()].copy_from_slice(&output),
            Home::Part { offset, pitch } => {
                let channels = self.program.tensor(step.writes).shape.c;
                for (position, values) in self.arena[offset..].chunks_mut(pitch).zip(output.chunks(channels)) {
                    position[..channels].copy_from_slice(values);
                }
            }
            _ => self.scores = output,
        }
    }

    /// Computes `rows` of the output; `first` says with which row a tensor's memory starts.
    fn rows(&mut self, step: &Step, rows: &Range<usize>, first: impl Fn(TensorId) -> usize) {
        self.noise(step);
        let mut program = self.program.clone();
        let mut op = program.layers[step.layer].op.clone();
        let window = match &mut op {
            Op::Conv(conv) | Op::Depthwise(conv) => {
                if let Bias::Border { rows: classes, .. } = &mut conv.bias {
                    *classes = classes[rows.clone()].to_vec();
                }
                Some(&mut conv.window)
            }
            Op::MaxPool(window) => Some(window),
            Op::AvgPool(pool) => Some(&mut pool.window),
            Op::Concat | Op::Add(_) | Op::Lookup(_) => None,
            other => unreachable!("{} has no rows", other.name()),
        };
        let mut read = rows.clone();
        if let Some(window) = window {
            let [from, to] = [step.reads[0], step.writes].map(|id| sim::hwc(program.tensor(id).shape));
            let whole = sim::window(window);
            read = whole.rows_read(rows, from.h);
            window.pad = whole.band(from, to, rows).2.pad;
        }
        let inputs: Vec<Vec<i8>> = step.reads.iter().map(|&id| self.values(id, &read, first(id))).collect();
        for id in &step.reads {
            program.tensors[id.index()].shape.h = read.len();
        }
        program.tensors[step.writes.index()].shape.h = rows.len();
        let output = run(&program, step, &op, &inputs);
        let Home::Arena(at) = self.plan.home(self.program, step.writes) else { unreachable!("{step:?}") };
        let at = at + (rows.start - first(step.writes)) * self.row(step.writes);
        self.arena[at..][..output.len()].copy_from_slice(&output);
    }

    fn strip(&mut self, strip: &Strip) {
        for (at, turn) in strip.turns.iter().enumerate() {
            for (rolling, held) in strip.rolling.iter().zip(0..) {
                let Home::Arena(offset) = self.plan.home(self.program, rolling.tensor) else { unreachable!() };
                let before = at.checked_sub(1).map_or(0, |before| strip.turns[before].held[held]);
                let end = turn.rows[rolling.layer].start;
                let [from, to] = [turn.held[held], end].map(|y| offset + (y - before) * rolling.row_bytes);
                self.arena.copy_within(from..to, offset);
            }
            for (step, rows) in self.plan.steps[strip.first..=strip.last].iter().zip(&turn.rows) {
                if !rows.is_empty() {
                    self.rows(step, rows, |id| strip.rolls(id).map_or(0, |at| turn.held[at]));
                }
            }
        }
    }
}

/// The output of the layer of `step`, of this `program` with the shapes of some rows.
fn run(program: &Program, step: &Step, op: &Op, inputs: &[Vec<i8>]) -> Vec<i8> {
    let mut layer = program.layers[step.layer].clone();
    layer.op = op.clone();
    let bytes: Vec<Vec<u8>> = inputs.iter().map(|x| x.iter().map(|v| v.cast_unsigned()).collect()).collect();
    let raw = |id: TensorId| program.input_kind == InputKind::U8 && id == program.input();
    let values = step.reads.iter().zip(inputs).zip(&bytes);
    let values: Vec<Values<'_>> =
        values.map(|((&id, x), bytes)| if raw(id) { Values::U8(bytes) } else { Values::I8(x) }).collect();
    run_layer(program, &layer, &values)
}
