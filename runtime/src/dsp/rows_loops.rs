//! The inner loops of [`super::rows`]: all filters at eight positions of a row.

#[cfg(all(target_arch = "arm", feature = "dsp"))]
use super::super::requant::Requant;
#[cfg(not(all(target_arch = "arm", feature = "dsp")))]
use super::lanes::{even_bytes, odd_bytes};
#[cfg(all(target_arch = "arm", feature = "dsp"))]
use super::requant::{asm_with_call, is_plain};
use super::rows::Rows;
#[cfg(not(all(target_arch = "arm", feature = "dsp")))]
use super::rows::{COLUMNS, GROUP, TAPS};

/// What the loops need beside pointers in registers; those marked with a star move on.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[repr(C)]
struct Arguments<'a> {
    /// 0: First word of the patches.
    patches: *const u32,
    /// 4: Past their last word.
    patches_end: *const u32,
    /// 8*: Bias of the next filter.
    bias: *const i32,
    /// 12: Past the last filter's bias.
    bias_end: *const i32,
    /// 16*: Multiplier of the next filter.
    multipliers: *const i32,
    /// 20: Way back to `i8`, if it is not [`is_plain`].
    rare: Option<&'a Requant<'a>>,
    /// 24: Zero point.
    zero_point: i32,
    /// 28*: The next filter's output at the last position; one position behind it if their number is odd.
    out: *mut i8,
    /// 32: Bytes from one position's output to the one before.
    back: usize,
    /// 36: Positions.
    count: usize,
    /// 40: First word of the second part of the patches.
    second: *const u32,
    /// 44: Past the last word of the last part.
    last_end: *const u32,
}

/// All filters at `count` positions; the kernel's rows are those of `first`, then those of `second`.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[inline(never)]
pub(super) fn run(layer: &Rows<'_>, first: &[u32], second: &[u32], out: &mut [i8], count: usize) {
    let Rows {
        weights,
        bias,
        requant,
        ..
    } = layer;
    let first_end = first.as_ptr().wrapping_add(first.len());
    let second_end = second.as_ptr().wrapping_add(second.len());
    let pitch = layer.output.c;
    let last = count.wrapping_sub(1).wrapping_add(count % 2);
    let mut arguments = Arguments {
        patches: first.as_ptr(),
        patches_end: first_end,
        bias: bias.as_ptr(),
        bias_end: bias.as_ptr().wrapping_add(bias.len()),
        multipliers: requant.multipliers.as_ptr(),
        rare: (!is_plain(requant)).then_some(requant),
        zero_point: requant.zero_point,
        out: out.as_mut_ptr().wrapping_add(last.wrapping_mul(pitch)),
        back: 0_usize.wrapping_sub(pitch),
        count,
        second: second.as_ptr(),
        last_end: if second.is_empty() {
            first_end
        } else {
            second_end
        },
    };
    // SAFETY: by the caller's checks, with C channels, a multiple of 4, R rows and F filters: `first` and `second`
    // are whole rows of GROUP · C / 4 words, R in all, `first` not empty; a turn of the inner loop takes GROUP = 20
    // words, so both ends are met exactly, and per filter there are R · C / 4 turns of three words of weights each,
    // at most `weights.len()` in all. `bias` has F words and `multipliers` at least F, read once each, moving on by
    // one. Output bytes are `p · pitch + o` with p < count, which is 1 to 8, and o < F ≤ pitch: all inside `out`, by its length. Words
    // are aligned, being of type u32 and i32. r6 and r7, which the compiler keeps for itself, are saved on the stack;
    // sp is back where it was at the end; all other registers that change are declared. `requantize_all` gets sums that were
    // pushed, on a stack aligned to 8 bytes, and what it may change is pushed too, loaded again after it, or not needed.
    unsafe {
        asm_with_call!(
            "push {{r6, r7}}",
            "sub sp, #8",
            "str r1, [sp, #4]",
            // One filter. All accumulators start at its bias.
            "2:",
            "ldr lr, [sp, #4]",
            "ldr r3, [lr, #8]",
            "ldr r1, [lr]",
            "ldr r2, [lr, #4]",
            "ldr r4, [r3], #4",
            "str r3, [lr, #8]",
            "str r2, [sp]",
            "mov r5, r4",
            "mov r6, r4",
            "mov r7, r4",
            "mov r8, r4",
            "mov r9, r4",
            "mov r10, r4",
            "mov r11, r4",
            // Four channels of a row: three taps, ten columns; first the channels 0 and 2.
            "3:",
            "ldm r0, {{r2, r3, r12}}",
            "sxtb16 r2, r2",
            "sxtb16 r3, r3",
            "sxtb16 r12, r12",
            "ldr lr, [r1], #80",
            "smlad r4, r2, lr, r4",
            "ldr lr, [r1, #-76]",
            "smlad r4, r3, lr, r4",
            "smlad r5, r2, lr, r5",
            "ldr lr, [r1, #-72]",
            "smlad r4, r12, lr, r4",
            "smlad r5, r3, lr, r5",
            "smlad r6, r2, lr, r6",
            "ldr lr, [r1, #-68]",
            "smlad r5, r12, lr, r5",
            "smlad r6, r3, lr, r6",
            "smlad r7, r2, lr, r7",
            "ldr lr, [r1, #-64]",
            "smlad r6, r12, lr, r6",
            "smlad r7, r3, lr, r7",
            "smlad r8, r2, lr, r8",
            "ldr lr, [r1, #-60]",
            "smlad r7, r12, lr, r7",
            "smlad r8, r3, lr, r8",
            "smlad r9, r2, lr, r9",
            "ldr lr, [r1, #-56]",
            "smlad r8, r12, lr, r8",
            "smlad r9, r3, lr, r9",
            "smlad r10, r2, lr, r10",
            "ldr lr, [r1, #-52]",
            "smlad r9, r12, lr, r9",
            "smlad r10, r3, lr, r10",
            "smlad r11, r2, lr, r11",
            "ldr lr, [r1, #-48]",
            "smlad r10, r12, lr, r10",
            "smlad r11, r3, lr, r11",
            "ldr lr, [r1, #-44]",
            "smlad r11, r12, lr, r11",
            "ldm r0!, {{r2, r3, r12}}",
            "sxtb16 r2, r2, ror #8",
            "sxtb16 r3, r3, ror #8",
            "sxtb16 r12, r12, ror #8",
            "ldr lr, [r1, #-40]",
            "smlad r4, r2, lr, r4",
            "ldr lr, [r1, #-36]",
            "smlad r4, r3, lr, r4",
            "smlad r5, r2, lr, r5",
            "ldr lr, [r1, #-32]",
            "smlad r4, r12, lr, r4",
            "smlad r5, r3, lr, r5",
            "smlad r6, r2, lr, r6",
            "ldr lr, [r1, #-28]",
            "smlad r5, r12, lr, r5",
            "smlad r6, r3, lr, r6",
            "smlad r7, r2, lr, r7",
            "ldr lr, [r1, #-24]",
            "smlad r6, r12, lr, r6",
            "smlad r7, r3, lr, r7",
            "smlad r8, r2, lr, r8",
            "ldr lr, [r1, #-20]",
            "smlad r7, r12, lr, r7",
            "smlad r8, r3, lr, r8",
            "smlad r9, r2, lr, r9",
            "ldr lr, [r1, #-16]",
            "smlad r8, r12, lr, r8",
            "smlad r9, r3, lr, r9",
            "smlad r10, r2, lr, r10",
            "ldr lr, [r1, #-12]",
            "smlad r9, r12, lr, r9",
            "smlad r10, r3, lr, r10",
            "smlad r11, r2, lr, r11",
            "ldr lr, [r1, #-8]",
            "smlad r10, r12, lr, r10",
            "smlad r11, r3, lr, r11",
            "ldr lr, [r1, #-4]",
            "smlad r11, r12, lr, r11",
            "ldr lr, [sp]",
            "cmp r1, lr",
            "bne.w 3b",
            // The ring's rows before the first, if there are any.
            "mov r2, lr",
            "ldr lr, [sp, #4]",
            "ldr r3, [lr, #44]",
            "cmp r2, r3",
            "beq 4f",
            "ldr r1, [lr, #40]",
            "str r3, [sp]",
            "b.w 3b",
            "4:",
            // Back to i8.
            "ldr r12, [lr, #16]",
            "ldr r2, [lr, #20]",
            "ldr r3, [r12], #4",
            "str r12, [lr, #16]",
            "cmp r2, #0",
            "bne 9f",
            "ldr r2, [lr, #24]",
            "smmlar r4, r4, r3, r2",
            "smmlar r5, r5, r3, r2",
            "smmlar r6, r6, r3, r2",
            "smmlar r7, r7, r3, r2",
            "smmlar r8, r8, r3, r2",
            "smmlar r9, r9, r3, r2",
            "smmlar r10, r10, r3, r2",
            "smmlar r11, r11, r3, r2",
            "ssat r4, #8, r4",
            "ssat r5, #8, r5",
            "ssat r6, #8, r6",
            "ssat r7, #8, r7",
            "ssat r8, #8, r8",
            "ssat r9, #8, r9",
            "ssat r10, #8, r10",
            "ssat r11, #8, r11",
            "8:",
            "ldr r1, [lr, #28]",
            "ldr r2, [lr, #32]",
            "ldr r3, [lr, #36]",
            "add r12, r1, #1",
            "str r12, [lr, #28]",
            // From the last position to the first.
            "tbb [pc, r3]",
            "5:",
            ".byte 0, (61f - 5b) / 2, (62f - 5b) / 2, (63f - 5b) / 2, (64f - 5b) / 2",
            ".byte (65f - 5b) / 2, (66f - 5b) / 2, (67f - 5b) / 2, (68f - 5b) / 2, 0",
            "68:",
            "strb r11, [r1]",
            "67:",
            "strb r10, [r1, r2]",
            "add r1, r1, r2, lsl #1",
            "66:",
            "strb r9, [r1]",
            "65:",
            "strb r8, [r1, r2]",
            "add r1, r1, r2, lsl #1",
            "64:",
            "strb r7, [r1]",
            "63:",
            "strb r6, [r1, r2]",
            "add r1, r1, r2, lsl #1",
            "62:",
            "strb r5, [r1]",
            "61:",
            "strb r4, [r1, r2]",
            "ldr r2, [lr, #8]",
            "ldr r3, [lr, #12]",
            "cmp r2, r3",
            "bne.w 2b",
            "b 13f",
            // Shift, or a narrower range.
            "9:",
            // r1 for the alignment.
            "push {{r0, r1, r4, r5, r6, r7, r8, r9, r10, r11}}",
            "add r0, sp, #8",
            "mov r2, r3",
            "ldr r3, [lr, #20]",
            "movs r1, #8",
            "bl {requantize}",
            "pop {{r0, r1, r4, r5, r6, r7, r8, r9, r10, r11}}",
            "ldr lr, [sp, #4]",
            "b 8b",
            "13:",
            "add sp, #8",
            "pop {{r6, r7}}",
            inout("r0") weights.as_ptr() => _,
            inout("r1") &raw mut arguments => _,
            out("r2") _,
            out("r3") _,
            out("r4") _,
            out("r5") _,
            out("r8") _,
            out("r9") _,
            out("r10") _,
            out("r11") _,
            out("r12") _,
            out("lr") _,
        );
    }
}

#[cfg(not(all(target_arch = "arm", feature = "dsp")))]
pub(super) fn run(layer: &Rows<'_>, first: &[u32], second: &[u32], out: &mut [i8], count: usize) {
    use super::super::requant::requantize;
    use super::super::shape::take;
    use super::lanes::multiply_add;

    for position in 0..count {
        let mut weights = layer.weights;
        let start = position.wrapping_mul(layer.output.c);
        let pixel = out.get_mut(start..).unwrap_or(&mut []);
        let outputs = pixel
            .iter_mut()
            .zip(layer.bias)
            .zip(layer.requant.multipliers);
        for ((out, &bias), &multiplier) in outputs {
            let mut acc = bias;
            for part in [first, second] {
                let mut groups = part;
                while let Some((group, others)) = groups.split_first_chunk::<GROUP>() {
                    let taps = take(&mut weights, TAPS);
                    for (column, &word) in (position..COLUMNS).zip(taps) {
                        let odd = column.wrapping_add(COLUMNS);
                        let pair = [group.get(column), group.get(odd)]
                            .map(|lanes| lanes.copied().unwrap_or(0));
                        acc = multiply_add(even_bytes(word as u32), pair[0], acc);
                        acc = multiply_add(odd_bytes(word as u32), pair[1], acc);
                    }
                    groups = others;
                }
            }
            *out = requantize(acc, multiplier, &layer.requant);
        }
    }
}
