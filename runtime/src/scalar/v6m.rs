//! Convolution for Cortex-M0 and M0+: one filter on four positions, its sums in the high registers.

use super::super::shape::Element;
use super::conv::{gather, padded, run, Conv, Gather, POSITIONS};

/// Words of `filters` filters of `values` weights.
pub const fn filter_words(filters: usize, values: usize) -> usize {
    filters.wrapping_mul(padded(values) / 4)
}

/// Runs the convolution; weights are `[O][KH · KW · I]`, four in a word, the first in the low byte.
#[inline(always)]
pub fn conv<T: Element>(layer: &Conv<'_>, input: &[T], output: &mut [i8], scratch: &mut [i8]) {
    let gather = |at: [usize; 2], position: usize, patches: &mut [[i32; POSITIONS]]| {
        gather(layer, input, at, position, patches);
    };
    of_patches(layer, &gather, output, scratch);
}

/// [`conv`], whatever is gathered.
#[inline(never)]
fn of_patches(layer: &Conv<'_>, gather: &Gather<'_>, output: &mut [i8], scratch: &mut [i8]) {
    run(layer, gather, output, scratch, dot);
}

/// The next value of each of four positions, times the next weight.
#[cfg(all(target_arch = "arm", feature = "v6m"))]
macro_rules! value {
    () => {
        "ldrsb r3, [r1, r2]
         adds r2, #1
         ldm r0!, {{r4, r5, r6, r7}}
         muls r4, r3, r4
         add r8, r4
         muls r5, r3, r5
         add r9, r5
         muls r6, r3, r6
         add r10, r6
         muls r7, r3, r7
         add r11, r7"
    };
}

/// Bias plus products.
#[cfg(all(target_arch = "arm", feature = "v6m"))]
#[inline(never)]
fn dot(patches: &[[i32; POSITIONS]], weights: &[i32], bias: [i32; 1]) -> [[i32; POSITIONS]; 1] {
    let mut sums = [[bias[0]; POSITIONS]];
    if patches.is_empty()
        || patches.len() % super::conv::STEP != 0
        || weights.len() < patches.len() / 4
    {
        return sums;
    }
    let sums_at = &raw mut sums;
    // SAFETY: with V values, a multiple of 16 above 0, the loop runs V / 8 times, r2 from −V to 0, and reads 4 · V words of
    // `patches` and the V bytes of `weights` before r1, which are there: a word holds four. `sums` is four words. r6 and
    // r7, which the compiler keeps for itself, are saved on the stack; all other registers that change are declared.
    unsafe {
        core::arch::asm!(
            "push {{r3, r6, r7}}",
            "ldm r3!, {{r4, r5, r6, r7}}",
            "mov r8, r4",
            "mov r9, r5",
            "mov r10, r6",
            "mov r11, r7",
            "2:",
            value!(),
            value!(),
            value!(),
            value!(),
            value!(),
            value!(),
            value!(),
            value!(),
            "cmp r2, #0",
            "bne 2b",
            "mov r4, r8",
            "mov r5, r9",
            "mov r6, r10",
            "mov r7, r11",
            "ldr r3, [sp]",
            "stm r3!, {{r4, r5, r6, r7}}",
            "pop {{r3, r6, r7}}",
            inout("r0") patches.as_ptr() => _,
            inout("r1") weights.as_ptr().wrapping_byte_add(patches.len()) => _,
            inout("r2") patches.len().wrapping_neg() => _,
            inout("r3") sums_at => _,
            out("r4") _, out("r5") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    sums
}

/// The same, portable.
#[cfg(not(all(target_arch = "arm", feature = "v6m")))]
fn dot(patches: &[[i32; POSITIONS]], weights: &[i32], bias: [i32; 1]) -> [[i32; POSITIONS]; 1] {
    let mut sums = [[bias[0]; POSITIONS]];
    let weights = weights.iter().flat_map(|word| word.to_le_bytes());
    super::conv::multiply_add(&mut sums[0], patches, weights.map(|w| w as i8));
    sums
}
