//! Sums of products and outputs of [`super::winograd`]: all filters at four tiles.

use super::patches::TILES;
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
    let filters = layer.output.c;
    let tiles = place.columns.wrapping_add(1) / 2;
    let written = place.row.wrapping_add(place.columns.wrapping_mul(filters));
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
        rare: usize::from(requant.shift & 31 != 0 || requant.max.wrapping_sub(requant.min) != 255),
        shift: requant.shift & 31,
        zero_point: requant.zero_point,
        min: requant.min,
        max: requant.max,
        row: place.row,
        column: filters,
        last_column: if place.columns % 2 == 0 { filters } else { 0 },
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
struct Arguments {
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
    /// 36: 1 if there is a shift or a narrower range than that of `i8`.
    rare: usize,
    /// 40: Left shift.
    shift: u32,
    /// 44: Zero point.
    zero_point: i32,
    /// 48: Smallest output.
    min: i32,
    /// 52: Largest output.
    max: i32,
    /// 56: Bytes from one output row to the next.
    row: usize,
    /// 60: Bytes from one output column to the next.
    column: usize,
    /// 64: The same in the last tile.
    last_column: usize,
    /// 68: Four times the number of tiles.
    tiles: usize,
}

/// All filters of `arguments` at up to four tiles.
///
/// # Safety
/// With C channels (`segment` is 4 · C, C a multiple of 4 and not 0, `skipped` what C / 2 lacks to a multiple of 8)
/// and F filters (an even number, those between `bias` and `bias_end`): `weights` must have 16 · C · F / 2 words, `v`
/// 32 · C, `sums` 128, `bias` 2 · F, `multipliers` F, all aligned, and `out` the bytes `row + (columns − 1) · column + F`
/// for twice `tiles / 4` columns, less one if `last_column` is 0; `tiles` is 4 to 16 by fours.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[inline(never)]
unsafe fn multiply(arguments: &mut Arguments) {
    // SAFETY: by the contract. Sums: r0 meets the end of each of the sixteen segments exactly, since turns take
    // eight steps and the first begins after `skipped` of them, of 8 bytes of weights and 64 of `V`; a column's four
    // segments take 4 · C / 2 steps of `V`, that is all of it from its column's place on, the last step's 16 bytes
    // included. They store 8 words each, 128 in all. Outputs: `tiles / 4` tiles of 4 bytes at their places in each row.
    // r6 and r7, which the compiler keeps for itself, are saved on the stack; sp is back where it was at the end; all
    // other registers that change are declared.
    unsafe {
        core::arch::asm!(
            "push {{r6, r7}}",
            "sub sp, #48",
            "str lr, [sp, #28]",
            // 0: end of a segment's weights; 4: next sums; 8: bytes of a segment; 12: entry, if not the first step;
            // 16: V of this column; 20: sums; 24: weights; 28: arguments; 32: end of the tiles; 36: skipped bytes.
            "ldr r0, [lr]",
            "ldr r1, [lr, #4]",
            "ldr r2, [lr, #12]",
            "str r0, [sp, #8]",
            "str r2, [sp, #20]",
            "lsl r2, r1, #3",
            "str r2, [sp, #36]",
            "cbz r1, 2f",
            "movs r2, #52",
            "mul r1, r1, r2",
            "adr r2, 5f",
            "add r1, r1, r2",
            "orr r1, r1, #1",
            "2:",
            "str r1, [sp, #12]",
            // A pair of filters.
            "20:",
            "ldr lr, [sp, #28]",
            "ldr r2, [sp, #20]",
            "ldr r1, [lr, #8]",
            "ldr r0, [lr, #32]",
            "str r2, [sp, #4]",
            "sub r1, r1, #56",
            "sub r0, r0, #4",
            "str r1, [sp, #16]",
            // A column.
            "3:",
            "movs r4, #0",
            "movs r5, #0",
            "movs r6, #0",
            "movs r7, #0",
            "mov r8, r4",
            "mov r9, r4",
            "mov r10, r4",
            "mov r11, r4",
            // A row of it.
            "4:",
            "ldrd r2, r3, [sp, #8]",
            "add r2, r2, r0",
            "str r2, [sp]",
            "cmp r3, #0",
            "bne.w 9f",
            ".balign 4",
            // Eight steps: two channels, two filters, four tiles. A step is 52 bytes long.
            "5:",
            ".set fratc_step, 0",
            ".rept 8",
            "ldr.w r2, [r0, #(4 + 8 * fratc_step)]",
            ".if fratc_step < 7",
            "ldr.w r3, [r0, #(8 + 8 * fratc_step)]",
            ".else",
            "ldr.w r3, [r0, #64]!",
            ".endif",
            "ldr.w r12, [r1, #(56 + 64 * fratc_step)]",
            "ldr.w lr, [r1, #(60 + 64 * fratc_step)]",
            "smlad r4, r2, r12, r4",
            "smlad r8, r3, r12, r8",
            "smlad r5, r2, lr, r5",
            "smlad r9, r3, lr, r9",
            ".if fratc_step < 7",
            "ldrd r12, lr, [r1, #(64 + 64 * fratc_step)]",
            ".else",
            "ldrd r12, lr, [r1, #512]!",
            ".endif",
            "smlad r6, r2, r12, r6",
            "smlad r10, r3, r12, r10",
            "smlad r7, r2, lr, r7",
            "smlad r11, r3, lr, r11",
            ".set fratc_step, fratc_step + 1",
            ".endr",
            "ldr r2, [sp]",
            "cmp r0, r2",
            "bne.w 5b",
            "ldr r2, [sp, #4]",
            "ldr r3, [sp, #20]",
            "stm r2!, {{r4, r5, r6, r7, r8, r9, r10, r11}}",
            "str r2, [sp, #4]",
            "subs r2, r2, r3",
            "tst r2, #127",
            "bne.w 4b",
            "ldr r1, [sp, #16]",
            "adds r1, #16",
            "str r1, [sp, #16]",
            "cmp r2, #512",
            "bne.w 3b",
            // Outputs.
            "ldr lr, [sp, #28]",
            "adds r0, #4",
            "str r0, [lr, #32]",
            "ldr r0, [sp, #20]",
            // A filter.
            "6:",
            "ldr r12, [lr, #16]",
            "ldr r2, [lr, #20]",
            "ldr r11, [lr, #44]",
            "ldr r1, [lr, #68]",
            "ldr r3, [lr, #24]",
            "ldrd r8, r9, [r12], #8",
            "ldr r10, [r2], #4",
            "add r1, r1, r0",
            "str r12, [lr, #16]",
            "str r2, [lr, #20]",
            "add r2, r3, #1",
            "str r2, [lr, #24]",
            "str r1, [sp, #32]",
            "mov lr, r3",
            // A tile: r4 and r5 its upper outputs, r6 and r7 the lower ones.
            "7:",
            "ldr r1, [r0]",
            "ldr r2, [r0, #32]",
            "ldr r4, [r0, #64]",
            "ldr r3, [r0, #96]",
            "rsb r1, r1, r2, lsl #1",
            "subs r6, r1, r3",
            "ldr.w r1, [r0, #128]",
            "ldr.w r2, [r0, #160]",
            "ldr.w r5, [r0, #192]",
            "ldr.w r3, [r0, #224]",
            "rsb r1, r1, r2, lsl #1",
            "subs r7, r1, r3",
            "add r5, r5, r8",
            "add r7, r7, r9",
            "add r4, r4, r5",
            "add r6, r6, r7",
            "ldr.w r1, [r0, #256]",
            "ldr.w r2, [r0, #288]",
            "ldr.w r12, [r0, #320]",
            "ldr.w r3, [r0, #352]",
            "rsb r1, r1, r2, lsl #1",
            "subs r1, r1, r3",
            "add r4, r4, r12",
            "sub r5, r5, r12",
            "add r6, r6, r1",
            "subs r7, r7, r1",
            "ldr.w r1, [r0, #384]",
            "ldr.w r2, [r0, #416]",
            "ldr.w r12, [r0, #448]",
            "ldr.w r3, [r0, #480]",
            "rsb r1, r1, r2, lsl #1",
            "subs r1, r1, r3",
            "sub r5, r5, r12",
            "subs r7, r7, r1",
            "ldr r12, [sp, #28]",
            "asrs r4, r4, #2",
            "ldr r1, [r12, #36]",
            "ldr r2, [r12, #56]",
            "ldr r3, [r12, #60]",
            "asrs r5, r5, #2",
            "asrs r6, r6, #2",
            "asrs r7, r7, #2",
            "cmp r1, #0",
            "bne.w 12f",
            "smmlar r4, r4, r10, r11",
            "smmlar r5, r5, r10, r11",
            "smmlar r6, r6, r10, r11",
            "smmlar r7, r7, r10, r11",
            "8:",
            "adds r0, #4",
            "ldr r1, [sp, #32]",
            "ssat r4, #8, r4",
            "ssat r5, #8, r5",
            "ssat r6, #8, r6",
            "ssat r7, #8, r7",
            "cmp r0, r1",
            "it eq",
            "ldreq r3, [r12, #64]",
            "add r1, lr, r2",
            // What has no place of its own is written first, where its neighbour goes.
            "strb r7, [r1, r3]",
            "strb r6, [r1]",
            "strb r5, [lr, r3]",
            "strb r4, [lr]",
            "add lr, lr, r3, lsl #1",
            "bne.w 7b",
            // The second filter's sums are 16 bytes further on.
            "ldr r1, [sp, #20]",
            "mov lr, r12",
            "sub r2, r0, r1",
            "add r0, r1, #16",
            "cmp r2, #16",
            "ble.w 6b",
            "ldr r2, [lr, #16]",
            "ldr r3, [lr, #28]",
            "cmp r2, r3",
            "bne.w 20b",
            "b 13f",
            // Not from the first of eight steps on.
            "9:",
            "ldr r2, [sp, #36]",
            "subs r0, r0, r2",
            "sub r1, r1, r2, lsl #3",
            "bx r3",
            // Shift, and a narrower range.
            "12:",
            "ldr r1, [r12, #40]",
            "lsls r4, r1",
            "lsls r5, r1",
            "lsls r6, r1",
            "lsls r7, r1",
            "smmlar r4, r4, r10, r11",
            "smmlar r5, r5, r10, r11",
            "smmlar r6, r6, r10, r11",
            "smmlar r7, r7, r10, r11",
            "ldr r1, [r12, #48]",
            "cmp r4, r1\nit lt\nmovlt r4, r1",
            "cmp r5, r1\nit lt\nmovlt r5, r1",
            "cmp r6, r1\nit lt\nmovlt r6, r1",
            "cmp r7, r1\nit lt\nmovlt r7, r1",
            "ldr r1, [r12, #52]",
            "cmp r4, r1\nit gt\nmovgt r4, r1",
            "cmp r5, r1\nit gt\nmovgt r5, r1",
            "cmp r6, r1\nit gt\nmovgt r6, r1",
            "cmp r7, r1\nit gt\nmovgt r7, r1",
            "b 8b",
            "13:",
            "add sp, #48",
            "pop {{r6, r7}}",
            inout("lr") arguments => _,
            out("r0") _,
            out("r1") _,
            out("r2") _,
            out("r3") _,
            out("r4") _,
            out("r5") _,
            out("r8") _,
            out("r9") _,
            out("r10") _,
            out("r11") _,
            out("r12") _,
        );
    }
}

/// The same on other processors.
#[cfg(not(all(target_arch = "arm", feature = "dsp")))]
pub fn run(layer: &Winograd<'_>, v: &[u32], sums: &mut [u32], out: &mut [i8], place: Place) {
    use super::super::requant::requantize;
    use super::lanes::multiply_add;

    let steps = layer.input.c / 2;
    let filters = layer.output.c;
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
                    let offset = column.wrapping_mul(filters).wrapping_add(filter);
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
