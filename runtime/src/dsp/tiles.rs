//! Sums of products and outputs of [`super::winograd`]: all filters at four tiles.

#[cfg(all(target_arch = "arm", feature = "dsp"))]
use super::super::requant::Requant;
use super::patches::TILES;
#[cfg(all(target_arch = "arm", feature = "dsp"))]
use super::requant::is_plain;
#[cfg(all(target_arch = "arm", feature = "dsp"))]
use super::tiles_loops::multiply;
use super::winograd::Winograd;

/// Words of sums: sixteen places of two filters and four tiles.
pub const SUMS: usize = 16 * 2 * TILES;

/// Where four tiles' outputs go.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Bytes from one row to the next; 0 where there is no lower row.
    pub row: usize,
    /// Columns of outputs.
    pub columns: usize,
}

/// All filters of four tiles: sums of products, then outputs, `place.columns` of them in each row.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[inline(always)]
pub fn run(layer: &Winograd<'_>, v: &[u32], sums: &mut [u32], out: &mut [i8], place: Place) {
    let filters = layer.requant.multipliers.len();
    let pitch = layer.output.c;
    let tiles = place.columns.wrapping_add(1) / 2;
    let written = place
        .row
        .wrapping_add(place.columns.wrapping_sub(1).wrapping_mul(pitch))
        .wrapping_add(filters);
    if tiles == 0 || tiles > TILES || out.len() < written {
        return;
    }
    let requant = &layer.requant;
    let steps = layer.input.c / 2;
    let Some(even) = layer.bias.get(..(filters & !1).wrapping_mul(2)) else {
        return;
    };
    let mut arguments = Arguments {
        segment: steps.wrapping_mul(8),
        skipped: 0_usize.wrapping_sub(steps) % 8,
        v: v.as_ptr(),
        sums: sums.as_mut_ptr(),
        bias: even.as_ptr(),
        multipliers: requant.multipliers.as_ptr(),
        out: out.as_mut_ptr(),
        bias_end: even.as_ptr_range().end,
        weights: layer.weights.as_ptr(),
        rare: usize::from(!is_plain(requant)),
        requant,
        zero_point: requant.zero_point,
        row: place.row,
        column: pitch,
        last_column: if place.columns % 2 == 0 { pitch } else { 0 },
        tiles: tiles.wrapping_mul(4),
    };
    // SAFETY: by `band`'s checks and those above all pointers reach what `multiply` says, for the pairs in `even`.
    unsafe { multiply(&mut arguments) };
    if filters % 2 == 1 {
        // The last filter, with the one before it again.
        let before = filters.wrapping_sub(2);
        arguments.bias = layer.bias.as_ptr().wrapping_add(before.wrapping_mul(2));
        arguments.bias_end = arguments.bias.wrapping_add(4);
        arguments.multipliers = requant.multipliers.as_ptr().wrapping_add(before);
        arguments.out = out.as_mut_ptr().wrapping_add(before);
        // SAFETY: as above, for the two last filters, whose weights follow those of the other pairs.
        unsafe { multiply(&mut arguments) };
    }
}

/// What `multiply` works on; those marked with a star move on.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[repr(C)]
pub(super) struct Arguments<'a> {
    /// 0: Bytes of weights of one place of a pair.
    segment: usize,
    /// 4: Steps of the first eight that are left out.
    skipped: usize,
    /// 8: `V`.
    v: *const u32,
    /// 12: Sums.
    sums: *mut u32,
    /// 16*: Starts of the next filter's sums.
    bias: *const i32,
    /// 20*: Multiplier of the next filter.
    multipliers: *const i32,
    /// 24*: The next filter's first output.
    out: *mut i8,
    /// 28: Past the last filter's starts.
    bias_end: *const i32,
    /// 32*: Weights of the next pair.
    weights: *const i32,
    /// 36: 1 if the way back to `i8` is not [`is_plain`].
    rare: usize,
    /// 40: Way back to `i8`.
    requant: &'a Requant<'a>,
    /// 44: Zero point.
    zero_point: i32,
    /// 48: Bytes from one output row to the next.
    row: usize,
    /// 52: Bytes from one output column to the next.
    column: usize,
    /// 56: The same in the last tile.
    last_column: usize,
    /// 60: Four times the number of tiles.
    tiles: usize,
}

/// The same on other processors.
#[cfg(not(all(target_arch = "arm", feature = "dsp")))]
pub fn run(layer: &Winograd<'_>, v: &[u32], sums: &mut [u32], out: &mut [i8], place: Place) {
    use super::super::requant::requantize;
    use super::lanes::multiply_add;

    let steps = layer.input.c / 2;
    let filters = layer.requant.multipliers.len();
    for filter in 0..filters {
        // With an odd number of filters the last is the second of its pair.
        let (pair, second) = if filter.wrapping_add(1) == filters {
            (filters.wrapping_sub(1) / 2, 1)
        } else {
            (filter / 2, filter % 2)
        };
        for tile in 0..place.columns.wrapping_add(1) / 2 {
            for (at, sum) in (0..16).zip(&mut *sums) {
                let (column, row) = (at / 4, at % 4);
                let mut acc = 0;
                for step in 0..steps {
                    let u = pair.wrapping_mul(16).wrapping_add(at);
                    let u = u.wrapping_mul(steps).wrapping_add(step).wrapping_mul(2);
                    let u = layer.weights.get(u.wrapping_add(second)).copied();
                    let x = row.wrapping_mul(steps).wrapping_add(step).wrapping_mul(4);
                    let x = x.wrapping_add(column).wrapping_mul(TILES);
                    let x = v.get(x.wrapping_add(tile)).copied();
                    acc = multiply_add(u.unwrap_or(0) as u32, x.unwrap_or(0), acc);
                }
                *sum = acc as u32;
            }
            let start = |row: usize| {
                let at = filter.wrapping_mul(2).wrapping_add(row);
                layer.bias.get(at).copied().unwrap_or(0)
            };
            // Down the columns, then along the rows.
            let mut halves = [[0_i32; 4]; 2];
            let [upper, lower] = &mut halves;
            let columns = upper.iter_mut().zip(lower).zip(sums.chunks(4));
            for ((upper, lower), sums) in columns {
                let &[m0, m1, m2, m3] = sums else { continue };
                let [m0, m1, m2, m3] = [m0, m1, m2, m3].map(|m| m as i32);
                *upper = m0.wrapping_add(m1).wrapping_add(m2);
                *lower = m1.wrapping_sub(m2).wrapping_sub(m3);
            }
            let multiplier = layer.requant.multipliers.get(filter).copied().unwrap_or(0);
            for (row, [a0, a1, a2, a3]) in (0..2).zip(halves) {
                let a1 = a1.wrapping_add(start(row));
                let pair = [
                    a0.wrapping_add(a1).wrapping_add(a2),
                    a1.wrapping_sub(a2).wrapping_sub(a3),
                ];
                for (column, sum) in (tile.wrapping_mul(2)..place.columns).zip(pair) {
                    let offset = column.wrapping_mul(layer.output.c).wrapping_add(filter);
                    let offset = place.row.wrapping_mul(row).wrapping_add(offset);
                    let there = row == 0 || place.row > 0;
                    if let (true, Some(out)) = (there, out.get_mut(offset)) {
                        *out = requantize(sum >> 2, multiplier, &layer.requant);
                    }
                }
            }
        }
    }
}
