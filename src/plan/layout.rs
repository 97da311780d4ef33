//! Everything in its place: the smallest of several layouts.

use super::lives::{self, Block};
use super::place::{self, Overlap};
use super::{Kernel, Part, Placement, Plan, Scratch, Step, Strip, parts, sizes};
use crate::diag::Result;
use crate::qir::Program;

/// What a layout may do beside giving every tensor its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ways {
    /// Layers may run in bands where that saves RAM.
    pub bands: bool,
    /// Outputs may lie in others where that takes no RAM, or no more than so many bytes of arena.
    pub parts: Option<usize>,
}

/// Places everything for these kernels and strips.
pub(super) fn lay_out(program: &Program, kernels: &[Kernel], strips: &[Strip], ways: Ways) -> Result<Plan> {
    let best = |parts: &[Part]| {
        let whole: &[bool] = if ways.bands { &[true, false] } else { &[true] };
        let all = whole.iter().flat_map(|whole| lives::STRATEGIES.map(|strategy| (*whole, strategy)));
        let layouts = all.map(|(whole, strategy)| Layout::new(program, kernels, strips, parts, strategy, whole));
        layouts.min_by_key(|layout| layout.bytes).expect("there are strategies")
    };
    // Never more than if every tensor had bytes of its own.
    let (_, apart) = lives::lives(program, kernels, strips, &[], lives::InPlace::Never);
    let room = ways.parts.unwrap_or(0).min(place::bound(&apart, &[]));
    let parts = ways.parts.map_or(Vec::new(), |_| parts::candidates(program, strips));
    let found = parts::worth(best(&[]), &parts, room, best);
    let Layout { mut steps, blocks, parts, overlaps, offsets, bytes: arena_bytes } = found.with_larger_bands();
    for &Overlap { step, over, input, output, rows, .. } in &overlaps {
        let (input, output) = (offsets[input], offsets[output]);
        if !rows.apart(output, input) {
            steps[step].bands = rows.fit(over, output, input);
        }
    }
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
        bound_bytes: place::bound(&blocks, &overlaps),
        steps,
        placements,
        parts,
        arena_bytes,
        input_bytes: program.tensor(program.input()).shape.len(),
        scores_bytes: program.tensor(program.output).shape.len(),
        sizes: sizes::sizes(program, kernels, strips),
        strips: strips.to_vec(),
    };
    plan.verify(program)?;
    Ok(plan)
}

/// One way to lay out the arena.
pub(super) struct Layout {
    steps: Vec<Step>,
    blocks: Vec<Block>,
    /// Outputs in others.
    pub parts: Vec<Part>,
    /// Outputs that may lie over their inputs.
    overlaps: Vec<Overlap>,
    /// Of every block.
    offsets: Vec<usize>,
    /// Of the arena.
    pub bytes: usize,
}

impl Layout {
    /// The smallest that was found; `whole`: all layers run whole.
    pub fn new(
        program: &Program,
        kernels: &[Kernel],
        strips: &[Strip],
        parts: &[Part],
        strategy: lives::InPlace,
        whole: bool,
    ) -> Self {
        let (steps, blocks) = lives::lives(program, kernels, strips, parts, strategy);
        let overlaps = if whole { Vec::new() } else { lives::overlaps(program, &steps, &blocks) };
        let (offsets, bytes) = place::place(&blocks, &overlaps);
        Self { steps, blocks, parts: parts.to_vec(), overlaps, offsets, bytes }
    }

    /// As small, with as many layers as possible run whole and the others in bands as large as possible: bands cost time.
    fn with_larger_bands(mut self) -> Self {
        for at in (0..self.overlaps.len()).rev() {
            let mut fewer = self.overlaps.clone();
            fewer.remove(at);
            self.take(fewer);
        }
        for at in 0..self.overlaps.len() {
            let rows = self.overlaps[at].rows;
            let sizes = std::iter::successors(Some(rows.count() / 2), |n| Some(n / 2));
            for band in sizes.take_while(|n| *n > rows.unit).map(|n| n - n % rows.unit) {
                let mut larger = self.overlaps.clone();
                larger[at].band = band;
                if self.take(larger) {
                    break;
                }
            }
        }
        self
    }

    /// Takes `overlaps` if the arena stays as small with them.
    fn take(&mut self, overlaps: Vec<Overlap>) -> bool {
        let Some(offsets) = place::place_within(&self.blocks, &overlaps, self.bytes) else { return false };
        (self.overlaps, self.offsets) = (overlaps, offsets);
        true
    }
}
