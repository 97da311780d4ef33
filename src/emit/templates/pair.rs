
/// The bytes `write` of the arena and, to be read only, the bytes `read`.
#[inline(always)]
fn pair(
    memory: &mut [i8; ARENA_BYTES],
    write: Range<usize>,
    read: Range<usize>,
) -> (&mut [i8], &[i8]) {
    let (written, [read]) = regions(memory, write, [read]);
    (written, read)
}
