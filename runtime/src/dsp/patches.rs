//! `V` of [`super::winograd`]: four tiles' patches of the input, transformed.

use super::super::shape::take_mut;

/// Tiles worked on at once.
pub const TILES: usize = 4;

/// Columns these look at.
pub const COLUMNS: usize = 2 * TILES + 2;

/// The rows of the patch that a row of `Bᵀ d` is the sum of, and whether the second is complemented.
pub type Sum = (usize, usize, u32);

/// The first three rows of `Bᵀ d`.
pub const UPPER: [Sum; 3] = [(0, 2, u32::MAX), (1, 2, 0), (2, 1, u32::MAX)];

/// The last row of `Bᵀ d`, from the second row of the patch on.
pub const LAST: [Sum; 1] = [(0, 2, u32::MAX)];

/// Rows of `V` of four tiles, `[row of sums][I / 2][column][tile]`; `source` has three rows of ten columns, `pitch`
/// bytes apart. There are `channels`, a multiple of four, and 8 words in `v` for each and each of `sums`.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[inline(never)]
pub fn transform(source: &[i8], pitch: usize, channels: usize, sums: &[Sum], v: &mut [u32]) {
    let needed = pitch
        .wrapping_mul(2)
        .wrapping_add(channels.wrapping_mul(COLUMNS));
    let mut v = v;
    if source.len() < needed || channels == 0 || channels % 4 != 0 {
        return;
    }
    for &(a, b, complement) in sums {
        let part = take_mut(&mut v, channels.wrapping_mul(8));
        if part.is_empty() || a > 2 || b > 2 {
            return;
        }
        let first = source.as_ptr().wrapping_add(pitch.wrapping_mul(a));
        let distance = pitch.wrapping_mul(b.wrapping_sub(a));
        // SAFETY: the rows `a` and `b` of `source` hold ten columns, `part` is not empty, and `channels` is a multiple
        // of four, by the checks above.
        unsafe { transform_row(first, distance, complement, channels, part) };
    }
}

/// One row of `V`, `part`.
///
/// # Safety
/// With C channels, a multiple of 4 and not 0, `part` must have 8 · C words, and 10 · C bytes must be readable at
/// `first` and at `first + distance`.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[inline(never)]
unsafe fn transform_row(
    first: *const i8,
    distance: usize,
    complement: u32,
    channels: usize,
    part: &mut [u32],
) {
    // SAFETY: the loop writes 32 words of `part` each turn, C / 4 turns, and ends at its end exactly. A turn reads
    // words of both rows, at columns 0 to 9 and four channels, which are there by the contract; LDR of them needs
    // no alignment on these cores. r6 and r7, which the compiler keeps for itself, and lr are put back; all other
    // registers that change are declared.
    unsafe {
        core::arch::asm!(
            "push {{r6, r7, lr}}",
            "sub sp, #4",
            // A column: lanes of channels 0 and 2, and of 1 and 3.
            ".macro fratc_column even, odd",
            "ldr \\odd, [r0]",
            "ldr lr, [r0, r1]",
            "add r0, r0, r2",
            "eor lr, lr, r12",
            "sxtb16 \\even, \\odd",
            "sxtb16 \\odd, \\odd, ror #8",
            "sxtab16 \\even, \\even, lr",
            "sxtab16 \\odd, \\odd, lr, ror #8",
            ".endm",
            // A tile from its four columns; the first is used up.
            ".macro fratc_lanes a, b, c, d, at",
            "ssub16 \\a, \\a, \\c",
            "str \\a, [r3, #\\at]",
            "sadd16 \\a, \\b, \\c",
            "str \\a, [r3, #\\at + 16]",
            "ssub16 \\a, \\c, \\b",
            "str \\a, [r3, #\\at + 32]",
            "ssub16 \\a, \\b, \\d",
            "str \\a, [r3, #\\at + 48]",
            ".endm",
            "2:",
            "fratc_column r4, r8",
            "fratc_column r5, r9",
            "fratc_column r6, r10",
            "fratc_column r7, r11",
            "fratc_lanes r4, r5, r6, r7, 0",
            "fratc_lanes r8, r9, r10, r11, 64",
            "fratc_column r4, r8",
            "fratc_column r5, r9",
            "fratc_lanes r6, r7, r4, r5, 4",
            "fratc_lanes r10, r11, r8, r9, 68",
            "fratc_column r6, r10",
            "fratc_column r7, r11",
            "fratc_lanes r4, r5, r6, r7, 8",
            "fratc_lanes r8, r9, r10, r11, 72",
            "fratc_column r4, r8",
            "fratc_column r5, r9",
            "fratc_lanes r6, r7, r4, r5, 12",
            "fratc_lanes r10, r11, r8, r9, 76",
            // Back to the first column, the next four channels.
            "sub r0, r0, r2, lsl #3",
            "ldr lr, [sp, #12]",
            "sub r0, r0, r2, lsl #1",
            "add r3, r3, #128",
            "add r0, r0, #4",
            "cmp r3, lr",
            "bne.w 2b",
            ".purgem fratc_column",
            ".purgem fratc_lanes",
            "add sp, #4",
            "pop {{r6, r7, lr}}",
            inout("r0") first => _,
            in("r1") distance,
            in("r2") channels,
            inout("r3") part.as_mut_ptr() => _,
            in("r12") complement,
            in("lr") part.as_mut_ptr_range().end,
            out("r4") _,
            out("r5") _,
            out("r8") _,
            out("r9") _,
            out("r10") _,
            out("r11") _,
        );
    }
}

/// The same on other processors.
#[cfg(not(all(target_arch = "arm", feature = "dsp")))]
pub fn transform(source: &[i8], pitch: usize, channels: usize, sums: &[Sum], v: &mut [u32]) {
    use super::lanes::{add, even_bytes, odd_bytes, subtract};

    let mut v = v;
    for &(a, b, complement) in sums {
        for first in (0..channels).step_by(4) {
            let group = take_mut(&mut v, 32);
            // The sums of ten columns, lanes of channels 0 and 2, then of 1 and 3.
            let mut columns = [[0; 2]; COLUMNS];
            for (x, column) in (0..COLUMNS).zip(&mut columns) {
                let word = |y: usize| {
                    let start = pitch
                        .wrapping_mul(y)
                        .wrapping_add(x.wrapping_mul(channels))
                        .wrapping_add(first);
                    let four = source.get(start..).and_then(|s| s.first_chunk::<4>());
                    u32::from_le_bytes(four.map_or([0; 4], |four| four.map(|x| x as u8)))
                };
                let (upper, lower) = (word(a), word(b) ^ complement);
                *column = [
                    add(even_bytes(upper), even_bytes(lower)),
                    add(odd_bytes(upper), odd_bytes(lower)),
                ];
            }
            for (tile, patch) in (0..TILES).zip(columns.windows(4).step_by(2)) {
                let &[d0, d1, d2, d3] = patch else { continue };
                let halves = [[d0[0], d1[0], d2[0], d3[0]], [d0[1], d1[1], d2[1], d3[1]]];
                for (half, [d0, d1, d2, d3]) in (0..2).zip(halves) {
                    let values = [
                        subtract(d0, d2),
                        add(d1, d2),
                        subtract(d2, d1),
                        subtract(d1, d3),
                    ];
                    let places = group.iter_mut().skip(half * 16 + tile).step_by(TILES);
                    for (place, value) in places.zip(values) {
                        *place = value;
                    }
                }
            }
        }
    }
}
