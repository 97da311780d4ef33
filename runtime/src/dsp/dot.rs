//! Eight patches against all filters: the inner loops of convolutions.

use super::super::requant::Requant;

/// Positions worked on at once: one accumulator register each.
pub const POSITIONS: usize = 8;

/// Words that four values of eight patches take: eight words with the values 0 and 2, eight with 1 and 3.
pub const GROUP: usize = 2 * POSITIONS;

/// Filters, four values of one filter in a word, and what follows the sum.
#[derive(Debug, Clone, Copy)]
pub struct Filters<'a> {
    /// `[filter][values / 4]`, the first of four values in the low byte.
    pub weights: &'a [i32],
    /// Start of each filter's sums.
    pub bias: &'a [i32],
    /// Way back to `i8`.
    pub requant: Requant<'a>,
}

/// `out[p · pitch + o] = requant(bias[o] + Σ weights[o] · patch p)` for the first `count` of eight patches.
///
/// `patches` holds [`GROUP`] words for four values: those of filter word `g` are `patches[GROUP · g..]`. Where
/// lengths do not match, nothing is computed.
#[inline(never)]
pub fn dot(patches: &[u32], filters: &Filters<'_>, out: &mut [i8], pitch: usize, count: usize) {
    let groups = patches.len() / GROUP;
    let channels = filters.bias.len();
    let last = count.wrapping_sub(1);
    let weights = groups.checked_mul(channels);
    let written = pitch
        .checked_mul(last)
        .and_then(|start| start.checked_add(channels));
    let fits = groups > 0
        && channels > 0
        && last < POSITIONS
        && filters.requant.multipliers.len() >= channels
        && weights.is_some_and(|needed| needed <= filters.weights.len())
        && written.is_some_and(|needed| needed <= out.len());
    if fits {
        run(patches, groups, filters, out, pitch, count);
    }
}

/// What the loops need beside pointers in registers; those marked with a star move on.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[repr(C)]
pub(super) struct Arguments {
    /// 0: First word of the patches.
    pub patches: *const u32,
    /// 4: Past their last word.
    pub patches_end: *const u32,
    /// 8: 1 if the number of groups is odd.
    pub odd: usize,
    /// 12*: Bias of the next filter.
    pub bias: *const i32,
    /// 16: Past the last filter's bias.
    pub bias_end: *const i32,
    /// 20*: Multiplier of the next filter.
    pub multipliers: *const i32,
    /// 24: Left shift.
    pub shift: u32,
    /// 28: Zero point.
    pub zero_point: i32,
    /// 32: Smallest output.
    pub min: i32,
    /// 36: Largest output.
    pub max: i32,
    /// 40*: The next filter's output at position 0.
    pub out: *mut i8,
    /// 44: Bytes from one position's output to the next.
    pub pitch: usize,
    /// 48: Positions.
    pub count: usize,
    /// 52: First word of the second part of the patches.
    pub second: *const u32,
    /// 56: Past the last word of the last part.
    pub last_end: *const u32,
}

/// Eight words of patches from r1 on, times the lanes in r2, to the accumulators r4 to r11.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
macro_rules! eight {
    ($unpack:literal) => {
        concat!(
            "ldm r1!, {{r3, r12, lr}}\n",
            $unpack,
            "\nsmlad r4, r2, r3, r4\nsmlad r5, r2, r12, r5\nsmlad r6, r2, lr, r6\n",
            "ldm r1!, {{r3, r12, lr}}\n",
            "smlad r7, r2, r3, r7\nsmlad r8, r2, r12, r8\nsmlad r9, r2, lr, r9\n",
            "ldrd r3, r12, [r1], #8\n",
            "smlad r10, r2, r3, r10\nsmlad r11, r2, r12, r11",
        )
    };
}

/// One instruction for each accumulator.
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

/// The accumulators of one filter, r4 to r11, to outputs; lr holds the arguments. Back to `2` for the next filter.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
macro_rules! finish {
    () => {
        concat!(
            // Back to i8.
            "ldr r12, [lr, #20]\n",
            "ldr r2, [lr, #24]\n",
            "ldr r3, [r12], #4\n",
            "str r12, [lr, #20]\n",
            "cmp r2, #0\n",
            "beq 5f\n",
            each!("lsl ", ", ", ", r2"),
            "\n",
            "5:\n",
            "ldr r2, [lr, #28]\n",
            each!("smmlar ", ", ", ", r3, r2"),
            "\n",
            "ldr r2, [lr, #32]\n",
            "ldr r3, [lr, #36]\n",
            "sub r12, r3, r2\n",
            "cmp r12, #255\n",
            "beq 6f\n",
            each!("cmp r2, ", "\nit gt\nmovgt ", ", r2"),
            "\n",
            each!("cmp r3, ", "\nit lt\nmovlt ", ", r3"),
            "\n",
            "6:\n",
            each!("ssat ", ", #8, ", ""),
            "\n",
            "ldr r1, [lr, #40]\n",
            "ldr r2, [lr, #44]\n",
            "ldr r3, [lr, #48]\n",
            "add r12, r1, #1\n",
            "str r12, [lr, #40]\n",
            "cmp r3, #8\n",
            "bne 7f\n",
            "strb r4, [r1]\n",
            "strb r5, [r1, r2]\n",
            "add r1, r1, r2, lsl #1\n",
            "strb r6, [r1]\n",
            "strb r7, [r1, r2]\n",
            "add r1, r1, r2, lsl #1\n",
            "strb r8, [r1]\n",
            "strb r9, [r1, r2]\n",
            "add r1, r1, r2, lsl #1\n",
            "strb r10, [r1]\n",
            "strb r11, [r1, r2]\n",
            "b 8f\n",
            // Fewer than eight positions.
            "7:\n",
            "strb r4, [r1]\n",
            "subs r3, #1\n",
            "beq 8f\n",
            "add r1, r2\n",
            "strb r5, [r1]\n",
            "subs r3, #1\n",
            "beq 8f\n",
            "add r1, r2\n",
            "strb r6, [r1]\n",
            "subs r3, #1\n",
            "beq 8f\n",
            "add r1, r2\n",
            "strb r7, [r1]\n",
            "subs r3, #1\n",
            "beq 8f\n",
            "add r1, r2\n",
            "strb r8, [r1]\n",
            "subs r3, #1\n",
            "beq 8f\n",
            "add r1, r2\n",
            "strb r9, [r1]\n",
            "subs r3, #1\n",
            "beq 8f\n",
            "add r1, r2\n",
            "strb r10, [r1]\n",
            "8:\n",
            "ldr r2, [lr, #12]\n",
            "ldr r3, [lr, #16]\n",
            "cmp r2, r3\n",
            "bne.w 2b\n",
        )
    };
}

#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[allow(unused_imports, reason = "`rows` needs them, if it is there")]
pub(super) use {each, finish};

#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[inline(always)]
fn run(
    patches: &[u32],
    groups: usize,
    filters: &Filters<'_>,
    out: &mut [i8],
    pitch: usize,
    count: usize,
) {
    let Filters {
        weights,
        bias,
        requant,
    } = filters;
    let ends = (
        patches.as_ptr().wrapping_add(groups.wrapping_mul(GROUP)),
        bias.as_ptr().wrapping_add(bias.len()),
    );
    let mut arguments = Arguments {
        patches: patches.as_ptr(),
        patches_end: ends.0,
        odd: groups & 1,
        bias: bias.as_ptr(),
        bias_end: ends.1,
        multipliers: requant.multipliers.as_ptr(),
        shift: requant.shift & 31,
        zero_point: requant.zero_point,
        min: requant.min,
        max: requant.max,
        out: out.as_mut_ptr(),
        pitch,
        count,
        second: patches.as_ptr(),
        last_end: ends.0,
    };
    // SAFETY: by the caller's checks, with G groups and C filters: r1 reads the 16 · G words of `patches` for each of
    // the C filters (the loop ends at `patches_end`, which it meets exactly: it takes an even number of groups, or
    // one less through the entry in its middle); r0 reads G words per filter, at most `weights.len()` in all; `bias`
    // and `multipliers` are read C times, moving on by one. Output bytes are `p · pitch + o` with p < count ≤ 8 and
    // o < C, all below `out.len()`. Words are aligned, being of type u32 and i32. r6 and r7, which the compiler
    // keeps for itself, are saved on the stack; sp is back where it was at the end; all other registers that change
    // are declared.
    unsafe {
        core::arch::asm!(
            "push {{r6, r7}}",
            "sub sp, #8",
            "ldr r2, [r1, #4]",
            "str r2, [sp]",
            "str r1, [sp, #4]",
            // One filter. All accumulators start at its bias.
            "2:",
            "ldr lr, [sp, #4]",
            "ldr r3, [lr, #12]",
            "ldr r1, [lr]",
            "ldr r2, [lr, #8]",
            "ldr r4, [r3], #4",
            "str r3, [lr, #12]",
            "cmp r2, #0",
            "mov r5, r4",
            "mov r6, r4",
            "mov r7, r4",
            "mov r8, r4",
            "mov r9, r4",
            "mov r10, r4",
            "mov r11, r4",
            "bne.w 4f",
            // Two groups a turn.
            "3:",
            "ldr r2, [r0]",
            eight!("sxtb16 r2, r2"),
            "ldr r2, [r0], #4",
            eight!("sxtb16 r2, r2, ror #8"),
            "4:",
            "ldr r2, [r0]",
            eight!("sxtb16 r2, r2"),
            "ldr r2, [r0], #4",
            eight!("sxtb16 r2, r2, ror #8"),
            "ldr lr, [sp]",
            "cmp r1, lr",
            "bne.w 3b",
            "ldr lr, [sp, #4]",
            finish!(),
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
fn run(
    patches: &[u32],
    groups: usize,
    filters: &Filters<'_>,
    out: &mut [i8],
    pitch: usize,
    count: usize,
) {
    use super::super::requant::requantize;
    use super::super::shape::take;
    use super::lanes::{even_bytes, multiply_add, odd_bytes};

    for position in 0..count {
        let mut weights = filters.weights;
        let start = position.wrapping_mul(pitch);
        let pixel = out.get_mut(start..).unwrap_or(&mut []);
        let outputs = pixel.iter_mut().zip(filters.bias);
        for ((out, &bias), &multiplier) in outputs.zip(filters.requant.multipliers) {
            let mut acc = bias;
            let mut patches = patches;
            for &word in take(&mut weights, groups) {
                let group = take(&mut patches, GROUP);
                let even = group.get(position).copied().unwrap_or(0);
                let odd = group
                    .get(position.wrapping_add(POSITIONS))
                    .copied()
                    .unwrap_or(0);
                acc = multiply_add(even_bytes(word as u32), even, acc);
                acc = multiply_add(odd_bytes(word as u32), odd, acc);
            }
            *out = requantize(acc, multiplier, &filters.requant);
        }
    }
}
