
/// Band `band` of bands of `size` rows, of an output of `count` rows.
#[inline(always)]
fn rows_of(band: usize, size: usize, count: usize) -> Range<usize> {
    let start = band.wrapping_mul(size);
    start..count.min(start.wrapping_add(size))
}

/// The bytes of the arena that `rows` of `row` bytes each take in a tensor at `offset`.
#[inline(always)]
fn bytes_of(rows: &Range<usize>, row: usize, offset: usize) -> Range<usize> {
    let [start, end] = [rows.start, rows.end].map(|y| y.wrapping_mul(row).wrapping_add(offset));
    start..end
}
