//! Offsets in the arena: greedy best fit over several orders, then a search by moving blocks to the front.

use super::ALIGN;
use super::lives::Block;

/// Moves tried after the fixed orders. Real networks meet their bound before the first one; the cap only keeps
/// planning quick for large networks that cannot.
const MAX_MOVES: usize = 2000;

/// Bytes a block takes, rounded up to the alignment.
fn padded(block: &Block) -> usize {
    block.bytes.next_multiple_of(ALIGN)
}

/// The most bytes alive at one step.
pub(super) fn bound(blocks: &[Block]) -> usize {
    let steps = blocks.iter().map(|block| block.last_step() + 1).max().unwrap_or(0);
    (0..steps)
        .map(|step| {
            let alive = blocks.iter().filter(|block| block.first_step() <= step && step <= block.last_step());
            alive.map(padded).sum()
        })
        .max()
        .unwrap_or(0)
}

/// Offset of every block and the bytes of the arena.
pub(super) fn place(blocks: &[Block]) -> (Vec<usize>, usize) {
    let bound = bound(blocks);
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
    let mut best: Option<(Vec<usize>, Vec<usize>, usize)> = None;
    for order in orders {
        let (offsets, bytes) = fit(blocks, &order);
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
            let (found, needed) = fit(blocks, &candidate);
            moves += 1;
            if needed < bytes {
                (order, offsets, bytes, improved) = (candidate, found, needed, true);
            }
        }
    }
    (offsets, bytes)
}

/// Puts the blocks down in `order`, each into the tightest hole among the blocks alive with it.
fn fit(blocks: &[Block], order: &[usize]) -> (Vec<usize>, usize) {
    let mut offsets: Vec<Option<usize>> = vec![None; blocks.len()];
    let mut bytes = 0;
    for &index in order {
        let need = padded(&blocks[index]);
        let mut taken: Vec<(usize, usize)> = offsets
            .iter()
            .zip(blocks)
            .filter(|(_, block)| block.meets(&blocks[index]))
            .filter_map(|(offset, block)| offset.map(|offset| (offset, offset + padded(block))))
            .collect();
        taken.sort_unstable();
        let mut end = 0;
        let mut tightest: Option<(usize, usize)> = None;
        for (from, to) in taken {
            let hole = from.saturating_sub(end);
            if hole >= need && tightest.is_none_or(|(slack, _)| hole - need < slack) {
                tightest = Some((hole - need, end));
            }
            end = end.max(to);
        }
        let offset = tightest.map_or(end, |(_, offset)| offset);
        offsets[index] = Some(offset);
        bytes = bytes.max(offset + need);
    }
    let offsets = offsets.into_iter().map(|offset| offset.expect("every order holds every block")).collect();
    (offsets, bytes)
}
