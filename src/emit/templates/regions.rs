
/// The bytes `write` of the arena and, to be read only, those of each of `reads`.
///
/// The ranges are constants inside the arena and no range of `reads` meets `write`, so the optimizer
/// leaves no check.
#[inline(always)]
fn regions<const N: usize>(
    memory: &mut [i8; ARENA_BYTES],
    write: Range<usize>,
    reads: [Range<usize>; N],
) -> (&mut [i8], [&[i8]; N]) {
    let (below, rest) = memory.split_at_mut_checked(write.start).unwrap_or_default();
    let len = write.end.wrapping_sub(write.start);
    let (written, above) = rest.split_at_mut_checked(len).unwrap_or_default();
    let (below, above) = (&*below, &*above);
    let reads = reads.map(|read| {
        let found = if read.end <= write.start {
            below.get(read)
        } else {
            above.get(read.start.wrapping_sub(write.end)..read.end.wrapping_sub(write.end))
        };
        found.unwrap_or_default()
    });
    (written, reads)
}
