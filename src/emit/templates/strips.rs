
/// The rows from `first` on, before `end`.
#[inline(always)]
fn until<T: Into<usize>>(first: T, end: T) -> Range<usize> {
    first.into()..end.into()
}

/// `rows` of a tensor of which memory starts with row `first`.
#[inline(always)]
fn since<T: Into<usize>>(rows: &Range<usize>, first: T) -> Range<usize> {
    let first = first.into();
    rows.start.wrapping_sub(first)..rows.end.wrapping_sub(first)
}

/// [`split`] of ranges that are not constant: one function for all layers.
#[inline(never)]
fn parts<const N: usize>(
    memory: &mut [i8; ARENA_BYTES],
    ranges: [Range<usize>; N],
) -> [&mut [i8]; N] {
    split(memory, ranges)
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
    let all = bytes_of(&(0..end.wrapping_sub(held.start)), row, offset);
    let rows = memory.get_mut(all).unwrap_or_default();
    let kept = rows.len().saturating_sub(skip);
    let mut at = 0;
    // The optimizer would take a call of the compiler's library for this loop, which is larger than all of it.
    while skip != 0 && at < kept {
        let from = black_box(at.wrapping_add(skip));
        if let Some(&values) = rows.get(from..).and_then(<[i8]>::first_chunk::<8>) {
            if let Some(to) = rows.get_mut(at..).and_then(<[i8]>::first_chunk_mut) {
                *to = values;
            }
            at = at.wrapping_add(8);
        } else {
            let value = rows.get(from).copied().unwrap_or_default();
            if let Some(to) = rows.get_mut(at) {
                *to = value;
            }
            at = at.wrapping_add(1);
        }
    }
}
