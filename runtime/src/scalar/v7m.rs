//! Convolution for Cortex-M3: two filters on four positions, all eight sums in registers.

use super::super::shape::Element;
use super::conv::{gather, padded, run, Conv, Gather, POSITIONS};

/// Filters worked on at once.
pub const FILTERS: usize = 2;

/// Words of `filters` filters of `values` weights.
pub const fn filter_words(filters: usize, values: usize) -> usize {
    let groups = filters.wrapping_add(FILTERS - 1) / FILTERS;
    groups
        .wrapping_mul(FILTERS)
        .wrapping_mul(padded(values) / 4)
}

/// Runs the convolution; weights are `[O / 2][KH · KW · I][2]`, four in a word, the first in the low byte.
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

/// The next value of each of four positions, times the next weight of each of two filters.
#[cfg(all(target_arch = "arm", feature = "v7m"))]
macro_rules! value {
    () => {
        "ldrsb r12, [r1], #1
         ldrsb lr, [r1], #1
         ldm r0!, {{r2, r3}}
         mla r4, r2, r12, r4
         mla r8, r2, lr, r8
         mla r5, r3, r12, r5
         mla r9, r3, lr, r9
         ldm r0!, {{r2, r3}}
         mla r6, r2, r12, r6
         mla r10, r2, lr, r10
         mla r7, r3, r12, r7
         mla r11, r3, lr, r11"
    };
}

/// Biases plus products.
#[cfg(all(target_arch = "arm", feature = "v7m"))]
#[inline(never)]
fn dot(
    patches: &[[i32; POSITIONS]],
    weights: &[i32],
    bias: [i32; FILTERS],
) -> [[i32; POSITIONS]; FILTERS] {
    let mut sums = [[bias[0]; POSITIONS], [bias[1]; POSITIONS]];
    if patches.is_empty()
        || patches.len() % super::conv::STEP != 0
        || weights.len() < patches.len() / 2
    {
        return sums;
    }
    // SAFETY: with V values, a multiple of 16 above 0, the loop runs V / 16 times and reads 4 · V words of `patches`, which
    // end where it ends, and 2 · V bytes of `weights`, which are there: a word holds four. `sums` is eight words. r6 and
    // r7, which the compiler keeps for itself, are saved on the stack; all other registers that change are declared.
    unsafe {
        core::arch::asm!(
            "push {{r2, r3, r6, r7}}",
            "ldm r3, {{r4, r5, r6, r7, r8, r9, r10, r11}}",
            "2:",
            value!(),
            value!(),
            value!(),
            value!(),
            value!(),
            value!(),
            value!(),
            value!(),
            value!(),
            value!(),
            value!(),
            value!(),
            value!(),
            value!(),
            value!(),
            value!(),
            "ldr r2, [sp]",
            "cmp r0, r2",
            "bne 2b",
            "ldr r0, [sp, #4]",
            "stm r0, {{r4, r5, r6, r7, r8, r9, r10, r11}}",
            "pop {{r2, r3, r6, r7}}",
            inout("r0") patches.as_ptr() => _,
            inout("r1") weights.as_ptr() => _,
            inout("r2") patches.as_ptr().wrapping_add(patches.len()) => _,
            inout("r3") &raw mut sums => _,
            out("r4") _, out("r5") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _, out("r12") _, out("lr") _,
        );
    }
    sums
}

/// The same, portable.
#[cfg(not(all(target_arch = "arm", feature = "v7m")))]
fn dot(
    patches: &[[i32; POSITIONS]],
    weights: &[i32],
    bias: [i32; FILTERS],
) -> [[i32; POSITIONS]; FILTERS] {
    let mut sums = [[bias[0]; POSITIONS], [bias[1]; POSITIONS]];
    for (filter, sums) in sums.iter_mut().enumerate() {
        let bytes = weights.iter().flat_map(|word| word.to_le_bytes());
        let weights = bytes.skip(filter).step_by(FILTERS).map(|w| w as i8);
        super::conv::multiply_add(sums, patches, weights);
    }
    sums
}
