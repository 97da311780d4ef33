//! Depthwise convolution: eight channels of one position at a time, two taps at a time.

use super::super::taps::{complete, run, Depthwise};

/// Channels worked on at once.
pub const CHANNELS: usize = 8;

/// Smallest weight: two products of a value and a weight then add up in 16 bits.
pub const LEAST: i8 = -127;

/// Runs the convolution. Weights are at least [`LEAST`], or sums come out wrong; `scratch` has at least
/// [`super::super::taps::scratch_bytes`].
#[inline(never)]
pub fn depthwise(layer: &Depthwise<'_>, input: &[i8], output: &mut [i8], scratch: &mut [i8]) {
    if complete(layer, CHANNELS) {
        run(layer, input, output, scratch, tap, |pixels, out| {
            position(layer, pixels, out);
        });
    }
}

/// A pixel under the window, of `C` values.
#[cfg(all(target_arch = "arm", feature = "mve"))]
type Tap<'a> = *const i8;

#[cfg(all(target_arch = "arm", feature = "mve"))]
#[inline(always)]
fn tap(values: &[i8]) -> Tap<'_> {
    values.as_ptr()
}

/// What the loops need.
#[cfg(all(target_arch = "arm", feature = "mve"))]
#[repr(C)]
struct Arguments {
    /// 0: The pixels under the window.
    pixels: *const *const i8,
    /// 4: How many.
    taps: usize,
    /// 8: Weights.
    weights: *const i8,
    /// 12: Channels.
    channels: usize,
    /// 16: Biases.
    bias: *const i32,
    /// 20: Multipliers.
    multipliers: *const i32,
    /// 24: Outputs.
    out: *mut i8,
    /// 28: Left shift.
    shift: u32,
    /// 32: Zero point.
    zero_point: i32,
    /// 36: Smallest output.
    min: i32,
    /// 40: Largest output.
    max: i32,
}

/// The outputs `out` of one position. `layer` is [`complete`].
#[cfg(all(target_arch = "arm", feature = "mve"))]
#[inline(never)]
fn position(layer: &Depthwise<'_>, pixels: &[Tap<'_>], out: &mut [i8]) {
    let requant = &layer.requant;
    let arguments = Arguments {
        pixels: pixels.as_ptr(),
        taps: pixels.len(),
        weights: layer.weights.as_ptr(),
        channels: layer.input.c,
        bias: layer.bias.as_ptr(),
        multipliers: requant.multipliers.as_ptr(),
        out: out.as_mut_ptr(),
        shift: requant.shift & 31,
        zero_point: requant.zero_point,
        min: requant.min,
        max: requant.max,
    };
    // SAFETY: with C channels, at least 8, and T taps: groups of eight channels start at r4 = 0, 8, … and at last at C − 8,
    // so that all that is read and written for a group lies within C. It is eight bytes of each of the T pixels, of C
    // values each (`run`), and of each of the T rows of C weights; eight words of biases and of multipliers, of which the
    // even ones are gathered from the first on and the odd ones from the second on (q6 holds byte offsets 0, 8, 16, 24);
    // eight bytes of `out`, which has C (`run`). `complete` says that the tables are as long. The inner loop runs T / 2
    // times, which may be none, and takes two pixels and two rows; an odd one is taken after it. Tables and arguments are
    // aligned to words. r6 and r7, which the compiler keeps for itself, are saved on the stack; all other registers that
    // change are declared.
    unsafe {
        core::arch::asm!(
            "push {{r6, r7}}",
            "mov r11, r0",
            "movs r0, #0",
            "vidup.u32 q6, r0, #8",
            "ldrd r5, r6, [r11, #36]",
            "vdup.32 q7, r6",
            "vdup.32 q3, r5",
            "ldr r3, [r11, #12]",
            "sub r7, r3, #8",
            "movs r4, #0",
            // Eight channels: sums of the even ones in q4, of the odd ones in q5.
            "2:",
            "ldrd r8, r9, [r11, #16]",
            "add r8, r8, r4, lsl #2",
            "vldrw.u32 q4, [r8, q6]",
            "adds r8, #4",
            "vldrw.u32 q5, [r8, q6]",
            "ldrd r1, r0, [r11]",
            "ldr r2, [r11, #8]",
            "add r2, r4",
            "lsrs r12, r0, #1",
            "wls lr, r12, 4f",
            "3:",
            "ldrd r5, r6, [r1], #8",
            "add r5, r4",
            "add r6, r4",
            "vldrb.s16 q0, [r5]",
            "vldrb.s16 q1, [r2]",
            "vmul.i16 q0, q0, q1",
            "add r2, r3",
            "vldrb.s16 q1, [r6]",
            "vldrb.s16 q2, [r2]",
            "vmul.i16 q1, q1, q2",
            "add r2, r3",
            "vadd.i16 q0, q0, q1",
            "vmovlb.s16 q1, q0",
            "vmovlt.s16 q2, q0",
            "vadd.i32 q4, q4, q1",
            "vadd.i32 q5, q5, q2",
            "le lr, 3b",
            "4:",
            "lsls r0, r0, #31",
            "beq 5f",
            "ldr r5, [r1]",
            "add r5, r4",
            "vldrb.s16 q0, [r5]",
            "vldrb.s16 q1, [r2]",
            "vmul.i16 q0, q0, q1",
            "vmovlb.s16 q1, q0",
            "vmovlt.s16 q2, q0",
            "vadd.i32 q4, q4, q1",
            "vadd.i32 q5, q5, q2",
            // Back to i8.
            "5:",
            "ldrd r5, r6, [r11, #28]",
            "vshl.s32 q4, r5",
            "vshl.s32 q5, r5",
            "add r9, r9, r4, lsl #2",
            "vldrw.u32 q0, [r9, q6]",
            "adds r9, #4",
            "vldrw.u32 q1, [r9, q6]",
            "vrmulh.s32 q4, q4, q0",
            "vrmulh.s32 q5, q5, q1",
            "vadd.i32 q4, q4, r6",
            "vadd.i32 q5, q5, r6",
            "vmax.s32 q4, q4, q3",
            "vmax.s32 q5, q5, q3",
            "vmin.s32 q4, q4, q7",
            "vmin.s32 q5, q5, q7",
            "vmovnt.i32 q4, q5",
            "ldr r5, [r11, #24]",
            "add r5, r4",
            "vstrb.16 q4, [r5]",
            // The next eight; the last ones end with the last channel.
            "cmp r4, r7",
            "bhs 6f",
            "adds r4, #8",
            "cmp r4, r7",
            "it hi",
            "movhi r4, r7",
            "b 2b",
            "6:",
            "pop {{r6, r7}}",
            inout("r0") &raw const arguments => _,
            out("r1") _, out("r2") _, out("r3") _, out("r4") _, out("r5") _, out("r8") _, out("r9") _,
            out("r11") _, out("r12") _, out("lr") _,
            out("d0") _, out("d1") _, out("d2") _, out("d3") _, out("d4") _, out("d5") _, out("d6") _, out("d7") _,
            out("d8") _, out("d9") _, out("d10") _, out("d11") _, out("d12") _, out("d13") _, out("d14") _, out("d15") _,
        );
    }
}

/// A pixel under the window, of `C` values.
#[cfg(not(all(target_arch = "arm", feature = "mve")))]
type Tap<'a> = &'a [i8];

#[cfg(not(all(target_arch = "arm", feature = "mve")))]
#[inline(always)]
fn tap(values: &[i8]) -> Tap<'_> {
    values
}

/// The same, portable.
#[cfg(not(all(target_arch = "arm", feature = "mve")))]
fn position(layer: &Depthwise<'_>, pixels: &[Tap<'_>], out: &mut [i8]) {
    use super::super::requant::requantize;
    let constants = layer.bias.iter().zip(layer.requant.multipliers);
    for (channel, (out, (&bias, &multiplier))) in out.iter_mut().zip(constants).enumerate() {
        let taps = layer.weights.chunks(layer.input.c.max(1));
        let sum = pixels
            .iter()
            .zip(taps)
            .fold(bias, |sum, (values, weights)| {
                let at = |row: &[i8]| i32::from(row.get(channel).copied().unwrap_or(0));
                sum.wrapping_add(at(values).wrapping_mul(at(weights)))
            });
        *out = requantize(sum, multiplier, &layer.requant);
    }
}
