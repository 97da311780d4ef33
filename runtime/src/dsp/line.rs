//! Outputs of four channels of [`super::lines`].

use super::lines::{Axis, Lines};

/// Lines of input that are spread at a time.
pub const ROWS: usize = 10;

/// Words of the planes from one pair of values along a line to the next: the lines' words of four channels.
pub const PAIR: usize = 4 * ROWS;

/// What the loops work on; those marked with a star move on.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[repr(C)]
struct Arguments {
    /// 0*: Start of the sums.
    bias: i32,
    /// 4*: Multiplier.
    multiplier: i32,
    /// 8: Zero point.
    zero_point: i32,
    /// 12*: Where the present loop ends.
    end: usize,
    /// 16*: Bytes from the first output of a pair to the second; 0 if that is not wanted.
    second: usize,
    /// 20*: Planes, at the present turn.
    plane: *const u32,
    /// 24*: Outputs, at the present turn.
    out: *mut i8,
    /// 28*: Turns left.
    left: usize,
    /// 32: Bytes of planes that all whole pairs of outputs take.
    whole: usize,
    /// 36: The same with half a pair at the end.
    all: usize,
    /// 40: Bytes of planes from one turn to the next.
    advance: usize,
    /// 44: Bytes of output from one turn to the next.
    out_advance: usize,
    /// 48: Bytes from one output of a line to the next.
    along: usize,
    /// 52: Bytes from one line of outputs to the next.
    across: usize,
    /// 56: What a turn does.
    kind: Kind,
    /// 60*: Turns: lines, or pairs of lines.
    turns: usize,
    /// 64*: Starts of the sums.
    biases: *const i32,
    /// 68*: Multipliers.
    multipliers: *const i32,
    /// 72*: Six words for each channel.
    weights: *const i32,
    /// 76*: Planes, of the next channel.
    first: *const u32,
    /// 80*: Outputs, of the next channel.
    first_out: *mut i8,
    /// 84*: Channels left.
    channels: usize,
}

/// What a turn does.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[repr(u32)]
#[derive(Clone, Copy)]
enum Kind {
    /// Two neighbouring lines, two outputs of each at a time.
    TwoLines,
    /// A line, two outputs at a time.
    Line,
    /// A line of outputs two inputs apart, one at a time.
    Apart,
}

/// Four channels from `channel` on: `lines` lines of outputs, the first of these channels' at the start of `out`.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[inline(always)]
pub fn run(
    layer: &Lines<'_>,
    channel: usize,
    planes: &[u32],
    lines: usize,
    (along, across): (&Axis, &Axis),
    out: &mut [i8],
) {
    let one = along.step == 1;
    let whole = if one {
        along.outputs / 2
    } else {
        along.outputs
    };
    let half = if one { along.outputs % 2 } else { 0 };
    let last = lines.wrapping_sub(1);
    let written = last
        .wrapping_mul(across.out)
        .wrapping_add(along.outputs.wrapping_sub(1).wrapping_mul(along.out))
        .wrapping_add(4);
    let pairs = whole.wrapping_add(half);
    let of_four = channel..channel.wrapping_add(4);
    let weights = layer.weights.get(channel.wrapping_mul(6)..).unwrap_or(&[]);
    let biases = layer.bias.get(of_four.clone()).unwrap_or(&[]);
    let multipliers = layer.requant.multipliers.get(of_four).unwrap_or(&[]);
    if out.len() < written
        || planes.len() < pairs.wrapping_add(1).wrapping_mul(PAIR)
        || last.wrapping_mul(across.step).wrapping_add(3) > ROWS
        || weights.len() < 24
        || biases.is_empty()
        || multipliers.is_empty()
        || lines == 0
        || pairs == 0
    {
        return;
    }
    let mut arguments = Arguments {
        bias: 0,
        multiplier: 0,
        zero_point: layer.requant.zero_point,
        end: 0,
        second: 0,
        plane: planes.as_ptr(),
        out: out.as_mut_ptr(),
        left: 0,
        whole: whole.wrapping_mul(4 * PAIR),
        all: pairs.wrapping_mul(4 * PAIR),
        advance: across.step.wrapping_mul(16),
        out_advance: across.out,
        along: along.out,
        across: across.out,
        kind: if one { Kind::Line } else { Kind::Apart },
        turns: lines,
        biases: biases.as_ptr(),
        multipliers: multipliers.as_ptr(),
        weights: weights.as_ptr(),
        first: planes.as_ptr(),
        first_out: out.as_mut_ptr(),
        channels: 4,
    };
    if one && across.step == 1 && lines > 1 {
        let turns = lines / 2;
        arguments.turns = turns;
        arguments.advance = 32;
        arguments.out_advance = across.out.wrapping_mul(2);
        arguments.kind = Kind::TwoLines;
        // SAFETY: by the checks above, for twice as many lines as turns.
        unsafe { multiply(&arguments) };
        if lines % 2 == 0 {
            return;
        }
        let done = turns.wrapping_mul(arguments.out_advance);
        arguments.turns = 1;
        arguments.kind = Kind::Line;
        arguments.first = arguments.first.wrapping_add(turns.wrapping_mul(8));
        arguments.first_out = arguments.first_out.wrapping_add(done);
    }
    // SAFETY: by the checks above, for the lines that are left.
    unsafe { multiply(&arguments) };
}

/// Some channels.
///
/// # Safety
/// `first` must be aligned and have, at each pair of values below `all` and at the next, words of the lines that are
/// looked at, 16 bytes apart: three for each line of outputs, from `advance` bytes further on for each turn; each channel's
/// a word after the one before. For each channel `weights` must have six words, `biases` and `multipliers` one, aligned,
/// and `first_out` a byte at every output, each channel's after the one before. There is a channel, in it a turn, and in
/// that a pair or half a pair.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[inline(never)]
unsafe fn multiply(arguments: &Arguments) {
    // SAFETY: by the contract. Each pair of outputs reads the words of three lines, or of four for two lines of outputs,
    // at its own pair of values and at the next, and writes two bytes of each line, or one; half a pair writes both to
    // the same place, the wanted one last. An output of those two inputs apart keeps the next pair's words for the next
    // output. The loops meet their ends exactly: pairs by steps of 160 bytes, lines and channels by a count. r6 and r7,
    // which the compiler keeps for itself, are saved on the stack; sp is back where it was at the end; all other registers
    // that change are declared.
    unsafe {
        core::arch::asm!(
            "push {{r6, r7}}",
            "sub sp, #88",
            "mov r11, sp",
            // The arguments to the stack.
            "ldm lr!, {{r0, r1, r2, r3, r4, r5, r8, r9}}",
            "stm r11!, {{r0, r1, r2, r3, r4, r5, r8, r9}}",
            "ldm lr!, {{r0, r1, r2, r3, r4, r5, r8, r9}}",
            "stm r11!, {{r0, r1, r2, r3, r4, r5, r8, r9}}",
            "ldm lr, {{r0, r1, r2, r3, r4, r5}}",
            "stm r11, {{r0, r1, r2, r3, r4, r5}}",
            // A channel.
            "1:",
            "ldr r0, [sp, #64]",
            "ldr r1, [sp, #68]",
            "ldr r12, [sp, #72]",
            "ldr r2, [r0], #4",
            "ldr r3, [r1], #4",
            "ldm r12!, {{r4, r5, r6, r7, r8, r9}}",
            "strd r0, r1, [sp, #64]",
            "str r12, [sp, #72]",
            "strd r2, r3, [sp]",
            "ldr r0, [sp, #76]",
            "ldr r1, [sp, #80]",
            "ldr r2, [sp, #60]",
            "ldr r12, [sp, #56]",
            "adds r3, r0, #4",
            "str r3, [sp, #76]",
            "adds r3, r1, #1",
            "str r3, [sp, #80]",
            "strd r0, r1, [sp, #20]",
            "str r2, [sp, #28]",
            "cmp r12, #1",
            "bls 2f",
            // Of outputs two inputs apart the third tap of the first and of the second line share a word.
            "pkhtb r7, r7, r5, asr #16",
            "mov r5, r6",
            "mov r6, r8",
            "mov r8, r9",
            // A turn.
            "2:",
            "ldr r3, [sp, #48]",
            "ldrd r0, r1, [sp, #20]",
            "ldr r2, [sp, #32]",
            "ldr r12, [sp, #56]",
            "str r3, [sp, #16]",
            "add r2, r2, r0",
            "str r2, [sp, #12]",
            "cmp r12, #1",
            "bhi.w 7f",
            "ldrd r10, r11, [sp, #4]",
            "cmp r2, r0",
            "beq 5f",
            "cmp r12, #0",
            "beq 3f",
            // Two outputs of a line.
            "4:",
            "ldr r12, [r0]",
            "ldr lr, [r0, #160]",
            "ldr r3, [sp]",
            "smlad r2, r12, r4, r3",
            "smlatb r3, r12, r4, r3",
            "smlabt r2, lr, r5, r2",
            "smlad r3, lr, r5, r3",
            "ldr r12, [r0, #16]",
            "ldr lr, [r0, #176]",
            "smlad r2, r12, r6, r2",
            "smlatb r3, r12, r6, r3",
            "smlabt r2, lr, r7, r2",
            "smlad r3, lr, r7, r3",
            "ldr r12, [r0, #32]",
            "ldr lr, [r0, #192]",
            "smlad r2, r12, r8, r2",
            "smlatb r3, r12, r8, r3",
            "smlabt r2, lr, r9, r2",
            "smlad r3, lr, r9, r3",
            "ldr r12, [sp, #16]",
            "ldr lr, [sp, #12]",
            "smmlar r2, r2, r10, r11",
            "smmlar r3, r3, r10, r11",
            "adds r0, #160",
            "ssat r3, #8, r3",
            "ssat r2, #8, r2",
            "strb r3, [r1, r12]",
            "strb r2, [r1]",
            "add r1, r1, r12, lsl #1",
            "cmp r0, lr",
            "bne 4b",
            // Half a pair, if it was not yet done.
            "5:",
            "ldr r2, [sp, #20]",
            "ldr r3, [sp, #36]",
            "ldr r12, [sp, #56]",
            "add r2, r2, r3",
            "cmp r0, r2",
            "beq 6f",
            "movs r3, #0",
            "str r2, [sp, #12]",
            "str r3, [sp, #16]",
            "cmp r12, #0",
            "bne 4b",
            // Two outputs of each of two lines.
            "3:",
            "ldr r12, [r0]",
            "ldr lr, [r0, #160]",
            "ldr r11, [sp]",
            "smlad r2, r12, r4, r11",
            "smlatb r3, r12, r4, r11",
            "smlabt r2, lr, r5, r2",
            "smlad r3, lr, r5, r3",
            "ldr r12, [r0, #16]",
            "ldr lr, [r0, #176]",
            "smlad r2, r12, r6, r2",
            "smlatb r3, r12, r6, r3",
            "smlad r10, r12, r4, r11",
            "smlatb r11, r12, r4, r11",
            "smlabt r2, lr, r7, r2",
            "smlad r3, lr, r7, r3",
            "smlabt r10, lr, r5, r10",
            "smlad r11, lr, r5, r11",
            "ldr r12, [r0, #32]",
            "ldr lr, [r0, #192]",
            "smlad r2, r12, r8, r2",
            "smlatb r3, r12, r8, r3",
            "smlad r10, r12, r6, r10",
            "smlatb r11, r12, r6, r11",
            "smlabt r2, lr, r9, r2",
            "smlad r3, lr, r9, r3",
            "smlabt r10, lr, r7, r10",
            "smlad r11, lr, r7, r11",
            "ldr r12, [r0, #48]",
            "ldr lr, [r0, #208]",
            "smlad r10, r12, r8, r10",
            "smlatb r11, r12, r8, r11",
            "smlabt r10, lr, r9, r10",
            "smlad r11, lr, r9, r11",
            "ldrd r12, lr, [sp, #4]",
            "adds r0, #160",
            "smmlar r2, r2, r12, lr",
            "smmlar r3, r3, r12, lr",
            "smmlar r10, r10, r12, lr",
            "smmlar r11, r11, r12, lr",
            "ldr r12, [sp, #52]",
            "ldr lr, [sp, #16]",
            "add r12, r12, r1",
            "ssat r2, #8, r2",
            "ssat r3, #8, r3",
            "ssat r10, #8, r10",
            "ssat r11, #8, r11",
            "strb r11, [r12, lr]",
            "strb r10, [r12]",
            "ldr r12, [sp, #12]",
            "strb r3, [r1, lr]",
            "strb r2, [r1]",
            "add r1, r1, lr, lsl #1",
            "cmp r0, r12",
            "bne.w 3b",
            "b 5b",
            // The next turn.
            "6:",
            "ldrd r0, r1, [sp, #20]",
            "ldrd r2, r3, [sp, #40]",
            "add r0, r0, r2",
            "add r1, r1, r3",
            "ldr r2, [sp, #28]",
            "strd r0, r1, [sp, #20]",
            "subs r2, #1",
            "str r2, [sp, #28]",
            "bne.w 2b",
            "ldr r2, [sp, #84]",
            "subs r2, #1",
            "str r2, [sp, #84]",
            "bne.w 1b",
            "b 8f",
            // Outputs two inputs apart; every second time the pairs change places.
            "7:",
            "ldr r9, [r0]",
            "ldr r10, [r0, #16]",
            "ldr r11, [r0, #32]",
            "9:",
            "ldr r2, [sp]",
            "ldr r12, [r0, #160]",
            "ldr lr, [r0, #176]",
            "ldr r3, [r0, #192]",
            "smlad r2, r9, r4, r2",
            "smlad r2, r10, r5, r2",
            "smlad r2, r11, r6, r2",
            "ldr r9, [sp, #4]",
            "ldr r10, [sp, #8]",
            "ldr r11, [sp, #48]",
            "smlabb r2, r12, r7, r2",
            "smlabt r2, lr, r7, r2",
            "smlabt r2, r3, r8, r2",
            "adds r0, #160",
            "smmlar r2, r2, r9, r10",
            "ldr r9, [sp, #12]",
            "ssat r2, #8, r2",
            "strb r2, [r1]",
            "add r1, r1, r11",
            "cmp r0, r9",
            "beq 6b",
            "ldr r2, [sp]",
            "ldr r9, [r0, #160]",
            "ldr r10, [r0, #176]",
            "ldr r11, [r0, #192]",
            "smlad r2, r12, r4, r2",
            "smlad r2, lr, r5, r2",
            "smlad r2, r3, r6, r2",
            "ldr r12, [sp, #4]",
            "ldr lr, [sp, #8]",
            "ldr r3, [sp, #48]",
            "smlabb r2, r9, r7, r2",
            "smlabt r2, r10, r7, r2",
            "smlabt r2, r11, r8, r2",
            "adds r0, #160",
            "smmlar r2, r2, r12, lr",
            "ldr r12, [sp, #12]",
            "ssat r2, #8, r2",
            "strb r2, [r1]",
            "add r1, r1, r3",
            "cmp r0, r12",
            "bne 9b",
            "b 6b",
            "8:",
            "add sp, #88",
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

/// The same on other processors.
#[cfg(not(all(target_arch = "arm", feature = "dsp")))]
pub fn run(
    layer: &Lines<'_>,
    channel: usize,
    planes: &[u32],
    lines: usize,
    (along, across): (&Axis, &Axis),
    out: &mut [i8],
) {
    use super::super::requant::requantize;

    // Value `at` of a word's two.
    let half = |word: i32, at: usize| {
        if at == 0 {
            i32::from(word as i16)
        } else {
            word >> 16
        }
    };
    for of_four in 0..4 {
        let channel = channel.wrapping_add(of_four);
        let weight = |line: usize, tap: usize| {
            let word = channel.wrapping_mul(3).wrapping_add(line).wrapping_mul(2);
            let word = layer.weights.get(word.wrapping_add(tap / 2)).copied();
            // The second tap is the first word's high lane, the third the second's.
            half(word.unwrap_or(0), usize::from(tap > 0))
        };
        let bias = layer.bias.get(channel).copied().unwrap_or(0);
        let multiplier = layer.requant.multipliers.get(channel).copied().unwrap_or(0);
        for (y, x) in (0..lines).flat_map(|y| (0..along.outputs).map(move |x| (y, x))) {
            let mut acc = bias;
            for (line, tap) in (0..9).map(|tap| (tap / 3, tap % 3)) {
                let column = x.wrapping_mul(along.step).wrapping_add(tap);
                let row = y.wrapping_mul(across.step).wrapping_add(line);
                let place = (column / 2)
                    .wrapping_mul(PAIR)
                    .wrapping_add(row.wrapping_mul(4))
                    .wrapping_add(of_four);
                let word = planes.get(place).copied().unwrap_or(0) as i32;
                acc = acc.wrapping_add(half(word, column % 2).wrapping_mul(weight(line, tap)));
            }
            let place = y
                .wrapping_mul(across.out)
                .wrapping_add(x.wrapping_mul(along.out))
                .wrapping_add(of_four);
            if let Some(out) = out.get_mut(place) {
                *out = requantize(acc, multiplier, &layer.requant);
            }
        }
    }
}
