//! Which strips to run layers in, for kernels that are chosen already.
//!
//! Greedy: of all runs of layers that may go in strips, and a few numbers of rows for a turn, the one that makes the whole
//! best, then another one beside it, for as long as the whole becomes better. A run that leaves out the step with the most
//! bytes alive cannot help and is not tried. RAM is that of the liveness bound until a strip is taken; then it is the plan's.

use super::bands::row_window;
use super::layout::Layout;
use super::lives::{self, STRATEGIES};
use super::place::{self, Overlap};
use super::strips::Strip;
use super::{Kernel, needs};
use crate::qir::Program;

/// Most layers of a strip: the rows that early layers must be ahead add up.
const MOST_LAYERS: usize = 16;

/// Rows of the last layer in a turn.
const ROWS: [usize; 5] = [1, 2, 4, 8, 16];

/// Instructions of a layer's call in a turn, beside its kernel's, about: its rows, slices and struct.
const CALL: u64 = 150;

/// A part of so many of a row's instructions goes for each row that a kernel would do beside others in the same time: kernels
/// take fewer rows than they like at less than the cost of as many as they like. Of two networks measured in strips, one
/// took a third for them, the other a sixth.
const IN_VAIN: u64 = 4;

/// Candidates whose arena is laid out before a round gives up.
const TRIES: usize = 6;

/// Strips, and what they make of the whole.
#[derive(Debug, Clone)]
struct Found {
    strips: Vec<Strip>,
    /// Bytes of the arena.
    arena: usize,
    /// Estimated instructions on top of the kernels'.
    more: u64,
}

/// The strips for which `key` of the arena's bytes and the instructions on top is least; none at all may be best.
/// `instructions` are those of each layer run whole.
pub(super) fn best(
    program: &Program,
    kernels: &[Kernel],
    instructions: &[u64],
    key: impl Fn(usize, u64) -> [u128; 2],
) -> Vec<Strip> {
    let mut found = Found { strips: Vec::new(), arena: arena(program, kernels, &[]), more: 0 };
    loop {
        let mut candidates: Vec<([u128; 2], Vec<Strip>, u64)> = Vec::new();
        for strip in candidates_beside(program, kernels, &found) {
            let more = found.more + overhead(program, kernels, instructions, &strip);
            let mut strips = found.strips.clone();
            strips.push(strip);
            strips.sort_by_key(|strip| strip.first);
            let least = bound(program, kernels, &strips);
            if key(least, more) < key(found.arena, found.more) {
                candidates.push((key(least, more), strips, more));
            }
        }
        candidates.sort_by_key(|(key, ..)| *key);
        let laid_out = candidates.into_iter().take(TRIES).map(|(_, strips, more)| {
            let arena = arena(program, kernels, &strips);
            Found { strips, arena, more }
        });
        let Some(better) = laid_out.min_by_key(|found| key(found.arena, found.more)) else { return found.strips };
        if key(better.arena, better.more) >= key(found.arena, found.more) {
            return found.strips;
        }
        found = better;
    }
}

/// Strips beside those of `found` that hold the step with the most bytes alive.
fn candidates_beside(program: &Program, kernels: &[Kernel], found: &Found) -> Vec<Strip> {
    let layers = program.layers.len();
    let (_, blocks) = lives::lives(program, kernels, &found.strips, &[], STRATEGIES[0]);
    let alive = |step: usize| {
        let of_step = blocks.iter().filter(|block| (block.first_step()..=block.last_step()).contains(&step));
        of_step.map(|block| block.bytes).sum::<usize>()
    };
    let Some(peak) = (0..layers).rev().max_by_key(|&step| alive(step)) else { return Vec::new() };
    let free = |step: usize| !found.strips.iter().any(|strip| strip.has(step));
    let may = |step: &usize| free(*step) && row_window(&program.layers[*step].op).is_some();
    let firsts = (0..=peak).rev().take_while(may);
    firsts
        .flat_map(|first| (peak..layers.min(first + MOST_LAYERS)).take_while(may).map(move |last| (first, last)))
        .flat_map(|(first, last)| ROWS.iter().filter_map(move |&rows| Strip::of(program, first, last, rows)))
        .collect()
}

/// Outputs over inputs that some layout may use.
fn overlaps(
    program: &Program,
    kernels: &[Kernel],
    strips: &[Strip],
) -> impl Iterator<Item = (Vec<lives::Block>, Vec<Overlap>)> {
    STRATEGIES.into_iter().map(move |strategy| {
        let (steps, blocks) = lives::lives(program, kernels, strips, &[], strategy);
        let overlaps = lives::overlaps(program, &steps, &blocks);
        (blocks, overlaps)
    })
}

/// No layout needs less.
fn bound(program: &Program, kernels: &[Kernel], strips: &[Strip]) -> usize {
    let ways = overlaps(program, kernels, strips);
    ways.map(|(blocks, overlaps)| place::bound(&blocks, &overlaps)).min().unwrap_or(0)
}

/// Bytes of the arena.
fn arena(program: &Program, kernels: &[Kernel], strips: &[Strip]) -> usize {
    let ways = STRATEGIES.into_iter().flat_map(|strategy| [false, true].map(|whole| (strategy, whole)));
    ways.map(|(strategy, whole)| Layout::new(program, kernels, strips, &[], strategy, whole).bytes).min().unwrap_or(0)
}

/// Estimated instructions that `strip` takes on top: rows that a kernel computes in vain, calls, and rows that move.
pub(super) fn overhead(program: &Program, kernels: &[Kernel], instructions: &[u64], strip: &Strip) -> u64 {
    let of_layer = |(at, step): (usize, usize)| {
        let shape = program.tensor(program.layers[step].output).shape;
        let unit = needs::band_unit(kernels[step], shape).min(shape.h);
        let rows = strip.turns.iter().map(|turn| turn.rows[at].len()).filter(|rows| *rows > 0);
        let (calls, computed) =
            rows.fold((0_u64, 0_u64), |(calls, sum), rows| (calls + 1, sum + rows.next_multiple_of(unit) as u64));
        let in_vain = computed.saturating_sub(shape.h.next_multiple_of(unit) as u64);
        instructions[step] * in_vain / shape.h.max(1) as u64 / IN_VAIN + calls * CALL
    };
    (strip.first..=strip.last).enumerate().map(of_layer).sum::<u64>() + strip.moved() as u64
}
