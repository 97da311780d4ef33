//! When tensors are alive, and which of them are one block of memory.

use super::Step;
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

/// Tensors that follow each other in the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub members: Vec<Life>,
    pub bytes: usize,
}

impl Block {
    pub fn first_step(&self) -> usize {
        self.members.first().map_or(0, |life| life.first_step)
    }

    pub fn last_step(&self) -> usize {
        self.members.last().map_or(0, |life| life.last_step)
    }

    pub fn meets(&self, other: &Self) -> bool {
        self.first_step() <= other.last_step() && other.first_step() <= self.last_step()
    }
}

/// Steps in program order, and the blocks that need arena bytes, in order of their first step.
pub(super) fn lives(program: &Program, strategy: InPlace) -> (Vec<Step>, Vec<Block>) {
    let mut last_read = vec![0; program.tensors.len()];
    for (step, layer) in program.layers.iter().enumerate() {
        for input in &layer.inputs {
            last_read[input.index()] = step;
        }
    }
    let mut steps = Vec::with_capacity(program.layers.len());
    let mut blocks: Vec<Block> = Vec::new();
    for (step, layer) in program.layers.iter().enumerate() {
        let output = layer.output;
        let life = Life { tensor: output, first_step: step, last_step: last_read[output.index()].max(step) };
        let bytes = program.tensor(output).shape.len();
        let may_replace = |input: &TensorId| {
            *input != program.input()
                && *input != program.output
                && last_read[input.index()] == step
                && program.tensor(*input).shape.len() == bytes
                && layer.inputs.iter().filter(|other| *other == input).count() == 1
        };
        let in_place = if output == program.output {
            None
        } else {
            match (&layer.op, strategy) {
                (Op::Add(_) | Op::Lookup(_), InPlace::First) => layer.inputs.iter().position(may_replace),
                (Op::Add(_) | Op::Lookup(_), InPlace::Last) => layer.inputs.iter().rposition(may_replace),
                (Op::Add(_) | Op::Lookup(_), InPlace::Never)
                | (
                    Op::Conv(_) | Op::Depthwise(_) | Op::Dense(_) | Op::MaxPool(_) | Op::AvgPool(_) | Op::Concat,
                    InPlace::First | InPlace::Last | InPlace::Never,
                ) => None,
            }
        };
        let replaced = in_place.map(|input| layer.inputs[input]);
        let block = blocks.iter_mut().find(|block| block.members.last().map(|life| life.tensor) == replaced);
        match block {
            Some(block) if replaced.is_some() => block.members.push(life),
            _ if output == program.output => {}
            _ => blocks.push(Block { members: vec![life], bytes }),
        }
        steps.push(Step { layer: step, reads: layer.inputs.clone(), writes: output, in_place });
    }
    (steps, blocks)
}
