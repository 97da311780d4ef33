//! Depthwise convolution for cores without DSP instructions: four channels of one position at a time.

use super::super::requant::requantize;
use super::super::taps::{complete, next, run, Depthwise};

/// Channels worked on at once.
pub const CHANNELS: usize = 4;

/// Runs the convolution; `scratch` has at least [`super::super::taps::scratch_bytes`].
#[inline(never)]
pub fn depthwise(layer: &Depthwise<'_>, input: &[i8], output: &mut [i8], scratch: &mut [i8]) {
    if !complete(layer, CHANNELS) {
        return;
    }
    run(layer, input, output, scratch, tap, |pixels, out| {
        let mut first = Some(0);
        while let Some(channel) = first {
            group(layer, pixels, channel, out);
            first = next(channel, layer.input.c, CHANNELS);
        }
    });
}

/// The outputs of the channels from `first` on.
#[inline(always)]
fn group(layer: &Depthwise<'_>, pixels: &[Tap<'_>], first: usize, out: &mut [i8]) {
    let chunk = |values: &[i32]| values.get(first..)?.first_chunk::<CHANNELS>().copied();
    let (Some(mut sums), Some(multipliers)) = (chunk(layer.bias), chunk(layer.requant.multipliers))
    else {
        return;
    };
    products(layer, pixels, first, &mut sums);
    let out = out.get_mut(first..).unwrap_or(&mut []);
    for ((out, &sum), multiplier) in out.iter_mut().zip(&sums).zip(multipliers) {
        *out = requantize(sum, multiplier, &layer.requant);
    }
}

/// A pixel under the window, of `C` values.
#[cfg(all(target_arch = "arm", any(feature = "v6m", feature = "v7m")))]
type Tap<'a> = *const i8;

#[cfg(all(target_arch = "arm", any(feature = "v6m", feature = "v7m")))]
#[inline(always)]
fn tap(values: &[i8]) -> Tap<'_> {
    values.as_ptr()
}

/// Adds the products of four channels at all taps to `sums`. `layer` is [`complete`], and `first` at most `C − 4`.
#[cfg(all(target_arch = "arm", feature = "v7m"))]
#[inline(always)]
fn products(layer: &Depthwise<'_>, pixels: &[Tap<'_>], first: usize, sums: &mut [i32; CHANNELS]) {
    let [mut a, mut b, mut c, mut d] = *sums;
    // SAFETY: `pixels` has a pointer for each tap, at least one, to C values each (`run`), and the weights are C for each
    // tap (`complete`). The loop runs once for each of them and reads four bytes of both from `first` on, which is at most
    // C − 4. All registers that change are declared; nothing is written.
    unsafe {
        core::arch::asm!(
            "2:",
            "ldr r5, [r0], #4",
            "add r5, r4",
            "ldrsb r12, [r5]",
            "ldrsb lr, [r2]",
            "mla r8, r12, lr, r8",
            "ldrsb r12, [r5, #1]",
            "ldrsb lr, [r2, #1]",
            "mla r9, r12, lr, r9",
            "ldrsb r12, [r5, #2]",
            "ldrsb lr, [r2, #2]",
            "mla r10, r12, lr, r10",
            "ldrsb r12, [r5, #3]",
            "ldrsb lr, [r2, #3]",
            "mla r11, r12, lr, r11",
            "add r2, r3",
            "cmp r0, r1",
            "bne 2b",
            inout("r0") pixels.as_ptr() => _,
            in("r1") pixels.as_ptr_range().end,
            inout("r2") layer.weights.as_ptr().wrapping_add(first) => _,
            in("r3") layer.input.c,
            in("r4") first,
            out("r5") _,
            inout("r8") a,
            inout("r9") b,
            inout("r10") c,
            inout("r11") d,
            out("r12") _,
            out("lr") _,
            options(nostack, readonly)
        );
    }
    *sums = [a, b, c, d];
}

/// Adds the products of four channels at all taps to `sums`. `layer` is [`complete`], and `first` at most `C − 4`.
#[cfg(all(target_arch = "arm", feature = "v6m", not(feature = "v7m")))]
#[inline(never)]
fn products(layer: &Depthwise<'_>, pixels: &[Tap<'_>], first: usize, sums: &mut [i32; CHANNELS]) {
    // SAFETY: `pixels` has a pointer for each tap, at least one, to C values each (`run`), and the weights are C for each
    // tap (`complete`). The loop runs once for each of them and reads four bytes of both from `first` on, which is at most
    // C − 4. `sums` is four words. r6 and r7, which the compiler keeps for itself, are saved on the stack; all other
    // registers that change are declared.
    unsafe {
        core::arch::asm!(
            "push {{r3, r6, r7}}",
            "mov r12, r4",
            "mov lr, r5",
            "ldm r3!, {{r4, r5, r6, r7}}",
            "mov r8, r4",
            "mov r9, r5",
            "mov r10, r6",
            "mov r11, r7",
            "2:",
            "ldm r0!, {{r4}}",
            "add r4, lr",
            "movs r3, #0",
            "ldrsb r5, [r4, r3]",
            "ldrsb r3, [r1, r3]",
            "muls r5, r3, r5",
            "add r8, r5",
            "movs r3, #1",
            "ldrsb r5, [r4, r3]",
            "ldrsb r3, [r1, r3]",
            "muls r5, r3, r5",
            "add r9, r5",
            "movs r3, #2",
            "ldrsb r5, [r4, r3]",
            "ldrsb r3, [r1, r3]",
            "muls r5, r3, r5",
            "add r10, r5",
            "movs r3, #3",
            "ldrsb r5, [r4, r3]",
            "ldrsb r3, [r1, r3]",
            "muls r5, r3, r5",
            "add r11, r5",
            "add r1, r12",
            "cmp r0, r2",
            "bne 2b",
            "mov r4, r8",
            "mov r5, r9",
            "mov r6, r10",
            "mov r7, r11",
            "ldr r3, [sp]",
            "stm r3!, {{r4, r5, r6, r7}}",
            "pop {{r3, r6, r7}}",
            inout("r0") pixels.as_ptr() => _,
            inout("r1") layer.weights.as_ptr().wrapping_add(first) => _,
            in("r2") pixels.as_ptr_range().end,
            inout("r3") sums.as_mut_ptr() => _,
            inout("r4") layer.input.c => _,
            inout("r5") first => _,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _, out("r12") _, out("lr") _,
        );
    }
}

/// A pixel under the window, of `C` values.
#[cfg(not(all(target_arch = "arm", any(feature = "v6m", feature = "v7m"))))]
type Tap<'a> = &'a [i8];

#[cfg(not(all(target_arch = "arm", any(feature = "v6m", feature = "v7m"))))]
#[inline(always)]
fn tap(values: &[i8]) -> Tap<'_> {
    values
}

/// The same, portable.
#[cfg(not(all(target_arch = "arm", any(feature = "v6m", feature = "v7m"))))]
fn products(layer: &Depthwise<'_>, pixels: &[Tap<'_>], first: usize, sums: &mut [i32; CHANNELS]) {
    let taps = layer.weights.chunks(layer.input.c.max(1));
    for (values, weights) in pixels.iter().zip(taps) {
        let weights = weights.get(first..).unwrap_or(&[]);
        let values = values.get(first..).unwrap_or(&[]);
        for ((sum, &x), &w) in sums.iter_mut().zip(values).zip(weights) {
            *sum = sum.wrapping_add(i32::from(x).wrapping_mul(i32::from(w)));
        }
    }
}
