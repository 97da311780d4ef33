
/// The bytes `range` of the arena.
///
/// `range` is a constant inside the arena, so the optimizer leaves no check.
#[inline(always)]
fn region(memory: &mut [i8; ARENA_BYTES], range: Range<usize>) -> &mut [i8] {
    memory.get_mut(range).unwrap_or_default()
}
