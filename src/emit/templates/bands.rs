
/// Band `band` of bands of `size` rows, of an output of `count` rows.
#[inline(always)]
fn rows_of(band: usize, size: usize, count: usize) -> Range<usize> {
    let start = band.wrapping_mul(size);
    start..count.min(start.wrapping_add(size))
}
