//! Offsets in the arena: greedy best fit over several orders, then a search by moving blocks to the front.

use super::ALIGN;
use super::bands::Rows;
use super::lives::Block;

/// Moves tried after the fixed orders. Real networks meet their bound before the first one; the cap only keeps
/// planning quick for large networks that cannot.
const MAX_MOVES: usize = 2000;

/// An output that may lie over its input, which its layer is the last to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overlap {
    /// The step.
    pub step: usize,
    /// Which of the step's inputs.
    pub over: usize,
    /// Index of the input's block.
    pub input: usize,
    /// Index of the output's block.
    pub output: usize,
    /// Rows of the layer.
    pub rows: Rows,
    /// Rows of the smallest band.
    pub band: usize,
}

/// Bytes a block takes, rounded up to the alignment.
fn padded(block: &Block) -> usize {
    block.bytes.next_multiple_of(ALIGN)
}

/// How far above block `i` block `j` must start, if it is not below it.
#[derive(Debug, Clone)]
pub(super) struct Distances {
    blocks: usize,
    each: Vec<usize>,
}

impl Distances {
    pub fn new(blocks: &[Block], overlaps: &[Overlap]) -> Self {
        let each = blocks.iter().flat_map(|block| std::iter::repeat_n(padded(block), blocks.len())).collect();
        let mut distances = Self { blocks: blocks.len(), each };
        for &Overlap { input, output, rows, band, .. } in overlaps {
            let [up, down] = [input * blocks.len() + output, output * blocks.len() + input];
            distances.each[up] = distances.each[up].min(rows.above(band));
            distances.each[down] = distances.each[down].min(rows.below(band));
        }
        distances
    }

    fn between(&self, i: usize, j: usize) -> usize {
        self.each[i * self.blocks + j]
    }
}

/// The most bytes alive at one step, an output and the input under it counted once where they overlap.
pub(super) fn bound(blocks: &[Block], overlaps: &[Overlap]) -> usize {
    let distances = Distances::new(blocks, overlaps);
    let steps = blocks.iter().map(|block| block.last_step() + 1).max().unwrap_or(0);
    (0..steps)
        .map(|step| {
            let alive = blocks.iter().filter(|block| block.first_step() <= step && step <= block.last_step());
            let shared = overlaps.iter().filter(|overlap| overlap.step == step).map(|overlap| {
                let [input, output] = [overlap.input, overlap.output];
                let [from, to] = [input, output].map(|i| padded(&blocks[i]));
                let below = to.max(distances.between(output, input) + from);
                let above = from.max(distances.between(input, output) + to);
                from + to - below.min(above)
            });
            alive.map(padded).sum::<usize>() - shared.sum::<usize>()
        })
        .max()
        .unwrap_or(0)
}

/// Offset of every block and the bytes of the arena.
pub(super) fn place(blocks: &[Block], overlaps: &[Overlap]) -> (Vec<usize>, usize) {
    let distances = Distances::new(blocks, overlaps);
    let bound = bound(blocks, overlaps);
    let mut best: Option<(Vec<usize>, Vec<usize>, usize)> = None;
    for order in orders(blocks) {
        let (offsets, bytes) = fit(blocks, &distances, &order);
        if best.as_ref().is_none_or(|(.., least)| bytes < *least) {
            best = Some((order, offsets, bytes));
        }
    }
    let (mut order, mut offsets, mut bytes) = best.expect("there are fixed orders");
    let mut moves = 0;
    let mut improved = true;
    while improved && bytes > bound && moves < MAX_MOVES {
        improved = false;
        for from in 1..order.len() {
            let mut candidate = order.clone();
            candidate[..=from].rotate_right(1);
            let (found, needed) = fit(blocks, &distances, &candidate);
            moves += 1;
            if needed < bytes {
                (order, offsets, bytes, improved) = (candidate, found, needed, true);
            }
        }
    }
    (offsets, bytes)
}

/// A placement within `limit` bytes by one of the fixed orders, if there is one.
pub(super) fn place_within(blocks: &[Block], overlaps: &[Overlap], limit: usize) -> Option<Vec<usize>> {
    if bound(blocks, overlaps) > limit {
        return None;
    }
    let distances = Distances::new(blocks, overlaps);
    let mut placed = orders(blocks).into_iter().map(|order| fit(blocks, &distances, &order));
    placed.find(|(_, bytes)| *bytes <= limit).map(|(offsets, _)| offsets)
}

/// Orders to put blocks down in.
fn orders(blocks: &[Block]) -> Vec<Vec<usize>> {
    let span = |i: usize| blocks[i].last_step() - blocks[i].first_step() + 1;
    let size = |i: usize| padded(&blocks[i]);
    let by_step: Vec<usize> = (0..blocks.len()).collect();
    let mut orders = vec![by_step.clone()];
    orders.push(by_step.iter().rev().copied().collect());
    for key in [
        &(|i: usize| (size(i), span(i))) as &dyn Fn(usize) -> (usize, usize),
        &|i: usize| (size(i) * span(i), size(i)),
        &|i: usize| (span(i), size(i)),
    ] {
        let mut order = by_step.clone();
        order.sort_by_key(|&i| std::cmp::Reverse(key(i)));
        orders.push(order);
    }
    orders
}

/// Puts the blocks down in `order`, each where it adds least to the arena, in the tightest hole among the blocks alive
/// with it.
fn fit(blocks: &[Block], distances: &Distances, order: &[usize]) -> (Vec<usize>, usize) {
    let mut offsets: Vec<Option<usize>> = vec![None; blocks.len()];
    let mut bytes = 0;
    for &index in order {
        let need = padded(&blocks[index]);
        let placed = offsets.iter().enumerate().filter(|(other, _)| blocks[*other].meets(&blocks[index]));
        let taken: Vec<(usize, usize)> = placed.filter_map(|(other, at)| at.map(|at| (other, at))).collect();
        let clear = |at: usize| {
            taken.iter().all(|&(other, there)| {
                at + distances.between(index, other) <= there || there + distances.between(other, index) <= at
            })
        };
        // Next to a block, above or below it: the bytes left free on the other side are the slack.
        let above = taken.iter().map(|&(other, there)| there + distances.between(other, index));
        let below = taken.iter().filter_map(|&(other, there)| there.checked_sub(distances.between(index, other)));
        let slack = |at: usize| {
            let over = taken.iter().map(|&(_, there)| there).filter(|there| *there >= at + need).min();
            over.map_or(usize::MAX, |over| over - at - need)
        };
        let candidates = above.chain(below).chain([0]).filter(|at| clear(*at));
        let offset = candidates.min_by_key(|&at| (bytes.max(at + need), slack(at), at)).expect("above all others");
        offsets[index] = Some(offset);
        bytes = bytes.max(offset + need);
    }
    let offsets = offsets.into_iter().map(|offset| offset.expect("every order holds every block")).collect();
    (offsets, bytes)
}
