
/// The bytes of the arena that `rows` of `row` bytes each take in a tensor at `offset`.
#[inline(always)]
fn bytes_of(rows: &Range<usize>, row: usize, offset: usize) -> Range<usize> {
    let [start, end] = [rows.start, rows.end].map(|y| y.wrapping_mul(row).wrapping_add(offset));
    start..end
}
