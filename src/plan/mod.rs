//! Where every tensor of a program lies in memory, and what the program weighs.
//!
//! In: a verified [`Program`]. Out: a [`Plan`]: the layers in execution order, a byte range of one static arena
//! for every tensor that needs one, and the bytes of all constants. Guaranteed, and checked by [`Plan::verify`]:
//! no two tensors that are alive at the same step share a byte, except an output that takes the place of an
//! input its layer may overwrite and an output that follows its input band by band; a kernel's scratch memory shares no byte with a tensor alive at its step; every
//! offset is a multiple of [`ALIGN`].
//!
//! Two tensors never cost arena bytes: the program's input stays in the caller's buffer, where the first
//! layers read it, and the scores are written into the caller's `Prediction`.
//!
//! - `lives`: when a tensor is alive, and which outputs may take an input's place
//! - `kernel`: the kernels there are; `candidates`: which can run a layer; `needs`: their scratch memory
//! - `choose`: the fastest of each layer
//! - `pack`: its weights' layout
//! - `parts`: outputs that lie in a concatenation's
//! - `bands`: layers that run some rows at a time, with their output over their input
//! - `strips`: runs of layers that advance together, a few rows at a time; `strip_search`: which of them to take
//! - `cost`, `fitted`: what a kernel will cost
//! - `select`, `budget`: the kernels that are best together, within limits
//! - `layout`: everything in its place; `place`: offsets
//! - `sizes`: bytes of weights and tables
//! - `code`: bytes of code
//! - `check`: the invariants above

mod bands;
mod budget;
mod candidates;
mod check;
mod choose;
pub mod code;
pub mod cost;
mod fitted;
mod kernel;
mod layout;
mod lives;
mod needs;
mod pack;
mod parts;
mod place;
mod select;
mod sizes;
mod strip_search;
mod strips;

pub use bands::Bands;
pub use budget::{code_bytes, estimate, flash_bound, plan_as, plan_whole};
pub use kernel::{Family, Kernel};
pub use needs::{Shapes, as_conv, columns, leaves_one};
pub use pack::{Packed, pack};
pub use parts::Part;
pub use select::{Estimate, Optimize, Options};
pub use sizes::{LayerBytes, Sizes};
pub use strips::{Rolling, Strip, Turn};

use crate::diag::{Diag, Result};
use crate::qir::{InputKind, Op, Program, TensorId};
use crate::target::Target;
use candidates::Features;
use layout::{Ways, lay_out};

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
    /// The arena, from `offset` on, its positions `pitch` bytes apart: in the bytes of a concatenation, see [`Part`].
    Part {
        /// Offset in bytes of the first value.
        offset: usize,
        /// Bytes from a position's channels to the next one's.
        pitch: usize,
    },
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
    /// Set where the output lies over the input: the layer runs band by band.
    pub bands: Option<Bands>,
    /// Index into [`Plan::strips`] of the strip that the layer is part of.
    pub strip: Option<usize>,
}

impl Step {
    /// Whether the layer computes some rows of its output at a time.
    pub fn by_rows(&self) -> bool {
        self.bands.is_some() || self.strip.is_some()
    }
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
    /// Bytes; of a tensor that is never whole those of the rows that are kept.
    pub bytes: usize,
    /// The step that writes it, or first writes a [`Part`] of it; in a strip, the strip's first.
    pub first_step: usize,
    /// The last step that reads it; in a strip, the strip's last.
    pub last_step: usize,
}

/// Memory and order of one program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Layers in execution order.
    pub steps: Vec<Step>,
    /// Layers that advance together, in order; no two of them share a layer.
    pub strips: Vec<Strip>,
    /// Arena tensors with bytes of their own, by id.
    pub placements: Vec<Placement>,
    /// Tensors that lie in others, by id.
    pub parts: Vec<Part>,
    /// Bytes of the arena, a multiple of [`ALIGN`].
    pub arena_bytes: usize,
    /// The most bytes of arena tensors and scratch memory alive at one step, outputs in place and outputs over their
    /// inputs counted once: no placement can need less.
    pub bound_bytes: usize,
    /// Bytes of the caller's input buffer.
    pub input_bytes: usize,
    /// Bytes of the scores.
    pub scores_bytes: usize,
    /// Bytes of all constants.
    pub sizes: Sizes,
}

impl Plan {
    /// Whose assembly the layers run on, of one core and thus of one family; `None` where all kernels are plain Rust.
    pub fn family(&self) -> Option<Family> {
        self.steps.iter().find_map(|step| step.kernel.family())
    }

    /// Bytes of the arena that hold a tensor or are scratch memory while a step runs, each counted once.
    pub fn bytes_held(&self, step: usize) -> usize {
        let alive = self.placements.iter().filter(|p| (p.first_step..=p.last_step).contains(&step));
        let scratch = self.steps[step].scratch.map(|s| (s.offset, s.bytes));
        let mut held: Vec<(usize, usize)> = alive.map(|p| (p.offset, p.bytes)).chain(scratch).collect();
        held.sort_unstable();
        let add = |(sum, end): (usize, usize), (offset, bytes): (usize, usize)| {
            (sum + (offset + bytes).saturating_sub(end.max(offset)), end.max(offset + bytes))
        };
        held.into_iter().fold((0, 0), add).0
    }

    /// Where `tensor` is.
    pub fn home(&self, program: &Program, tensor: TensorId) -> Home {
        if tensor == program.input() {
            return Home::Input;
        }
        if let Ok(found) = self.placements.binary_search_by_key(&tensor, |p| p.tensor) {
            return Home::Arena(self.placements[found].offset);
        }
        let Some(part) = self.part(tensor) else { return Home::Scores };
        let whole = self.placements.binary_search_by_key(&part.whole, |p| p.tensor);
        let offset = whole.map_or(0, |found| self.placements[found].offset);
        Home::Part { offset: offset + part.channel, pitch: program.tensor(part.whole).shape.c }
    }

    /// Where `tensor` lies in another one, if it does.
    pub fn part(&self, tensor: TensorId) -> Option<&Part> {
        self.parts.binary_search_by_key(&tensor, |part| part.tensor).ok().map(|found| &self.parts[found])
    }

    /// Of an amount that goes with the bytes of the inputs of `step`, what goes with those that it has to copy.
    pub fn copied_share(&self, program: &Program, step: &Step, amount: u64) -> u64 {
        let bytes = |id: TensorId| program.tensor(id).shape.len() as u64;
        let all: u64 = step.reads.iter().map(|id| bytes(*id)).sum();
        amount * self.copied(step).map(bytes).sum::<u64>() / all.max(1)
    }

    /// The inputs of `step` that are not already where it would put them.
    pub fn copied(&self, step: &Step) -> impl Iterator<Item = TensorId> {
        step.reads.iter().copied().filter(|id| self.part(*id).is_none_or(|part| part.whole != step.writes))
    }
}

/// Plans `program` with portable kernels, for any core: keeps its order, and of several placements takes the smallest.
///
/// # Errors
/// `plan/no-layers` for a program without layers; `plan/raw-input` when raw `u8` pixels reach a layer whose
/// kernel reads `i8` only.
pub fn plan(program: &Program) -> Result<Plan> {
    plan_with(program, Features::NONE, 0, 0)
}

/// Like [`plan`], with the fastest kernels for the target's core whose constants fit its flash.
///
/// # Errors
/// As [`plan`].
pub fn plan_for(program: &Program, target: &Target) -> Result<Plan> {
    let input = program.tensor(program.input()).shape.len();
    let room = usize::try_from(target.room_bytes()).unwrap_or(usize::MAX).saturating_sub(input);
    plan_with(program, Features::of(target), target.flash_bytes(), room)
}

/// Plans `program` with these kernels, one a layer, each of which must be among [`cost::candidates`]. All layers run
/// whole, none in bands, and every output has bytes of its own.
///
/// # Errors
/// As [`plan`].
pub fn plan_kernels(program: &Program, kernels: &[Kernel]) -> Result<Plan> {
    check_program(program)?;
    lay_out(program, kernels, &[], Ways { bands: false, parts: None })
}

/// Channels that kernels of the target's core take at once: those for DSP instructions load four values as a word.
pub fn channel_granule(target: &Target) -> usize {
    if Features::of(target).dsp { 4 } else { 1 }
}

fn plan_with(program: &Program, features: Features, flash: u64, room: usize) -> Result<Plan> {
    check_program(program)?;
    let kernels = choose::choose(program, features, flash);
    lay_out(program, &kernels, &[], Ways { bands: true, parts: Some(room) })
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
        .filter(|layer| matches!(layer.op, Op::Add(_) | Op::Gate(_) | Op::Concat | Op::Flatten))
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
