//! Parts of concatenations that their layers write straight into the whole.
//!
//! A layer whose output nothing reads but one concatenation may put each position's channels where that would copy them:
//! its kernel goes from position to position by the whole's channels. What is left of the concatenation is to copy the
//! other parts, if there are any. The whole lives from the first such part on, so it is not always worth its bytes.

use super::layout::Layout;
use super::strips::Strip;
use crate::qir::{Op, Program, TensorId};

/// A tensor that is part of another one's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The tensor.
    pub tensor: TensorId,
    /// The concatenation's output.
    pub whole: TensorId,
    /// The first of its channels there.
    pub channel: usize,
}

impl Part {
    /// Bytes from the part's first value to its last, with what lies between.
    pub fn span(&self, program: &Program) -> usize {
        let [own, whole] = [self.tensor, self.whole].map(|id| program.tensor(id).shape);
        (whole.h * whole.w).saturating_sub(1) * whole.c + own.c
    }
}

/// Whether all kernels for `op` can leave room between one position's outputs and the next one's.
fn takes_pitch(op: &Op) -> bool {
    matches!(op, Op::Conv(_) | Op::MaxPool(_))
}

/// The parts of the concatenation at `step` that may lie in it.
fn of(program: &Program, strips: &[Strip], step: usize) -> Vec<Part> {
    let layer = &program.layers[step];
    let in_strip = |step: usize| strips.iter().any(|strip| strip.has(step));
    if layer.op != Op::Concat || layer.output == program.output || in_strip(step) {
        return Vec::new();
    }
    let mut channel = 0;
    let mut parts = Vec::new();
    for &tensor in &layer.inputs {
        let reads = program.layers.iter().flat_map(|layer| &layer.inputs).filter(|id| **id == tensor).count();
        let writer = program.layers.iter().position(|layer| layer.output == tensor);
        let writes = |at: usize| takes_pitch(&program.layers[at].op) && !in_strip(at);
        if reads == 1 && writer.is_some_and(writes) {
            parts.push(Part { tensor, whole: layer.output, channel });
        }
        channel += program.tensor(tensor).shape.c;
    }
    parts
}

/// All that may be, by tensor.
pub(super) fn candidates(program: &Program, strips: &[Strip]) -> Vec<Part> {
    let mut parts: Vec<Part> = (0..program.layers.len()).flat_map(|step| of(program, strips, step)).collect();
    parts.sort_by_key(|part| part.tensor);
    parts
}

/// `plain`, or a layout with parts in their wholes, where that takes no more bytes or no more than `room`: those of all
/// concatenations, or else of as many as can be, first come first served. `layout` is the smallest with these parts.
pub(super) fn worth(plain: Layout, all: &[Part], room: usize, layout: impl Fn(&[Part]) -> Layout) -> Layout {
    if all.is_empty() {
        return plain;
    }
    let with_all = layout(all);
    if with_all.bytes <= plain.bytes.max(room) {
        return with_all;
    }
    let mut wholes: Vec<TensorId> = all.iter().map(|part| part.whole).collect();
    wholes.sort_unstable();
    wholes.dedup();
    let mut best = plain;
    for whole in wholes {
        let mut more: Vec<Part> = all.iter().filter(|part| part.whole == whole).copied().collect();
        more.extend(&best.parts);
        more.sort_by_key(|part| part.tensor);
        let found = layout(&more);
        if found.bytes <= best.bytes.max(room) {
            best = found;
        }
    }
    best
}
