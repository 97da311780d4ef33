//! Depthwise 3×3 convolution, channels by fours, along lines of one channel.
//!
//! Four channels of some lines are spread to planes of 16-bit values, so that two taps lie in a word: two neighbouring
//! outputs take twelve multiplications. A line is a row of the output or a column, whichever suits its size. With a
//! step of 2 along the line there are no pairs.

use super::super::requant::Requant;
use super::super::shape::{Hwc, Window};
use super::lanes::{both, halves, words};

/// Bytes of planes that are worth having: more lines at a time do not pay.
const PLANES: usize = 4096;

/// A convolution with one padding value and one bias per channel; see [`takes`].
#[derive(Debug, Clone, Copy)]
pub struct Lines<'a> {
    /// Input shape.
    pub input: Hwc,
    /// Output shape; the channels are the input's.
    pub output: Hwc,
    /// Window.
    pub window: Window,
    /// Whether lines are columns.
    pub columns: bool,
    /// `[C][3][2]`: with `a`, `b`, `c` the taps along a line, for each of three lines `a` and `b`, then `b` and `c`; two
    /// 16-bit lanes in a word, low lane first.
    pub weights: &'a [i32],
    /// `[C]`.
    pub bias: &'a [i32],
    /// Value of padded positions.
    pub pad: i8,
    /// Way back to `i8`, without shift and over the whole range.
    pub requant: Requant<'a>,
}

/// Whether the kernel takes a window over this many channels, if the way back to `i8` suits it.
pub const fn takes(channels: usize, window: &Window, columns: bool) -> bool {
    let Window {
        kernel: [kh, kw],
        stride,
        dilation: [far, wide],
        ..
    } = *window;
    let along = stride[if columns { 0 } else { 1 }];
    let three = kh == 3 && kw == 3 && far == 1 && wide == 1;
    channels > 0
        && channels % 4 == 0
        && three
        && (along == 1 || along == 2)
        && stride[0] > 0
        && stride[1] > 0
}

/// Values of a line of input that `outputs` look at, and those that are computed beside.
const fn length(outputs: usize, step: usize) -> usize {
    let pairs = if step == 1 {
        outputs.wrapping_add(1) / 2
    } else {
        outputs
    };
    pairs.wrapping_add(1).wrapping_mul(2)
}

/// Bytes of scratch for an output of this shape.
pub const fn scratch_bytes(output: Hwc, window: &Window, columns: bool) -> usize {
    let (along, across) = if columns { (0, 1) } else { (1, 0) };
    let size = [output.h, output.w];
    let line = length(size[along], window.stride[along]).wrapping_mul(8);
    let all = size[across]
        .wrapping_sub(1)
        .wrapping_mul(window.stride[across])
        .wrapping_add(3)
        .wrapping_mul(line);
    let least = line.wrapping_mul(3);
    if all < PLANES {
        all
    } else if PLANES < least {
        least
    } else {
        PLANES
    }
}

/// One axis of the output and of the input.
#[derive(Debug, Clone, Copy)]
struct Axis {
    /// Outputs.
    outputs: usize,
    /// Inputs.
    inputs: usize,
    /// Inputs from one output to the next.
    step: usize,
    /// The first input that the first output looks at; it may have wrapped.
    origin: usize,
    /// Bytes from one input to the next.
    apart: usize,
    /// Bytes from one output to the next.
    out: usize,
}

/// Runs the convolution; `scratch` is aligned to words and has at least [`scratch_bytes`]. Where lengths do not
/// match, or [`takes`] is not true, less is computed.
#[inline(always)]
pub fn depthwise(layer: &Lines<'_>, input: &[i8], output: &mut [i8], scratch: &mut [i8]) {
    band(core::hint::black_box(layer), 0, input, output, scratch);
}

/// Runs the convolution for the output rows from `first` on, as many as `output` holds: any cut of the output
/// into bands of whole rows gives the same bytes.
#[inline(never)]
pub fn band(layer: &Lines<'_>, first: usize, input: &[i8], output: &mut [i8], scratch: &mut [i8]) {
    let Lines {
        input: from,
        output: to,
        window,
        ..
    } = layer;
    let channels = from.c;
    let row = to.w.wrapping_mul(channels);
    if row == 0 || output.len() < row {
        return;
    }
    let [top, left] = window.origin(first, 0);
    let rows = Axis {
        outputs: output.len() / row,
        inputs: from.h,
        step: window.stride[0],
        origin: top,
        apart: from.w.wrapping_mul(channels),
        out: row,
    };
    let columns = Axis {
        outputs: to.w,
        inputs: from.w,
        step: window.stride[1],
        origin: left,
        apart: channels,
        out: channels,
    };
    let (along, across) = if layer.columns {
        (rows, columns)
    } else {
        (columns, rows)
    };
    let length = length(along.outputs, along.step);
    let line = length.wrapping_mul(2);
    // Lines of four planes that there is room for, and the lines of outputs that these serve.
    let room = scratch.len() / line.wrapping_mul(4).max(1);
    let fits = takes(channels, window, layer.columns)
        && room >= 3
        && to.c == channels
        && input.len() >= from.h.wrapping_mul(from.w).wrapping_mul(channels)
        && layer.bias.len() >= channels
        && layer.requant.multipliers.len() >= channels
        && layer.weights.len() / 6 >= channels;
    if !fits {
        return;
    }
    let most = (room.wrapping_sub(3) / across.step.max(1)).wrapping_add(1);
    // Values of the line before the input's first, then those inside.
    let negative = along.origin >= along.inputs;
    let before = if negative {
        length.min(0_usize.wrapping_sub(along.origin))
    } else {
        0
    };
    let begin = if negative { 0 } else { along.origin };
    let inside = length
        .wrapping_sub(before)
        .min(along.inputs.wrapping_sub(begin));
    let mut done = 0_usize;
    while done < across.outputs {
        let lines = most.min(across.outputs.wrapping_sub(done));
        let depth = lines
            .wrapping_sub(1)
            .wrapping_mul(across.step)
            .wrapping_add(3);
        let plane = depth.wrapping_mul(length);
        let (planes, _) = words(scratch, plane.wrapping_mul(2));
        planes.fill(both(layer.pad));
        let planes = halves(planes);
        if planes.is_empty() {
            return;
        }
        for group in 0..channels / 4 {
            let first = group.wrapping_mul(4);
            for at in 0..depth {
                let place = across
                    .origin
                    .wrapping_add(done.wrapping_mul(across.step))
                    .wrapping_add(at);
                if place < across.inputs && inside > 0 {
                    let start = place
                        .wrapping_mul(across.apart)
                        .wrapping_add(begin.wrapping_mul(along.apart));
                    let source = input.get(start.wrapping_add(first)..).unwrap_or(&[]);
                    let target = at.wrapping_mul(length).wrapping_add(before);
                    let target = planes.get_mut(target..).unwrap_or(&mut []);
                    spread(source, along.apart, inside, target, plane);
                }
            }
            for channel in first..first.wrapping_add(4) {
                let start = plane.wrapping_mul(channel.wrapping_sub(first));
                let plane = planes.get(start..start.wrapping_add(plane)).unwrap_or(&[]);
                let start = done.wrapping_mul(across.out).wrapping_add(channel);
                let out = output.get_mut(start..).unwrap_or(&mut []);
                run(layer, channel, plane, length, lines, (along, across), out);
            }
        }
        done = done.wrapping_add(lines);
    }
}

/// Writes `count` positions of four channels, `step` bytes apart in `source`, side by side into four planes that lie
/// `plane` values apart.
#[inline(always)]
fn spread(source: &[i8], step: usize, count: usize, target: &mut [i16], plane: usize) {
    let read = count.wrapping_sub(1).wrapping_mul(step).wrapping_add(4);
    let written = plane.wrapping_mul(3).wrapping_add(count);
    if count == 0 || source.len() < read || target.len() < written {
        return;
    }
    #[cfg(all(target_arch = "arm", feature = "dsp"))]
    {
        let first = target.as_mut_ptr();
        // SAFETY: `count` turns read four bytes of `source` each, `step` apart, and write one value to each plane, all
        // inside by the check above; LDR needs no alignment on these cores, values are aligned. The registers that
        // change are declared.
        unsafe {
            core::arch::asm!(
                "2:",
                "ldr {a}, [{from}]",
                "add {from}, {from}, {step}",
                "sxtb16 {b}, {a}",
                "sxtb16 {a}, {a}, ror #8",
                "strh {b}, [{p}], #2",
                "strh {a}, [{q}], #2",
                "lsr {b}, {b}, #16",
                "lsr {a}, {a}, #16",
                "strh {b}, [{r}], #2",
                "strh {a}, [{s}], #2",
                "cmp {p}, {end}",
                "bne 2b",
                a = out(reg) _,
                b = out(reg) _,
                from = inout(reg) source.as_ptr() => _,
                step = in(reg) step,
                p = inout(reg) first => _,
                q = inout(reg) first.wrapping_add(plane) => _,
                r = inout(reg) first.wrapping_add(plane.wrapping_mul(2)) => _,
                s = inout(reg) first.wrapping_add(plane.wrapping_mul(3)) => _,
                end = in(reg) first.wrapping_add(count),
                options(nostack)
            );
        }
    }
    #[cfg(not(all(target_arch = "arm", feature = "dsp")))]
    for channel in 0..4 {
        let values = source.iter().skip(channel).step_by(step.max(1));
        let places = target.iter_mut().skip(plane.wrapping_mul(channel));
        for (place, value) in places.take(count).zip(values) {
            *place = i16::from(*value);
        }
    }
}

/// What the loops work on; those marked with a star move on.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[repr(C)]
struct Arguments {
    /// 0: Multiplier.
    multiplier: i32,
    /// 4: Zero point.
    zero_point: i32,
    /// 8*: Bytes from the first output of a pair to the second; 0 if that is not wanted.
    second: usize,
    /// 12: Bytes from one pair of outputs to the next.
    advance: usize,
    /// 16*: End of the pairs.
    end: usize,
    /// 20: Bytes of the first word of all whole pairs.
    pairs: usize,
    /// 24*: 1 if there is half a pair at the end, 2 if pairs are single outputs.
    half: usize,
    /// 28*: Lines.
    lines: usize,
    /// 32: Bytes of plane from one line of outputs to the next.
    line: usize,
    /// 36: Bytes from one line of outputs to the next.
    out_line: usize,
    /// 40*: Plane.
    plane: *const i16,
    /// 44*: Outputs.
    out: *mut i8,
    /// 48: As `half`.
    half_again: usize,
    /// 52: As `second`.
    second_again: usize,
    /// 56: Start of the sums.
    bias: i32,
    /// 60: Six words.
    weights: *const i32,
    /// 64: Bytes of a line of plane.
    pitch: usize,
}

/// One channel: `lines` lines of outputs from a plane whose lines have `length` values.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[inline(always)]
fn run(
    layer: &Lines<'_>,
    channel: usize,
    plane: &[i16],
    length: usize,
    lines: usize,
    (along, across): (Axis, Axis),
    out: &mut [i8],
) {
    let last = along.outputs.wrapping_sub(1).wrapping_mul(along.out);
    let written = lines
        .wrapping_sub(1)
        .wrapping_mul(across.out)
        .wrapping_add(last);
    let read = lines
        .wrapping_sub(1)
        .wrapping_mul(across.step)
        .wrapping_add(3)
        .wrapping_mul(length);
    let weights = layer.weights.get(channel.wrapping_mul(6)..).unwrap_or(&[]);
    let tables = (
        layer.bias.get(channel),
        layer.requant.multipliers.get(channel),
    );
    let (Some(&bias), Some(&multiplier)) = tables else {
        return;
    };
    if out.len() <= written
        || plane.len() < read
        || weights.len() < 6
        || lines == 0
        || along.outputs == 0
    {
        return;
    }
    let one = along.step == 1;
    let half = if one { along.outputs % 2 } else { 2 };
    let second = if one { along.out } else { 0 };
    let mut arguments = Arguments {
        multiplier,
        zero_point: layer.requant.zero_point,
        second,
        advance: along.out.wrapping_add(second),
        end: 0,
        pairs: (if one {
            along.outputs / 2
        } else {
            along.outputs
        })
        .wrapping_mul(4),
        half,
        lines,
        line: across.step.wrapping_mul(length).wrapping_mul(2),
        out_line: across.out,
        plane: plane.as_ptr(),
        out: out.as_mut_ptr(),
        half_again: half,
        second_again: second,
        bias,
        weights: weights.as_ptr(),
        pitch: length.wrapping_mul(2),
    };
    // SAFETY: by the checks above.
    unsafe { multiply(&mut arguments) };
}

/// One channel.
///
/// # Safety
/// `plane` must be aligned to words and have `(lines − 1) · line + 3 · pitch` bytes, with a pitch of 4 bytes more than
/// the pairs and the half pair take; `weights` six words, aligned; `out` must have a byte at every output; there is at
/// least one line, and in it a pair or half a pair.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[inline(never)]
unsafe fn multiply(arguments: &mut Arguments) {
    // SAFETY: by the contract. Each pair reads two words from its place in three lines of the plane, and writes two
    // bytes, or one; half a pair writes both to the same place, the wanted one last. The loops meet their ends exactly: pairs
    // by fours of bytes, lines by a count. r6 and r7, which the compiler keeps for itself, are saved on the stack; sp
    // is back where it was at the end; all other registers that change are declared.
    unsafe {
        core::arch::asm!(
            "push {{r6, r7}}",
            "sub sp, #56",
            "mov r11, sp",
            // The first fourteen words to the stack.
            "ldm lr!, {{r0, r1, r2, r3, r4, r5, r8}}",
            "stm r11!, {{r0, r1, r2, r3, r4, r5, r8}}",
            "ldm lr!, {{r0, r1, r2, r3, r4, r5, r8}}",
            "stm r11!, {{r0, r1, r2, r3, r4, r5, r8}}",
            "ldm lr, {{r1, r2, r12}}",
            "mov lr, r1",
            "ldm r2, {{r4, r5, r6, r7, r8, r9}}",
            // A line.
            "2:",
            "ldrd r0, r1, [sp, #40]",
            "ldrd r2, r3, [sp, #20]",
            "add r2, r2, r0",
            "str r2, [sp, #16]",
            "cmp r3, #2",
            "beq.w 7f",
            "cmp r2, r0",
            "beq 5f",
            // A pair of outputs: lr the start of the sums.
            "3:",
            "ldrd r10, r11, [r0]",
            "add r0, r0, r12",
            "smlad r2, r10, r4, lr",
            "smlatb r3, r10, r4, lr",
            "smlabt r2, r11, r5, r2",
            "smlad r3, r11, r5, r3",
            "ldrd r10, r11, [r0]",
            "add r0, r0, r12",
            "smlad r2, r10, r6, r2",
            "smlatb r3, r10, r6, r3",
            "smlabt r2, r11, r7, r2",
            "smlad r3, r11, r7, r3",
            "ldrd r10, r11, [r0]",
            "sub r0, r0, r12, lsl #1",
            "smlad r2, r10, r8, r2",
            "smlatb r3, r10, r8, r3",
            "smlabt r2, r11, r9, r2",
            "smlad r3, r11, r9, r3",
            "ldrd r10, r11, [sp]",
            "adds r0, #4",
            "smmlar r2, r2, r10, r11",
            "smmlar r3, r3, r10, r11",
            "ldrd r10, r11, [sp, #8]",
            "ssat r2, #8, r2",
            "ssat r3, #8, r3",
            "strb r3, [r1, r10]",
            "ldr r10, [sp, #16]",
            "strb r2, [r1]",
            "add r1, r1, r11",
            "cmp r0, r10",
            "bne 3b",
            "5:",
            "ldr r2, [sp, #24]",
            "cbz r2, 6f",
            // Half a pair.
            "movs r2, #0",
            "adds r3, r0, #4",
            "str r2, [sp, #24]",
            "str r2, [sp, #8]",
            "str r3, [sp, #16]",
            "b 3b",
            "6:",
            "ldrd r2, r3, [sp, #48]",
            "str r2, [sp, #24]",
            "str r3, [sp, #8]",
            "ldrd r0, r1, [sp, #40]",
            "ldrd r2, r3, [sp, #32]",
            "add r0, r0, r2",
            "add r1, r1, r3",
            "ldr r2, [sp, #28]",
            "strd r0, r1, [sp, #40]",
            "subs r2, #1",
            "str r2, [sp, #28]",
            "bne 2b",
            "b 8f",
            // Single outputs, two inputs apart.
            "7:",
            "ldrd r10, r11, [r0]",
            "add r0, r0, r12",
            "smlad r2, r10, r4, lr",
            "smlabt r2, r11, r5, r2",
            "ldrd r10, r11, [r0]",
            "add r0, r0, r12",
            "smlad r2, r10, r6, r2",
            "smlabt r2, r11, r7, r2",
            "ldrd r10, r11, [r0]",
            "sub r0, r0, r12, lsl #1",
            "smlad r2, r10, r8, r2",
            "smlabt r2, r11, r9, r2",
            "ldrd r10, r11, [sp]",
            "adds r0, #4",
            "smmlar r2, r2, r10, r11",
            "ldrd r10, r11, [sp, #12]",
            "ssat r2, #8, r2",
            "strb r2, [r1]",
            "add r1, r1, r10",
            "cmp r0, r11",
            "bne 7b",
            "b 6b",
            "8:",
            "add sp, #56",
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
fn run(
    layer: &Lines<'_>,
    channel: usize,
    plane: &[i16],
    length: usize,
    lines: usize,
    (along, across): (Axis, Axis),
    out: &mut [i8],
) {
    use super::super::requant::requantize;

    let weight = |line: usize, tap: usize| {
        let word = channel.wrapping_mul(3).wrapping_add(line).wrapping_mul(2);
        let word = layer
            .weights
            .get(word.wrapping_add(tap / 2))
            .copied()
            .unwrap_or(0);
        if tap == 0 {
            i32::from(word as i16)
        } else {
            // The second tap is the first word's high lane, the third the second's.
            word >> 16
        }
    };
    let bias = layer.bias.get(channel).copied().unwrap_or(0);
    let multiplier = layer.requant.multipliers.get(channel).copied().unwrap_or(0);
    for y in 0..lines {
        for x in 0..along.outputs {
            let mut acc = bias;
            for line in 0..3 {
                for tap in 0..3 {
                    let place = y
                        .wrapping_mul(across.step)
                        .wrapping_add(line)
                        .wrapping_mul(length);
                    let place = place
                        .wrapping_add(x.wrapping_mul(along.step))
                        .wrapping_add(tap);
                    let value = plane.get(place).copied().map_or(0, i32::from);
                    acc = acc.wrapping_add(value.wrapping_mul(weight(line, tap)));
                }
            }
            let place = y
                .wrapping_mul(across.out)
                .wrapping_add(x.wrapping_mul(along.out));
            if let Some(out) = out.get_mut(place) {
                *out = requantize(acc, multiplier, &layer.requant);
            }
        }
    }
}
