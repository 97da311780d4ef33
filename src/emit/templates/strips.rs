
/// `rows` of a tensor of which memory starts with row `first`.
#[inline(always)]
fn since(rows: &Range<usize>, first: usize) -> Range<usize> {
    rows.start.wrapping_sub(first)..rows.end.wrapping_sub(first)
}

/// Moves rows of `row` bytes each to the start of their tensor at `offset`, where row `held.start` was: those from
/// `held.end` on, before `end`.
#[inline(never)]
fn slide(
    memory: &mut [i8; ARENA_BYTES],
    offset: usize,
    row: usize,
    held: Range<usize>,
    end: usize,
) {
    let skip = held.end.wrapping_sub(held.start).wrapping_mul(row);
    let rows = bytes_of(&(0..end.wrapping_sub(held.start)), row, offset);
    let rows = memory.get_mut(rows).unwrap_or_default();
    if 0 < skip && skip <= rows.len() {
        rows.copy_within(skip.., 0);
    }
}
