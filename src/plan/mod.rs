//! Where every tensor of a program lies in memory, and what the program weighs.
//!
//! In: a verified [`Program`]. Out: a [`Plan`]: the layers in execution order, a byte range of one static arena
//! for every tensor that needs one, and the bytes of all constants. Guaranteed, and checked by [`Plan::verify`]:
//! no two tensors that are alive at the same step share a byte, except an output that takes the place of an
//! input its layer may overwrite; a kernel's scratch memory shares no byte with a tensor alive at its step; every
//! offset is a multiple of [`ALIGN`].
//!
//! Two tensors never cost arena bytes: the program's input stays in the caller's buffer, where the first
//! layers read it, and the scores are written into the caller's `Prediction`.
//!
//! - `lives`: when a tensor is alive, and which outputs may take an input's place
//! - `kernel`: which kernel runs a layer, its scratch memory and its weights' layout
//! - `place`: offsets
//! - `sizes`: bytes of weights and tables
//! - `check`: the invariants above

mod check;
mod kernel;
mod lives;
mod place;
mod sizes;

pub use kernel::{Kernel, pack};
pub use sizes::{LayerBytes, Sizes};

use crate::diag::{Diag, Result};
use crate::qir::{InputKind, Op, Program, TensorId};
use crate::target::Target;
use kernel::Features;

/// Alignment of every tensor in the arena, in bytes: kernels may load four values as one word, and
/// Cortex-M0 faults on unaligned words.
pub const ALIGN: usize = 4;

/// Where a tensor's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// The caller's input buffer, read only.
    Input,
    /// The arena, from this offset in bytes.
    Arena(usize),
    /// The scores the caller gets back.
    Scores,
}

/// One layer's turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Index into [`Program::layers`].
    pub layer: usize,
    /// Tensors it reads, in the layer's order.
    pub reads: Vec<TensorId>,
    /// The tensor it writes.
    pub writes: TensorId,
    /// Which of `reads` the output replaces, byte for byte; `None` if it has bytes of its own.
    pub in_place: Option<usize>,
    /// What runs it.
    pub kernel: Kernel,
    /// Memory that the kernel needs while it runs.
    pub scratch: Option<Scratch>,
}

/// Bytes of the arena that hold nothing before and after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scratch {
    /// Offset in the arena, in bytes, a multiple of [`ALIGN`].
    pub offset: usize,
    /// Bytes.
    pub bytes: usize,
}

/// A tensor's bytes in the arena, and the steps between which they hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// The tensor.
    pub tensor: TensorId,
    /// Offset in the arena, in bytes, a multiple of [`ALIGN`].
    pub offset: usize,
    /// Bytes.
    pub bytes: usize,
    /// The step that writes it.
    pub first_step: usize,
    /// The last step that reads it.
    pub last_step: usize,
}

/// Memory and order of one program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Layers in execution order.
    pub steps: Vec<Step>,
    /// Arena tensors, by id.
    pub placements: Vec<Placement>,
    /// Bytes of the arena, a multiple of [`ALIGN`].
    pub arena_bytes: usize,
    /// The most bytes of arena tensors and scratch memory alive at one step, outputs in place counted once: no placement
    /// can need less.
    pub bound_bytes: usize,
    /// Bytes of the caller's input buffer.
    pub input_bytes: usize,
    /// Bytes of the scores.
    pub scores_bytes: usize,
    /// Bytes of all constants.
    pub sizes: Sizes,
}

impl Plan {
    /// Whether a layer runs on a kernel for cores with the DSP extension.
    pub fn uses_dsp(&self) -> bool {
        self.steps.iter().any(|step| step.kernel != Kernel::Portable)
    }

    /// Where `tensor` is.
    pub fn home(&self, program: &Program, tensor: TensorId) -> Home {
        if tensor == program.input() {
            return Home::Input;
        }
        match self.placements.binary_search_by_key(&tensor, |p| p.tensor) {
            Ok(found) => Home::Arena(self.placements[found].offset),
            Err(_) => Home::Scores,
        }
    }
}

/// Plans `program` with portable kernels, for any core: keeps its order, and of several placements takes the smallest.
///
/// # Errors
/// `plan/no-layers` for a program without layers; `plan/raw-input` when raw `u8` pixels reach a layer whose
/// kernel reads `i8` only.
pub fn plan(program: &Program) -> Result<Plan> {
    plan_with(program, Features::NONE)
}

/// Like [`plan`], with the fastest kernels for the target's core.
///
/// # Errors
/// As [`plan`].
pub fn plan_for(program: &Program, target: &Target) -> Result<Plan> {
    plan_with(program, Features::of(target))
}

/// Channels that kernels of the target's core take at once: those for DSP instructions load four values as a word.
pub fn channel_granule(target: &Target) -> usize {
    if Features::of(target).dsp { 4 } else { 1 }
}

fn plan_with(program: &Program, features: Features) -> Result<Plan> {
    check_program(program)?;
    let kernels: Vec<Kernel> = program.layers.iter().map(|layer| kernel::choose(program, layer, features)).collect();
    let best = lives::STRATEGIES
        .iter()
        .map(|&strategy| {
            let (steps, blocks) = lives::lives(program, &kernels, strategy);
            let (offsets, bytes) = place::place(&blocks);
            (steps, blocks, offsets, bytes)
        })
        .min_by_key(|(.., bytes)| *bytes);
    let (mut steps, blocks, offsets, arena_bytes) = best.expect("there are strategies");
    for (block, &offset) in blocks.iter().zip(&offsets) {
        if let Some(step) = block.scratch_of {
            steps[step].scratch = Some(Scratch { offset, bytes: block.bytes });
        }
    }
    let mut placements: Vec<Placement> = blocks
        .iter()
        .zip(&offsets)
        .flat_map(|(block, &offset)| {
            block.members.iter().map(move |life| Placement {
                tensor: life.tensor,
                offset,
                bytes: block.bytes,
                first_step: life.first_step,
                last_step: life.last_step,
            })
        })
        .collect();
    placements.sort_by_key(|p| p.tensor);
    let plan = Plan {
        bound_bytes: place::bound(&blocks),
        steps,
        placements,
        arena_bytes,
        input_bytes: program.tensor(program.input()).shape.len(),
        scores_bytes: program.tensor(program.output).shape.len(),
        sizes: sizes::sizes(program, &kernels),
    };
    plan.verify(program)?;
    Ok(plan)
}

/// What the planner asks of a program beyond the program's own invariants.
fn check_program(program: &Program) -> Result<()> {
    if program.layers.is_empty() || program.output == program.input() {
        return Diag::new("plan/no-layers", "the program has no layer that computes the scores")
            .at(format!("program `{}`", program.name))
            .err();
    }
    let raw: Vec<&str> = program
        .layers
        .iter()
        .filter(|layer| program.input_kind == InputKind::U8 && layer.inputs.contains(&program.input()))
        .filter(|layer| matches!(layer.op, Op::Add(_) | Op::Concat))
        .map(|layer| layer.name.as_str())
        .collect();
    if raw.is_empty() {
        return Ok(());
    }
    Diag::new("plan/raw-input", "raw u8 pixels reach a layer whose kernel reads i8 values only")
        .at(format!("layer `{}`", raw.join("`, `")))
        .help("put a Lookup between the input and the layer")
        .err()
}

#[cfg(test)]
mod tests;
