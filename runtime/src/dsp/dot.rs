//! Four patches against all filters, two at a time: the inner loops of convolutions.

use super::super::requant::Requant;

/// Positions worked on at once.
pub const POSITIONS: usize = 4;

/// Words that four values of the patches take: a word of each patch with the values 0 and 2, then one with 1 and 3.
pub const GROUP: usize = 2 * POSITIONS;

/// Filters and what follows their sums.
#[derive(Debug, Clone, Copy)]
pub struct Filters<'a> {
    /// `[pair of filters][values / 4][filter]`, four values in a word, the first in the low byte; or, if `wide`,
    /// `[pair of filters][values / 2][filter]`, two 16-bit lanes in a word: of four values 0 and 2, then 1 and 3. With
    /// an odd number of filters the last pair is the last two.
    pub weights: &'a [i32],
    /// Whether weights are 16-bit lanes.
    pub wide: bool,
    /// Start of each filter's sums.
    pub bias: &'a [i32],
    /// Way back to `i8`.
    pub requant: Requant<'a>,
}

/// `out[p · O + o] = requant(bias[o] + Σ weights[o] · patch p)` for the first `count` of four patches and all O
/// filters, at least two.
///
/// `patches` holds [`GROUP`] words for four values. Where lengths do not match, nothing is computed.
pub fn dot(patches: &[u32], filters: &Filters<'_>, out: &mut [i8], count: usize) {
    let groups = patches.len() / GROUP;
    let channels = filters.bias.len();
    let pair = groups.wrapping_mul(if filters.wide { 4 } else { 2 });
    let weights = pair.checked_mul(channels.wrapping_add(1) / 2);
    let written = channels.checked_mul(count);
    let fits = groups > 0
        && channels > 1
        && count.wrapping_sub(1) < POSITIONS
        && filters.requant.multipliers.len() >= channels
        && weights.is_some_and(|needed| needed <= filters.weights.len())
        && written.is_some_and(|needed| needed <= out.len());
    if fits {
        run(patches, groups, filters, out, count);
    }
}

#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[inline(always)]
fn run(patches: &[u32], groups: usize, filters: &Filters<'_>, out: &mut [i8], count: usize) {
    let Filters {
        weights,
        wide,
        bias,
        requant,
    } = filters;
    let channels = bias.len();
    let Some(even) = bias.get(..channels & !1) else {
        return;
    };
    let stride = |position: usize| if position < count { channels } else { 0 };
    let mut arguments = Arguments {
        patches: patches.as_ptr(),
        groups,
        wide: usize::from(*wide),
        weights: weights.as_ptr(),
        bias: even.as_ptr(),
        bias_end: even.as_ptr_range().end,
        multipliers: requant.multipliers.as_ptr(),
        rare: usize::from(requant.shift & 31 != 0 || requant.max.wrapping_sub(requant.min) != 255),
        shift: requant.shift & 31,
        zero_point: requant.zero_point,
        min: requant.min,
        max: requant.max,
        out: out.as_mut_ptr(),
        strides: [stride(1), stride(2), stride(3)],
    };
    // SAFETY: by `dot`'s checks all pointers reach what `multiply` says, for the pairs in `even`.
    unsafe { multiply(&mut arguments) };
    if channels % 2 == 1 {
        // The last filter, with the one before it again.
        let before = channels.wrapping_sub(2);
        arguments.bias = bias.as_ptr().wrapping_add(before);
        arguments.bias_end = bias.as_ptr_range().end;
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
    /// 0: Patches.
    patches: *const u32,
    /// 4: Groups of four values.
    groups: usize,
    /// 8: 1 for weights of 16 bits.
    wide: usize,
    /// 12*: Weights of the next pair.
    weights: *const i32,
    /// 16*: Bias of the next filter.
    bias: *const i32,
    /// 20: Past the last filter's bias.
    bias_end: *const i32,
    /// 24*: Multiplier of the next filter.
    multipliers: *const i32,
    /// 28: 1 if there is a shift or a narrower range than that of `i8`.
    rare: usize,
    /// 32: Left shift.
    shift: u32,
    /// 36: Zero point.
    zero_point: i32,
    /// 40: Smallest output.
    min: i32,
    /// 44: Largest output.
    max: i32,
    /// 48*: The next filter's output at position 0.
    out: *mut i8,
    /// 52: Bytes from each position's outputs to the next one's; 0 to those that are not wanted.
    strides: [usize; 3],
}

/// One instruction for each sum.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
macro_rules! each {
    ($before:literal, $between:literal, $after:literal) => {
        concat!(
            $before, "r4", $between, "r4", $after, "\n", $before, "r5", $between, "r5", $after,
            "\n", $before, "r6", $between, "r6", $after, "\n", $before, "r7", $between, "r7",
            $after, "\n", $before, "r8", $between, "r8", $after, "\n", $before, "r9", $between,
            "r9", $after, "\n", $before, "r10", $between, "r10", $after, "\n", $before, "r11",
            $between, "r11", $after,
        )
    };
}

/// All filters of `arguments` at four positions.
///
/// # Safety
/// With G groups and F filters (an even number, those between `bias` and `bias_end`): `patches` must have 8 · G words,
/// `weights` F · G, twice as many if `wide`, `bias` and `multipliers` F, all aligned, G and F not 0; and `out` must
/// have F bytes at each position that the strides lead to.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[inline(never)]
unsafe fn multiply(arguments: &mut Arguments) {
    // SAFETY: by the contract. A turn of either inner loop takes four groups, the first of a pair of filters starts
    // after those that G lacks to a multiple of four: with as many patches and weights left out, r1 meets the end of
    // the patches exactly, and r0 has then moved on by one pair's weights. Per pair two biases and multipliers are
    // read and eight bytes of output written. r6 and r7, which the compiler keeps for itself, are saved on the stack;
    // sp is back where it was at the end; all other registers that change are declared.
    unsafe {
        core::arch::asm!(
            "push {{r6, r7}}",
            "sub sp, #24",
            // 0: end of the patches; 4: first step; 8: arguments; 12: patches; 16: weights.
            "ldr r1, [lr]",
            "ldr r0, [lr, #4]",
            "ldr r2, [lr, #8]",
            "ldr r3, [lr, #12]",
            "str lr, [sp, #8]",
            "subs r1, #8",
            "add r4, r1, r0, lsl #5",
            "str r4, [sp]",
            "negs r0, r0",
            "and r0, r0, #3",
            "sub r1, r1, r0, lsl #5",
            "str r1, [sp, #12]",
            // Bytes of code and of weights that are left out.
            "adr.w r5, 5f",
            "movs r6, #120",
            "movs r4, #8",
            "cbz r2, 2f",
            "adr.w r5, 6f",
            "movs r6, #104",
            "movs r4, #16",
            "2:",
            "mla r5, r0, r6, r5",
            "mul r4, r0, r4",
            "adds r5, #1",
            "str r4, [sp, #20]",
            "str r5, [sp, #4]",
            "subs r3, #4",
            "str r3, [sp, #16]",
            // A pair of filters.
            "3:",
            "ldr r2, [lr, #16]",
            "ldr r12, [sp, #4]",
            "ldr r1, [sp, #12]",
            "ldr r0, [sp, #16]",
            "ldr r3, [sp, #20]",
            "ldrd r4, r8, [r2], #8",
            "subs r0, r0, r3",
            "str r2, [lr, #16]",
            "mov r5, r4",
            "mov r6, r4",
            "mov r7, r4",
            "mov r9, r8",
            "mov r10, r8",
            "mov r11, r8",
            "bx r12",
            ".balign 4",
            // Weights of 8 bits: four groups, each of 120 bytes of code.
            "5:",
            ".set fratc_step, 0",
            ".rept 8",
            "ldr.w r2, [r0, #(4 + fratc_step / 2 * 8)]",
            ".if fratc_step < 7",
            "ldr.w r3, [r0, #(8 + fratc_step / 2 * 8)]",
            ".else",
            "ldr.w r3, [r0, #32]!",
            ".endif",
            "ldr.w r12, [r1, #(8 + 16 * fratc_step)]",
            "ldr.w lr, [r1, #(12 + 16 * fratc_step)]",
            ".if fratc_step % 2",
            "sxtb16 r2, r2, ror #8",
            "sxtb16 r3, r3, ror #8",
            ".else",
            "sxtb16 r2, r2",
            "sxtb16 r3, r3",
            ".endif",
            "smlad r4, r2, r12, r4",
            "smlad r8, r3, r12, r8",
            "smlad r5, r2, lr, r5",
            "smlad r9, r3, lr, r9",
            ".if fratc_step < 7",
            "ldrd r12, lr, [r1, #(16 + 16 * fratc_step)]",
            ".else",
            "ldrd r12, lr, [r1, #128]!",
            ".endif",
            "smlad r6, r2, r12, r6",
            "smlad r10, r3, r12, r10",
            "smlad r7, r2, lr, r7",
            "smlad r11, r3, lr, r11",
            ".set fratc_step, fratc_step + 1",
            ".endr",
            "ldr r2, [sp]",
            "cmp r1, r2",
            "bne.w 5b",
            "b.w 7f",
            ".balign 4",
            // Weights of 16 bits: four groups, each of 104 bytes of code.
            "6:",
            ".set fratc_step, 0",
            ".rept 8",
            "ldr.w r2, [r0, #(4 + 8 * fratc_step)]",
            ".if fratc_step < 7",
            "ldr.w r3, [r0, #(8 + 8 * fratc_step)]",
            ".else",
            "ldr.w r3, [r0, #64]!",
            ".endif",
            "ldr.w r12, [r1, #(8 + 16 * fratc_step)]",
            "ldr.w lr, [r1, #(12 + 16 * fratc_step)]",
            "smlad r4, r2, r12, r4",
            "smlad r8, r3, r12, r8",
            "smlad r5, r2, lr, r5",
            "smlad r9, r3, lr, r9",
            ".if fratc_step < 7",
            "ldrd r12, lr, [r1, #(16 + 16 * fratc_step)]",
            ".else",
            "ldrd r12, lr, [r1, #128]!",
            ".endif",
            "smlad r6, r2, r12, r6",
            "smlad r10, r3, r12, r10",
            "smlad r7, r2, lr, r7",
            "smlad r11, r3, lr, r11",
            ".set fratc_step, fratc_step + 1",
            ".endr",
            "ldr r2, [sp]",
            "cmp r1, r2",
            "bne.w 6b",
            // Back to i8.
            "7:",
            "ldr lr, [sp, #8]",
            "str r0, [sp, #16]",
            "ldr r0, [lr, #24]",
            "ldr r1, [lr, #28]",
            "ldr r12, [lr, #36]",
            "ldrd r2, r3, [r0], #8",
            "str r0, [lr, #24]",
            "cmp r1, #0",
            "bne.w 9f",
            "smmlar r4, r4, r2, r12",
            "smmlar r5, r5, r2, r12",
            "smmlar r6, r6, r2, r12",
            "smmlar r7, r7, r2, r12",
            "smmlar r8, r8, r3, r12",
            "smmlar r9, r9, r3, r12",
            "smmlar r10, r10, r3, r12",
            "smmlar r11, r11, r3, r12",
            "8:",
            "ldr r0, [lr, #48]",
            "ldr r1, [lr, #52]",
            "ldr r2, [lr, #56]",
            "ldr r3, [lr, #60]",
            each!("ssat ", ", #8, ", ""),
            "adds r1, r1, r0",
            "adds r2, r2, r1",
            "adds r3, r3, r2",
            // What is not wanted goes to the last that is, and is overwritten.
            "strb r7, [r3]",
            "strb r11, [r3, #1]",
            "strb r6, [r2]",
            "strb r10, [r2, #1]",
            "strb r5, [r1]",
            "strb r9, [r1, #1]",
            "strb r4, [r0]",
            "strb r8, [r0, #1]",
            "adds r0, #2",
            "ldr r1, [lr, #16]",
            "ldr r2, [lr, #20]",
            "str r0, [lr, #48]",
            "cmp r1, r2",
            "bne.w 3b",
            "ldr r0, [sp, #16]",
            "adds r0, #4",
            "str r0, [lr, #12]",
            "b.w 13f",
            // Shift, and a narrower range.
            "9:",
            "ldr r1, [lr, #32]",
            each!("lsl ", ", ", ", r1"),
            "smmlar r4, r4, r2, r12",
            "smmlar r5, r5, r2, r12",
            "smmlar r6, r6, r2, r12",
            "smmlar r7, r7, r2, r12",
            "smmlar r8, r8, r3, r12",
            "smmlar r9, r9, r3, r12",
            "smmlar r10, r10, r3, r12",
            "smmlar r11, r11, r3, r12",
            "ldr r0, [lr, #40]",
            "ldr r1, [lr, #44]",
            each!("cmp r0, ", "\nit gt\nmovgt ", ", r0"),
            each!("cmp r1, ", "\nit lt\nmovlt ", ", r1"),
            "b.w 8b",
            "13:",
            "add sp, #24",
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

#[cfg(not(all(target_arch = "arm", feature = "dsp")))]
fn run(patches: &[u32], groups: usize, filters: &Filters<'_>, out: &mut [i8], count: usize) {
    use super::super::requant::requantize;
    use super::lanes::{even_bytes, multiply_add, odd_bytes};

    let channels = filters.bias.len();
    let words = if filters.wide { 4 } else { 2 };
    for position in 0..count {
        let start = position.wrapping_mul(channels);
        let pixel = out.get_mut(start..).unwrap_or(&mut []);
        let outputs = pixel.iter_mut().zip(filters.bias);
        let outputs = outputs.zip(filters.requant.multipliers);
        for (filter, ((out, &bias), &multiplier)) in (0..channels).zip(outputs) {
            // With an odd number of filters the last is the second of its pair.
            let last = filter.wrapping_add(1) == channels;
            let second = if last { 1 } else { filter % 2 };
            let pair = if last {
                channels.wrapping_sub(1)
            } else {
                filter
            } / 2;
            let start = pair.wrapping_mul(groups).wrapping_mul(words);
            let mut acc = bias;
            for (group, patches) in (0..groups).zip(patches.chunks(GROUP)) {
                let at = start
                    .wrapping_add(group.wrapping_mul(words))
                    .wrapping_add(second);
                let weight = |at: usize| filters.weights.get(at).copied().unwrap_or(0) as u32;
                let [even, odd] = if filters.wide {
                    [weight(at), weight(at.wrapping_add(2))]
                } else {
                    [even_bytes(weight(at)), odd_bytes(weight(at))]
                };
                let patch = |at: usize| patches.get(at).copied().unwrap_or(0);
                acc = multiply_add(even, patch(position), acc);
                acc = multiply_add(odd, patch(position.wrapping_add(POSITIONS)), acc);
            }
            *out = requantize(acc, multiplier, &filters.requant);
        }
    }
}
