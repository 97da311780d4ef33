//! When tensors are alive, and which of them are one block of memory.

use super::bands::Rows;
use super::place::Overlap;
use super::strips::{Rolling, Strip};
use super::{Kernel, Part, Step, needs};
use crate::qir::{Op, Program, TensorId};

/// Which outputs take an input's place. An output in place saves bytes at its own step but makes one long-lived
/// block out of two, so the planner tries all three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InPlace {
    /// The first input that may go.
    First,
    /// The last input that may go.
    Last,
    /// None.
    Never,
}

/// In order of preference among equals.
pub(super) const STRATEGIES: [InPlace; 3] = [InPlace::First, InPlace::Last, InPlace::Never];

/// The steps during which one tensor is needed, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    pub tensor: TensorId,
    pub first_step: usize,
    pub last_step: usize,
}

/// Tensors that follow each other in the same bytes, or the scratch memory of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub members: Vec<Life>,
    /// The step whose scratch memory it is; it has no members then.
    pub scratch_of: Option<usize>,
    pub bytes: usize,
}

impl Block {
    pub fn first_step(&self) -> usize {
        self.scratch_of.or(self.members.first().map(|life| life.first_step)).unwrap_or(0)
    }

    pub fn last_step(&self) -> usize {
        self.scratch_of.or(self.members.last().map(|life| life.last_step)).unwrap_or(0)
    }

    pub fn meets(&self, other: &Self) -> bool {
        self.first_step() <= other.last_step() && other.first_step() <= self.last_step()
    }
}

/// Steps in program order, and the blocks that need arena bytes, in order of their first step.
///
/// What a strip reads and writes is alive during all of it, a concatenation's output from the first of `parts` on that lies in
/// it.
pub(super) fn lives(
    program: &Program,
    kernels: &[Kernel],
    strips: &[Strip],
    parts: &[Part],
    strategy: InPlace,
) -> (Vec<Step>, Vec<Block>) {
    let strip_of = |step: usize| strips.iter().position(|strip| strip.has(step));
    let mut last_read = vec![0; program.tensors.len()];
    for (step, layer) in program.layers.iter().enumerate() {
        for input in &layer.inputs {
            last_read[input.index()] = strip_of(step).map_or(step, |strip| strips[strip].last);
        }
    }
    let mut steps = Vec::with_capacity(program.layers.len());
    let mut blocks: Vec<Block> = Vec::new();
    for ((step, layer), &kernel) in program.layers.iter().enumerate().zip(kernels) {
        let output = layer.output;
        let strip = strip_of(step);
        let (first_step, end) = strip.map_or((step, step), |strip| (strips[strip].first, strips[strip].last));
        let life = Life { tensor: output, first_step, last_step: last_read[output.index()].max(end) };
        let rolling = strip.and_then(|strip| strips[strip].rolling.iter().find(|rolling| rolling.tensor == output));
        let bytes = rolling.map_or(program.tensor(output).shape.len(), Rolling::bytes);
        let may_replace = |input: &TensorId| {
            *input != program.input()
                && *input != program.output
                && last_read[input.index()] == step
                && program.tensor(*input).shape.len() == bytes
                && layer.inputs.iter().filter(|other| *other == input).count() == 1
        };
        let part = parts.iter().find(|part| part.tensor == output);
        let in_place = if output == program.output || strip.is_some() || part.is_some() {
            None
        } else {
            match (&layer.op, strategy) {
                (Op::Add(_) | Op::Lookup(_), InPlace::First) => layer.inputs.iter().position(may_replace),
                (Op::Add(_) | Op::Lookup(_), InPlace::Last) => layer.inputs.iter().rposition(may_replace),
                // The gate itself is read for every position.
                (Op::Gate(_), InPlace::First | InPlace::Last) => {
                    layer.inputs.first().filter(|id| may_replace(id)).map(|_| 0)
                }
                (Op::Conv(_) | Op::Depthwise(_), InPlace::First | InPlace::Last) => {
                    let takes = needs::takes_in_place(program, layer, kernel);
                    layer.inputs.first().filter(|id| takes && may_replace(id)).map(|_| 0)
                }
                (Op::Add(_) | Op::Lookup(_) | Op::Gate(_) | Op::Conv(_) | Op::Depthwise(_), InPlace::Never)
                | (
                    Op::Grouped(_)
                    | Op::Dense(_)
                    | Op::MaxPool(_)
                    | Op::AvgPool(_)
                    | Op::Concat
                    | Op::Adapt(_)
                    | Op::Flatten,
                    InPlace::First | InPlace::Last | InPlace::Never,
                ) => None,
            }
        };
        let replaced = in_place.map(|input| layer.inputs[input]);
        // The whole is there from its first part on.
        let (life, bytes) = part.map_or((life, bytes), |part| {
            let (whole, bytes) = (part.whole, program.tensor(part.whole).shape.len());
            (Life { tensor: whole, first_step, last_step: life.last_step.max(last_read[whole.index()]) }, bytes)
        });
        let begun = blocks.iter().any(|block| block.members.iter().any(|member| member.tensor == life.tensor));
        let block =
            blocks.iter_mut().find(|block| block.members.last().is_some_and(|life| Some(life.tensor) == replaced));
        match block {
            Some(block) => block.members.push(life),
            _ if output == program.output || begun => {}
            _ => blocks.push(Block { members: vec![life], scratch_of: None, bytes }),
        }
        let scratch = needs::scratch_bytes(program, layer, kernel);
        if scratch > 0 {
            blocks.push(Block { members: Vec::new(), scratch_of: Some(step), bytes: scratch });
        }
        let reads = layer.inputs.clone();
        steps.push(Step { layer: step, reads, writes: output, in_place, kernel, scratch: None, bands: None, strip });
    }
    (steps, blocks)
}

/// The outputs that may lie over their inputs: rows of one tensor, read for the last time.
pub(super) fn overlaps(program: &Program, steps: &[Step], blocks: &[Block]) -> Vec<Overlap> {
    let overlap = |(step, turn): (usize, &Step)| {
        if turn.strip.is_some() {
            return None;
        }
        let once = |id: &TensorId| turn.reads.iter().filter(|read| *read == id).count() == 1;
        let in_arena = |id: &TensorId| *id != program.input() && *id != program.output;
        // Of several parts only one can lie under the end of the output: the largest.
        let parts = turn.reads.iter().enumerate().filter(|(_, id)| once(id));
        let (over, read) =
            parts.max_by_key(|(over, id)| (program.tensor(**id).shape.len(), std::cmp::Reverse(*over)))?;
        let rows = Rows::of(program, &program.layers[step], turn.kernel, over)?;
        let input = blocks.iter().position(|b| b.members.last().is_some_and(|life| life.tensor == *read))?;
        let output = blocks.iter().position(|b| b.members.first().is_some_and(|life| life.tensor == turn.writes))?;
        // With a part in its place the output is there before the step.
        let begins = blocks[output].first_step() == step;
        let last = input != output && begins && blocks[input].last_step() == step && turn.reads.iter().all(in_arena);
        last.then_some(Overlap { step, over, input, output, rows, band: rows.unit })
    };
    steps.iter().enumerate().filter_map(overlap).collect()
}
