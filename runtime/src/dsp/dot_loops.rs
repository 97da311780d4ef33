//! The inner loops of [`super::dot`]: all filters of a layer at four positions, or at one.

#[cfg(all(target_arch = "arm", feature = "dsp"))]
use super::dot::Arguments;
#[cfg(all(target_arch = "arm", feature = "dsp"))]
use super::requant::asm_with_call;

/// All filters of `arguments` at four positions, with the loop `$loop` that takes `$turn` groups a turn, each of `$code` bytes
/// of code and two to the `$log` bytes of weights. `$first` is a step of its own: two weights in `r2` and `r12` from r0
/// and `$second` bytes further on.
///
/// The arguments are in lr; r4 to r11 are the sums of two filters at four positions.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
macro_rules! filters {
    ($turn:literal, $code:literal, $log:literal, $back:literal, $first:literal, $loop:expr, $arguments:expr) => {
        asm_with_call!(
            "push {{r6, r7}}",
            "sub sp, #52",
            // 0 to 35: as in the arguments; 36: bytes of weights of the groups that the first turn leaves out; 40: where the
            // first turn begins, after its first step; 44: end of the patches; 48: arguments.
            "ldm lr, {{r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11}}",
            "stm sp, {{r1, r2, r3, r4, r5, r6, r7, r8, r9}}",
            "str lr, [sp, #48]",
            "subs r0, r10, #4",
            "add r9, r9, r11, lsl #5",
            "negs r2, r11",
            concat!("and r2, r2, #(", $turn, " - 1)"),
            // Bytes of code and of weights that are left out.
            concat!("adr.w r7, 5f + ", $code, " / 2"),
            concat!("movs r6, #", $code),
            "mla r7, r2, r6, r7",
            concat!("lsls r6, r2, #", $log),
            "orr r7, r7, #1",
            "add r8, sp, #36",
            "stm r8, {{r6, r7, r9}}",
            "b 3f",
            ".balign 4",
            "5:",
            $loop,
            "ldr r2, [sp, #44]",
            "cmp r1, r2",
            "bne.w 5b",
            // Back to i8.
            "ldm sp, {{r1, r2, r3}}",
            "lsls r12, r2, #31",
            "add r2, r2, r1",
            "bmi 9f",
            "ldrd r2, r12, [r2]",
            "smmlar r4, r4, r2, r3",
            "smmlar r5, r5, r2, r3",
            "smmlar r6, r6, r2, r3",
            "smmlar r7, r7, r2, r3",
            "smmlar r8, r8, r12, r3",
            "smmlar r9, r9, r12, r3",
            "smmlar r10, r10, r12, r3",
            "smmlar r11, r11, r12, r3",
            "8:",
            "add r2, sp, #12",
            "ldm r2, {{r2, r3, r12, lr}}",
            "add r2, r2, r1, lsr #2",
            "add r3, r3, r2",
            "add r12, r12, r3",
            "add lr, lr, r12",
            "ssat r4, #8, r4",
            "ssat r5, #8, r5",
            "ssat r6, #8, r6",
            "ssat r7, #8, r7",
            "ssat r8, #8, r8",
            "ssat r9, #8, r9",
            "ssat r10, #8, r10",
            "ssat r11, #8, r11",
            // What is not wanted goes to the last that is, and is overwritten.
            "strb r7, [lr]",
            "strb r11, [lr, #1]",
            "strb r6, [r12]",
            "strb r10, [r12, #1]",
            "strb r5, [r3]",
            "strb r9, [r3, #1]",
            "strb r4, [r2]",
            "strb r8, [r2, #1]",
            // A pair of filters: its first step, from its biases on.
            "3:",
            "ldr r2, [sp, #28]",
            "ldr lr, [sp, #32]",
            "cmp r0, r2",
            "beq.w 13f",
            "ldr r4, [r1], #4",
            "ldr r8, [r1], #4",
            $first,
            "ldr r3, [lr, #8]",
            "ldr r9, [lr, #12]",
            "ldr r10, [lr, #16]",
            "ldr r11, [lr, #20]",
            "smlad r5, r2, r9, r4",
            "smlad r6, r2, r10, r4",
            "smlad r7, r2, r11, r4",
            "smlad r4, r2, r3, r4",
            "smlad r9, r12, r9, r8",
            "smlad r10, r12, r10, r8",
            "smlad r11, r12, r11, r8",
            "smlad r8, r12, r3, r8",
            "ldr r3, [sp, #36]",
            "ldr r12, [sp, #40]",
            "str r1, [sp]",
            concat!("sub r1, lr, r3, lsl #", $back),
            "subs r0, r0, r3",
            "bx r12",
            // Shift, or a narrower range: four sums of one filter, then of the other; r3 for the alignment.
            "9:",
            "push {{r0, r1, r3, r4, r5, r6, r7, r8, r9, r10, r11}}",
            "subs r4, r2, #1",
            "ldr r5, [sp, #92]",
            "add r0, sp, #12",
            "movs r1, #4",
            "ldr r2, [r4]",
            "ldr r3, [r5, #44]",
            "bl {requantize}",
            "add r0, sp, #28",
            "movs r1, #4",
            "ldr r2, [r4, #4]",
            "ldr r3, [r5, #44]",
            "bl {requantize}",
            "pop {{r0, r1, r3, r4, r5, r6, r7, r8, r9, r10, r11}}",
            "b 8b",
            "13:",
            "add sp, #52",
            "pop {{r6, r7}}",
            inout("lr") $arguments => _,
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
        )
    };
}

/// Two weights in `r2` and `r3` by two values of four patches: the first two from r12 and lr, the others loaded by `$rest`.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
macro_rules! products {
    () => {
        "smlad r4, r2, r12, r4
         smlad r8, r3, r12, r8
         smlad r5, r2, lr, r5
         smlad r9, r3, lr, r9
         .if fratc_step < fratc_last
         ldrd r12, lr, [r1, #(16 + 16 * fratc_step)]
         .else
         ldrd r12, lr, [r1, #(16 + 16 * fratc_last)]!
         .endif
         smlad r6, r2, r12, r6
         smlad r10, r3, r12, r10
         smlad r7, r2, lr, r7
         smlad r11, r3, lr, r11
         .set fratc_step, fratc_step + 1
         .endr
         "
    };
}

/// All filters of `arguments` at four positions, of [`BYTES`].
///
/// # Safety
/// With G groups and F filters, an even number: from `weights` to the word `weights_end` there must be F · G words, `patches`
/// must have 8 · G words, `bias` and what `multipliers` leads to F, all aligned, G and F not 0; and what `out` leads to must
/// have F bytes at each position that the strides lead to.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[inline(never)]
pub(super) unsafe fn of_bytes(arguments: &Arguments<'_>) {
    // SAFETY: by the contract. A turn of the inner loop takes four groups, the first of a pair of filters starts after
    // those that G lacks to a multiple of four: with as many patches and weights left out, r1 meets the end of the patches
    // exactly, and r0 has then moved on by one pair's weights, at last to their end. Per pair two biases and multipliers
    // are read and eight bytes of output written. r6 and r7, which the compiler keeps for itself, are saved on the stack;
    // sp is back where it was at the end; all other registers that change are declared. `requantize_all` gets sums that were
    // pushed, on a stack aligned to 8 bytes, and what it may change is pushed too, loaded again after it, or not needed.
    unsafe {
        filters!(
            4,
            120,
            3,
            2,
            "ldr r2, [r0, #4]
             ldr r12, [r0, #8]
             sxtb16 r2, r2
             sxtb16 r12, r12",
            concat!(
                ".set fratc_step, 0
                 .set fratc_last, 7
                 .rept 8
                 ldr.w r2, [r0, #(4 + fratc_step / 2 * 8)]
                 .if fratc_step < 7
                 ldr.w r3, [r0, #(8 + fratc_step / 2 * 8)]
                 .else
                 ldr.w r3, [r0, #32]!
                 .endif
                 ldr.w r12, [r1, #(8 + 16 * fratc_step)]
                 ldr.w lr, [r1, #(12 + 16 * fratc_step)]
                 .if fratc_step % 2
                 sxtb16 r2, r2, ror #8
                 sxtb16 r3, r3, ror #8
                 .else
                 sxtb16 r2, r2
                 sxtb16 r3, r3
                 .endif
                 ",
                products!()
            ),
            arguments
        );
    }
}

/// All filters of `arguments` at four positions, of [`LANES`].
///
/// # Safety
/// As of [`of_bytes`], with twice as many words of weights.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[inline(never)]
pub(super) unsafe fn of_lanes(arguments: &Arguments<'_>) {
    // SAFETY: as in `of_bytes`, with turns of eight groups.
    unsafe {
        filters!(
            8,
            104,
            4,
            1,
            "ldr r2, [r0, #4]
             ldr r12, [r0, #8]",
            concat!(
                ".set fratc_step, 0
                 .set fratc_last, 15
                 .rept 16
                 ldr.w r2, [r0, #(4 + 8 * fratc_step)]
                 .if fratc_step < 15
                 ldr.w r3, [r0, #(8 + 8 * fratc_step)]
                 .else
                 ldr.w r3, [r0, #128]!
                 .endif
                 ldr.w r12, [r1, #(8 + 16 * fratc_step)]
                 ldr.w lr, [r1, #(12 + 16 * fratc_step)]
                 ",
                products!()
            ),
            arguments
        );
    }
}

/// All filters of `arguments` at position 0, of [`LANES`].
///
/// # Safety
/// As of [`of_lanes`].
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[inline(never)]
pub(super) unsafe fn of_one(arguments: &Arguments<'_>) {
    // SAFETY: by the contract. A turn of the inner loop takes a group, four words of weights and position 0's two of the
    // patches: it meets the end of the patches exactly, and r0 has then moved on by one pair's weights, at last to their
    // end. Per pair two biases and multipliers are read and two bytes of output written. r6 and r7, which the compiler keeps for
    // itself, are saved on the stack; sp is back where it was at the end; all other registers that change are declared.
    // `requantize_all` is called as in `of_bytes`.
    unsafe {
        asm_with_call!(
            "push {{r6, r7, lr}}",
            "sub sp, #4",
            // r7: bias; r9: patches; r10: their end; r11: output.
            "ldm lr, {{r7, r8, r9, r11}}",
            "ldr r9, [lr, #32]",
            "ldr r0, [lr, #36]",
            "ldr r10, [lr, #40]",
            "add r11, r11, r7, lsr #2",
            "adds r9, #8",
            "adds r11, #2",
            "add r10, r9, r10, lsl #5",
            "2:",
            "ldrd r4, r5, [r7], #8",
            "mov r1, r9",
            "3:",
            "ldm r0!, {{r2, r3, r6, r12}}",
            "ldr lr, [r1], #16",
            "ldr r8, [r1], #16",
            "smlad r4, r2, lr, r4",
            "smlad r5, r3, lr, r5",
            "cmp r1, r10",
            "smlad r4, r6, r8, r4",
            "smlad r5, r12, r8, r5",
            "bne 3b",
            // Back to i8.
            "ldr lr, [sp, #12]",
            "ldr r2, [lr, #4]",
            "ldr r12, [lr, #8]",
            "lsls r3, r2, #31",
            "add r2, r2, r7",
            "bmi 9f",
            "ldrd r2, r3, [r2]",
            "smmlar r4, r4, r2, r12",
            "smmlar r5, r5, r3, r12",
            "ssat r4, #8, r4",
            "ssat r5, #8, r5",
            "8:",
            "ldr r2, [lr, #28]",
            "strb r4, [r11], #1",
            "subs r2, r0, r2",
            "strb r5, [r11], #1",
            "cmp r2, #4",
            "bne 2b",
            "b 13f",
            // Shift, or a narrower range; r1 for the alignment.
            "9:",
            "push {{r0, r1, r4, r5}}",
            "subs r4, r2, #1",
            "ldr r5, [lr, #44]",
            "add r0, sp, #8",
            "movs r1, #1",
            "ldr r2, [r4]",
            "mov r3, r5",
            "bl {requantize}",
            "add r0, sp, #12",
            "movs r1, #1",
            "ldr r2, [r4, #4]",
            "mov r3, r5",
            "bl {requantize}",
            "pop {{r0, r1, r4, r5}}",
            "ldr lr, [sp, #12]",
            "b 8b",
            "13:",
            "add sp, #4",
            "pop {{r6, r7, lr}}",
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
