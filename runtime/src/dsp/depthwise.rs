//! Depthwise 2-D convolution: one position, four channels at a time.

use super::super::requant::Requant;
use super::super::shape::{take_mut, Hwc, Window};
use super::lanes::words;

/// Taps worked on at once; a window's number of taps is a multiple of it.
pub const TAPS: usize = 3;

/// A convolution with one padding value and one bias per channel; channels by fours.
#[derive(Debug, Clone, Copy)]
pub struct Depthwise<'a> {
    /// Input shape.
    pub input: Hwc,
    /// Output shape; the channels are the input's.
    pub output: Hwc,
    /// Window.
    pub window: Window,
    /// `[C / 4][KH · KW][2]`, two 16-bit lanes in a word: of four channels 0 and 2, then 1 and 3; low lane first.
    pub weights: &'a [i32],
    /// `[C]`.
    pub bias: &'a [i32],
    /// Value of padded positions.
    pub pad: i8,
    /// Way back to `i8`.
    pub requant: Requant<'a>,
}

/// Whether the kernel takes layers of these shapes.
pub const fn takes(channels: usize, taps: usize) -> bool {
    channels > 0 && channels % 4 == 0 && taps > 0 && taps % TAPS == 0
}

/// Bytes of scratch: where each tap lies, and one position of padding.
pub const fn scratch_bytes(channels: usize, taps: usize) -> usize {
    taps.wrapping_mul(4).wrapping_add(channels)
}

/// Runs the convolution; `scratch` is aligned to words and has at least [`scratch_bytes`]. Where lengths do not
/// match, or [`takes`] is not true, less is computed.
#[inline(always)]
pub fn depthwise(layer: &Depthwise<'_>, input: &[i8], output: &mut [i8], scratch: &mut [i8]) {
    band(layer, 0, input, output, scratch);
}

/// Runs the convolution for the output rows from `first` on, as many as `output` holds: any cut of the output
/// into bands of whole rows gives the same bytes.
#[inline(never)]
pub fn band(
    layer: &Depthwise<'_>,
    first: usize,
    input: &[i8],
    output: &mut [i8],
    scratch: &mut [i8],
) {
    let arguments = core::hint::black_box((layer, first, input, output, scratch));
    let (layer, first, input, output, scratch) = arguments;
    let channels = layer.input.c;
    let [kh, kw] = layer.window.kernel;
    let (taps, padding) = words(scratch, kh.wrapping_mul(kw));
    let padding = padding.get_mut(..channels).unwrap_or(&mut []);
    padding.fill(layer.pad);
    let weights = taps.len().checked_mul(channels);
    let fits = takes(channels, taps.len())
        && padding.len() == channels
        && input.len() >= channels
        && layer.bias.len() >= channels
        && layer.requant.multipliers.len() >= channels
        && weights.is_some_and(|needed| needed <= layer.weights.len().wrapping_mul(2));
    if !fits {
        return;
    }
    // Taps outside the input are looked up there.
    let outside = distance(input, padding);
    let mut rest = output;
    for y in first..layer.output.h {
        for x in 0..layer.output.w {
            let pixel = take_mut(&mut rest, channels);
            if pixel.is_empty() {
                return;
            }
            let [top, left] = layer.window.origin(y, x);
            let mut places = &mut *taps;
            let mut iy = top;
            for _ in 0..kh {
                let mut ix = left;
                for place in take_mut(&mut places, kw) {
                    let start = layer.input.offset(iy, ix);
                    let inside = iy < layer.input.h
                        && ix < layer.input.w
                        && start <= input.len().wrapping_sub(channels);
                    *place = if inside { start as u32 } else { outside };
                    ix = ix.wrapping_add(layer.window.dilation[1]);
                }
                iy = iy.wrapping_add(layer.window.dilation[0]);
            }
            run(layer, input, taps, padding, pixel);
        }
    }
}

/// What is added to `input`'s address to reach `padding`.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[inline(always)]
fn distance(input: &[i8], padding: &[i8]) -> u32 {
    (padding.as_ptr() as u32).wrapping_sub(input.as_ptr() as u32)
}

/// A place that no tap has.
#[cfg(not(all(target_arch = "arm", feature = "dsp")))]
#[inline(always)]
fn distance(_: &[i8], _: &[i8]) -> u32 {
    u32::MAX
}

/// What the loops need beside pointers in registers; those marked with a star move on.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[repr(C)]
struct Arguments {
    /// 0: Weights.
    weights: *const i32,
    /// 4: Channel 0 of the input's first position.
    input: *const i8,
    /// 8: Where the first tap lies.
    taps: *const u32,
    /// 12: Past the last tap.
    taps_end: *const u32,
    /// 16*: Biases of the next channels.
    bias: *const i32,
    /// 20*: Multipliers of the next channels.
    multipliers: *const i32,
    /// 24: Left shift.
    shift: u32,
    /// 28: Zero point.
    zero_point: i32,
    /// 32: Smallest output.
    min: i32,
    /// 36: Largest output.
    max: i32,
    /// 40*: The next channels' outputs.
    out: *mut i8,
    /// 44: Past the last channel's output.
    out_end: *const i8,
}

/// One tap of four channels: its place from r0, its weights from r1, added to the accumulators r4 to r7.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
macro_rules! tap {
    () => {
        "ldr r3, [r0], #4
         ldrd r10, r11, [r1], #8
         ldr r8, [r2, r3]
         sxtb16 r9, r8
         sxtb16 r8, r8, ror #8
         smlabb r4, r9, r10, r4
         smlatt r6, r9, r10, r6
         smlabb r5, r8, r11, r5
         smlatt r7, r8, r11, r7"
    };
}

/// One position: the taps at `taps`, all channels.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[inline(never)]
fn run(layer: &Depthwise<'_>, input: &[i8], taps: &[u32], _: &[i8], pixel: &mut [i8]) {
    let requant = &layer.requant;
    let ends = (
        taps.as_ptr().wrapping_add(taps.len()),
        pixel.as_ptr().wrapping_add(pixel.len()),
    );
    let mut arguments = Arguments {
        weights: layer.weights.as_ptr(),
        input: input.as_ptr(),
        taps: taps.as_ptr(),
        taps_end: ends.0,
        bias: layer.bias.as_ptr(),
        multipliers: requant.multipliers.as_ptr(),
        shift: requant.shift & 31,
        zero_point: requant.zero_point,
        min: requant.min,
        max: requant.max,
        out: pixel.as_mut_ptr(),
        out_end: ends.1,
    };
    // SAFETY: by the caller's checks, with C channels, a multiple of 4, and T taps, a multiple of 3: `pixel` has C
    // bytes, so the outer loop runs C / 4 times and ends exactly; each turn reads T words at `taps`, 2 · T words of
    // weights (C / 2 · T in all) and four biases and multipliers (C in all). A tap's four bytes lie at its place plus
    // 4 · turn, either in `input`, where C bytes follow each place (it has at least C), or in the C bytes of padding, whose distance from
    // `input` the place is. Words of weights and tables are aligned, being of type u32 and i32; LDR of a tap's bytes
    // needs no alignment on these cores. r6 and r7, which the compiler keeps for itself, are saved on the stack; all
    // other registers that change are declared.
    unsafe {
        core::arch::asm!(
            "push {{r6, r7}}",
            "ldr r1, [lr]",
            "ldr r2, [lr, #4]",
            "ldr r12, [lr, #12]",
            // Four channels.
            "2:",
            "ldr r3, [lr, #16]",
            "ldr r0, [lr, #8]",
            "ldm r3!, {{r4, r5, r6, r7}}",
            "str r3, [lr, #16]",
            "3:",
            tap!(),
            tap!(),
            tap!(),
            "cmp r0, r12",
            "bne 3b",
            // Back to i8.
            "ldr r3, [lr, #20]",
            "ldr r0, [lr, #24]",
            "ldm r3!, {{r8, r9, r10, r11}}",
            "str r3, [lr, #20]",
            "cmp r0, #0",
            "beq 4f",
            "lsl r4, r4, r0",
            "lsl r5, r5, r0",
            "lsl r6, r6, r0",
            "lsl r7, r7, r0",
            "4:",
            "ldr r0, [lr, #28]",
            "smmlar r4, r4, r8, r0",
            "smmlar r5, r5, r9, r0",
            "smmlar r6, r6, r10, r0",
            "smmlar r7, r7, r11, r0",
            "ldr r0, [lr, #32]",
            "ldr r3, [lr, #36]",
            "sub r8, r3, r0",
            "cmp r8, #255",
            "beq 5f",
            "cmp r0, r4\nit gt\nmovgt r4, r0",
            "cmp r0, r5\nit gt\nmovgt r5, r0",
            "cmp r0, r6\nit gt\nmovgt r6, r0",
            "cmp r0, r7\nit gt\nmovgt r7, r0",
            "cmp r3, r4\nit lt\nmovlt r4, r3",
            "cmp r3, r5\nit lt\nmovlt r5, r3",
            "cmp r3, r6\nit lt\nmovlt r6, r3",
            "cmp r3, r7\nit lt\nmovlt r7, r3",
            "5:",
            "ldr r3, [lr, #40]",
            "ssat r4, #8, r4",
            "ssat r5, #8, r5",
            "ssat r6, #8, r6",
            "ssat r7, #8, r7",
            "strb r4, [r3], #1",
            "strb r5, [r3], #1",
            "strb r6, [r3], #1",
            "strb r7, [r3], #1",
            "ldr r0, [lr, #44]",
            "str r3, [lr, #40]",
            "add r2, #4",
            "cmp r3, r0",
            "bne.w 2b",
            "pop {{r6, r7}}",
            inout("lr") &raw mut arguments => _,
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
fn run(layer: &Depthwise<'_>, input: &[i8], taps: &[u32], padding: &[i8], pixel: &mut [i8]) {
    use super::super::requant::requantize;

    let outputs = pixel
        .iter_mut()
        .zip(layer.bias)
        .zip(layer.requant.multipliers);
    for (channel, ((out, &bias), &multiplier)) in (0..layer.input.c).zip(outputs) {
        let mut acc = bias;
        for (tap, &place) in (0..taps.len()).zip(taps) {
            let value = if place == u32::MAX {
                padding.get(channel)
            } else {
                input.get((place as usize).wrapping_add(channel))
            };
            let pair = (channel / 4).wrapping_mul(taps.len()).wrapping_add(tap);
            let word = pair.wrapping_mul(2).wrapping_add(channel % 2);
            let lanes = layer.weights.get(word).copied().unwrap_or(0);
            let weight = if channel % 4 < 2 {
                i32::from(lanes as i16)
            } else {
                lanes >> 16
            };
            let value = value.copied().map_or(0, i32::from);
            acc = acc.wrapping_add(value.wrapping_mul(weight));
        }
        *out = requantize(acc, multiplier, &layer.requant);
    }
}
