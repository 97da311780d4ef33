
/// The bytes of each of `ranges`, which are in order and do not meet.
///
/// The ranges are inside the arena; where they are constants, the optimizer leaves no check.
#[inline(always)]
fn split<const N: usize>(
    memory: &mut [i8; ARENA_BYTES],
    ranges: [Range<usize>; N],
) -> [&mut [i8]; N] {
    let mut rest: &mut [i8] = memory;
    let mut start = 0;
    ranges.map(|range| {
        let skip = range.start.wrapping_sub(start);
        let (_, above) = core::mem::take(&mut rest)
            .split_at_mut_checked(skip)
            .unwrap_or_default();
        let len = range.end.wrapping_sub(range.start);
        let (found, above) = above.split_at_mut_checked(len).unwrap_or_default();
        rest = above;
        start = range.end;
        found
    })
}
