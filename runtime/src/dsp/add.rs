//! Sum of two tensors, four elements at a time; see [`takes`].

use super::super::add::Add;

/// Largest shift: with it, and the bounds on the rest, no sum leaves `i32`.
const SHIFT: u32 = 20;

/// Largest factor.
const FACTOR: i32 = 1 << 21;

/// Largest constant.
const CONSTANT: i32 = 1 << 29;

/// Whether the kernel takes a layer: outputs may be anything, and the zero point can be added before the shift.
pub const fn takes(layer: &Add) -> bool {
    let Add {
        factors: [a, b],
        constant,
        shift,
        zero_point,
        min,
        max,
    } = *layer;
    let factors = a >= -FACTOR && a <= FACTOR && b >= -FACTOR && b <= FACTOR;
    let constant = constant >= -CONSTANT && constant <= CONSTANT;
    let zero_point = zero_point >= -128 && zero_point <= 127;
    factors && constant && zero_point && shift <= SHIFT && min == -128 && max == 127
}

/// `output = a + b`.
#[inline(always)]
pub fn add(layer: &Add, a: &[i8], b: &[i8], output: &mut [i8]) {
    #[cfg(all(target_arch = "arm", feature = "dsp"))]
    {
        let count = output.len().min(a.len()).min(b.len());
        // SAFETY: all three have `count` bytes.
        unsafe { run(layer, a.as_ptr(), b.as_ptr(), output.as_mut_ptr(), count) };
    }
    #[cfg(not(all(target_arch = "arm", feature = "dsp")))]
    super::super::add::add(layer, a, b, output);
}

/// `a = a + b`, in place; the same bytes as [`add`].
#[inline(always)]
pub fn add_in_place(layer: &Add, a: &mut [i8], b: &[i8]) {
    #[cfg(all(target_arch = "arm", feature = "dsp"))]
    {
        let count = a.len().min(b.len());
        let a = a.as_mut_ptr();
        // SAFETY: both have `count` bytes; outputs go where the first input was.
        unsafe { run(layer, a, b.as_ptr(), a, count) };
    }
    #[cfg(not(all(target_arch = "arm", feature = "dsp")))]
    super::super::add::add_in_place(layer, a, b);
}

/// `b = a + b`, in place; the same bytes as [`add`].
#[inline(always)]
pub fn add_in_place_second(layer: &Add, a: &[i8], b: &mut [i8]) {
    #[cfg(all(target_arch = "arm", feature = "dsp"))]
    {
        let count = a.len().min(b.len());
        let b = b.as_mut_ptr();
        // SAFETY: both have `count` bytes; outputs go where the second input was.
        unsafe { run(layer, a.as_ptr(), b, b, count) };
    }
    #[cfg(not(all(target_arch = "arm", feature = "dsp")))]
    super::super::add::add_in_place_second(layer, a, b);
}

/// All elements.
///
/// # Safety
/// `count` bytes must be readable at `a` and `b`, and writable at `out`, which may be one of them.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[inline(never)]
unsafe fn run(layer: &Add, a: *const i8, b: *const i8, out: *mut i8, count: usize) {
    let layer = core::hint::black_box(layer);
    let [first, second] = layer.factors;
    let shift = layer.shift & 31;
    let constant = layer
        .constant
        .wrapping_add(layer.zero_point.wrapping_shl(shift));
    // SAFETY: by the contract: four elements are read before they are written, `count / 4` times, then one at a time as
    // many as are left; LDR needs no alignment on these cores. All registers that change are declared.
    unsafe {
        core::arch::asm!(
            "subs lr, lr, #4",
            "blo 3f",
            "2:",
            "ldr r3, [r0], #4",
            "ldr r4, [r1], #4",
            "subs lr, lr, #4",
            "sxtb.w r5, r3",
            "sxtb.w r8, r4",
            "mla r5, r5, r9, r11",
            "mla r5, r8, r10, r5",
            "asr r5, r5, r12",
            "ssat r5, #8, r5",
            "strb r5, [r2], #1",
            "sxtb.w r5, r3, ror #8",
            "sxtb.w r8, r4, ror #8",
            "mla r5, r5, r9, r11",
            "mla r5, r8, r10, r5",
            "asr r5, r5, r12",
            "ssat r5, #8, r5",
            "strb r5, [r2], #1",
            "sxtb.w r5, r3, ror #16",
            "sxtb.w r8, r4, ror #16",
            "mla r5, r5, r9, r11",
            "mla r5, r8, r10, r5",
            "asr r5, r5, r12",
            "ssat r5, #8, r5",
            "strb r5, [r2], #1",
            "sxtb.w r5, r3, ror #24",
            "sxtb.w r8, r4, ror #24",
            "mla r5, r5, r9, r11",
            "mla r5, r8, r10, r5",
            "asr r5, r5, r12",
            "ssat r5, #8, r5",
            "strb r5, [r2], #1",
            "bhs 2b",
            "3:",
            "adds lr, lr, #4",
            "beq 5f",
            "4:",
            "ldrsb r5, [r0], #1",
            "ldrsb r8, [r1], #1",
            "subs lr, lr, #1",
            "mla r5, r5, r9, r11",
            "mla r5, r8, r10, r5",
            "asr r5, r5, r12",
            "ssat r5, #8, r5",
            "strb r5, [r2], #1",
            "bne 4b",
            "5:",
            inout("r0") a => _,
            inout("r1") b => _,
            inout("r2") out => _,
            inout("lr") count => _,
            in("r9") first,
            in("r10") second,
            in("r11") constant,
            in("r12") shift,
            out("r3") _,
            out("r4") _,
            out("r5") _,
            out("r8") _,
            options(nostack)
        );
    }
}
