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
    /// 20: Bytes from one output of a line to the next; 0 if there is only half a pair.
    along: usize,
    /// 24: Bytes from one line of outputs to the next.
    across: usize,
    /// 28: Bytes of planes of half a pair at the end of a line, if there is one behind whole ones.
    half: usize,
    /// 32: Bytes of planes of what is before it.
    whole: usize,
    /// 36: Bytes of planes from one turn to the next.
    advance: usize,
    /// 40: Bytes of output from one turn to the next.
    out_advance: usize,
    /// 44*: Turns left.
    left: usize,
    /// 48: Turns: lines, or pairs of lines.
    turns: usize,
    /// 52*: What the present turn does.
    now: Kind,
    /// 56: 1 if a single line follows pairs of lines.
    last: usize,
    /// 60*: Starts of the sums.
    biases: *const i32,
    /// 64*: Multipliers.
    multipliers: *const i32,
    /// 68*: Three words for each channel.
    weights: *const i32,
    /// 72*: Planes, of the next channel.
    first: *const u32,
    /// 76*: Outputs, of the next channel.
    first_out: *mut i8,
    /// 80*: Channels left.
    channels: usize,
    /// 84: What turns do.
    kind: Kind,
    /// 88*: Planes, at the present turn.
    plane: *const u32,
    /// 92*: Outputs, at the present turn.
    out: *mut i8,
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
    let weights = layer.weights.get(channel.wrapping_mul(3)..).unwrap_or(&[]);
    let biases = layer.bias.get(of_four.clone()).unwrap_or(&[]);
    let multipliers = layer.requant.multipliers.get(of_four).unwrap_or(&[]);
    if out.len() < written
        || planes.len() < pairs.wrapping_add(1).wrapping_mul(PAIR)
        || last.wrapping_mul(across.step).wrapping_add(3) > ROWS
        || weights.len() < 12
        || biases.is_empty()
        || multipliers.is_empty()
        || lines == 0
        || pairs == 0
    {
        return;
    }
    let (turns, kind) = if !one {
        (lines, Kind::Apart)
    } else if across.step == 1 && lines > 1 {
        (lines / 2, Kind::TwoLines)
    } else {
        (lines, Kind::Line)
    };
    let two = matches!(kind, Kind::TwoLines);
    let arguments = Arguments {
        bias: 0,
        multiplier: 0,
        zero_point: layer.requant.zero_point,
        end: 0,
        second: 0,
        along: if whole == 0 { 0 } else { along.out },
        across: across.out,
        half: if whole == 0 {
            0
        } else {
            half.wrapping_mul(4 * PAIR)
        },
        whole: whole.max(half).wrapping_mul(4 * PAIR),
        advance: if two {
            32
        } else {
            across.step.wrapping_mul(16)
        },
        out_advance: if two {
            across.out.wrapping_mul(2)
        } else {
            across.out
        },
        left: 0,
        turns,
        now: kind,
        last: if two { lines % 2 } else { 0 },
        biases: biases.as_ptr(),
        multipliers: multipliers.as_ptr(),
        weights: weights.as_ptr(),
        first: planes.as_ptr(),
        first_out: out.as_mut_ptr(),
        channels: 4,
        kind,
        plane: planes.as_ptr(),
        out: out.as_mut_ptr(),
    };
    // SAFETY: by the checks above.
    unsafe { multiply(&arguments) };
}

/// Some channels.
///
/// # Safety
/// `first` must be aligned and have, at each pair of values below `all` and at the next, words of the lines that are
/// looked at, 16 bytes apart: three for each line of outputs, from `advance` bytes further on for each turn; each channel's
/// a word after the one before. For each channel `weights` must have three words, `biases` and `multipliers` one, aligned,
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
            "sub sp, #96",
            "mov r11, sp",
            // The arguments to the stack.
            "ldm lr!, {{r0, r1, r2, r3, r4, r5, r6, r7}}",
            "stm r11!, {{r0, r1, r2, r3, r4, r5, r6, r7}}",
            "ldm lr!, {{r0, r1, r2, r3, r4, r5, r6, r7}}",
            "stm r11!, {{r0, r1, r2, r3, r4, r5, r6, r7}}",
            "ldm lr, {{r0, r1, r2, r3, r4, r5}}",
            "stm r11, {{r0, r1, r2, r3, r4, r5}}",
            // A channel.
            "1:",
            "ldr r0, [sp, #60]",
            "ldr r1, [sp, #64]",
            "ldr r12, [sp, #68]",
            "ldr r2, [r0], #4",
            "ldr r3, [r1], #4",
            "ldm r12!, {{r5, r7, r9}}",
            "strd r0, r1, [sp, #60]",
            "str r12, [sp, #68]",
            "sxtb16 r4, r5",
            "sxtb16 r5, r5, ror #8",
            "sxtb16 r6, r7",
            "sxtb16 r7, r7, ror #8",
            "sxtb16 r8, r9",
            "sxtb16 r9, r9, ror #8",
            "strd r2, r3, [sp]",
            "ldr r0, [sp, #72]",
            "ldr r1, [sp, #76]",
            "ldr r2, [sp, #48]",
            "ldr r12, [sp, #84]",
            "add r3, r0, #4",
            "add lr, r1, #1",
            "strd r3, lr, [sp, #72]",
            "str r2, [sp, #44]",
            "str r12, [sp, #52]",
            "cmp r12, #1",
            "bls 2f",
            // Of outputs two inputs apart the third tap of the first and of the second line share a word.
            "pkhtb r7, r7, r5, asr #16",
            "mov r5, r6",
            "mov r6, r8",
            "mov r8, r9",
            // A turn: r0 its planes, r1 its outputs.
            "2:",
            "strd r0, r1, [sp, #88]",
            "ldr r2, [sp, #32]",
            "ldr r3, [sp, #20]",
            "ldr r12, [sp, #52]",
            "add r2, r2, r0",
            "strd r2, r3, [sp, #12]",
            "cmp r12, #1",
            "blo 3f",
            "bhi.w 7f",
            // Two outputs of a line.
            "ldrd r10, r11, [sp, #4]",
            "4:",
            "ldr r12, [r0]",
            "ldr lr, [r0, #160]!",
            "ldr r3, [sp]",
            "smlad r2, r12, r4, r3",
            "smlatb r3, r12, r4, r3",
            "smlabt r2, lr, r5, r2",
            "smlad r3, lr, r5, r3",
            "ldr r12, [r0, #-144]",
            "ldr lr, [r0, #16]",
            "smlad r2, r12, r6, r2",
            "smlatb r3, r12, r6, r3",
            "smlabt r2, lr, r7, r2",
            "smlad r3, lr, r7, r3",
            "ldr r12, [r0, #-128]",
            "ldr lr, [r0, #32]",
            "smlad r2, r12, r8, r2",
            "smlatb r3, r12, r8, r3",
            "smlabt r2, lr, r9, r2",
            "smlad r3, lr, r9, r3",
            "smmlar r2, r2, r10, r11",
            "smmlar r3, r3, r10, r11",
            "ssat r2, #8, r2",
            "ssat r3, #8, r3",
            "ldr r12, [sp, #16]",
            "ldr lr, [sp, #12]",
            "strb r3, [r1, r12]",
            "strb r2, [r1]",
            "add r1, r1, r12, lsl #1",
            "cmp r0, lr",
            "bne 4b",
            // Half a pair, if there is one and it was not yet done.
            "cmp r12, #0",
            "beq 6f",
            "ldr r2, [sp, #28]",
            "cmp r2, #0",
            "beq 6f",
            "add lr, lr, r2",
            "movs r2, #0",
            "strd lr, r2, [sp, #12]",
            "b 4b",
            // Two outputs of each of two lines.
            "3:",
            "ldr r12, [r0]",
            "ldr lr, [r0, #160]!",
            "ldr r11, [sp]",
            "smlad r2, r12, r4, r11",
            "smlatb r3, r12, r4, r11",
            "smlabt r2, lr, r5, r2",
            "smlad r3, lr, r5, r3",
            "ldr r12, [r0, #-144]",
            "ldr lr, [r0, #16]",
            "smlad r2, r12, r6, r2",
            "smlatb r3, r12, r6, r3",
            "smlad r10, r12, r4, r11",
            "smlatb r11, r12, r4, r11",
            "smlabt r2, lr, r7, r2",
            "smlad r3, lr, r7, r3",
            "smlabt r10, lr, r5, r10",
            "smlad r11, lr, r5, r11",
            "ldr r12, [r0, #-128]",
            "ldr lr, [r0, #32]",
            "smlad r2, r12, r8, r2",
            "smlatb r3, r12, r8, r3",
            "smlad r10, r12, r6, r10",
            "smlatb r11, r12, r6, r11",
            "smlabt r2, lr, r9, r2",
            "smlad r3, lr, r9, r3",
            "smlabt r10, lr, r7, r10",
            "smlad r11, lr, r7, r11",
            "ldr r12, [r0, #-112]",
            "ldr lr, [r0, #48]",
            "smlad r10, r12, r8, r10",
            "smlatb r11, r12, r8, r11",
            "smlabt r10, lr, r9, r10",
            "smlad r11, lr, r9, r11",
            "ldrd r12, lr, [sp, #4]",
            "smmlar r2, r2, r12, lr",
            "smmlar r3, r3, r12, lr",
            "smmlar r10, r10, r12, lr",
            "smmlar r11, r11, r12, lr",
            "ssat r2, #8, r2",
            "ssat r3, #8, r3",
            "ssat r10, #8, r10",
            "ssat r11, #8, r11",
            "ldr lr, [sp, #16]",
            "ldr r12, [sp, #24]",
            "strb r3, [r1, lr]",
            "strb r2, [r1]",
            "add r12, r12, r1",
            "ldr r3, [sp, #12]",
            "strb r11, [r12, lr]",
            "strb r10, [r12]",
            "add r1, r1, lr, lsl #1",
            "cmp r0, r3",
            "bne.w 3b",
            "cmp lr, #0",
            "beq 6f",
            "ldr r2, [sp, #28]",
            "cbz r2, 6f",
            "add r3, r3, r2",
            "movs r2, #0",
            "strd r3, r2, [sp, #12]",
            "b.w 3b",
            // The next turn.
            "6:",
            "ldrd r0, r1, [sp, #88]",
            "ldr r2, [sp, #36]",
            "ldr r3, [sp, #40]",
            "ldr r12, [sp, #44]",
            "add r0, r0, r2",
            "add r1, r1, r3",
            "subs r12, r12, #1",
            "str r12, [sp, #44]",
            "bne.w 2b",
            // A single line after pairs of lines.
            "ldrd r2, r3, [sp, #52]",
            "cmp r2, r3",
            "bhs 5f",
            "str r3, [sp, #52]",
            "str r3, [sp, #44]",
            "b.w 2b",
            "5:",
            "ldr r2, [sp, #80]",
            "subs r2, #1",
            "str r2, [sp, #80]",
            "bne.w 1b",
            "b 8f",
            // Outputs two inputs apart; every second time the pairs change places.
            "7:",
            "ldr r9, [r0]",
            "ldr r10, [r0, #16]",
            "ldr r11, [r0, #32]",
            "9:",
            "ldr r2, [sp]",
            "ldr r12, [r0, #160]!",
            "ldr lr, [r0, #16]",
            "ldr r3, [r0, #32]",
            "smlad r2, r9, r4, r2",
            "smlad r2, r10, r5, r2",
            "smlad r2, r11, r6, r2",
            "ldr r9, [sp, #4]",
            "ldr r10, [sp, #8]",
            "ldr r11, [sp, #20]",
            "smlabb r2, r12, r7, r2",
            "smlabt r2, lr, r7, r2",
            "smlabt r2, r3, r8, r2",
            "smmlar r2, r2, r9, r10",
            "ldr r9, [sp, #12]",
            "ssat r2, #8, r2",
            "strb r2, [r1]",
            "add r1, r1, r11",
            "cmp r0, r9",
            "beq 6b",
            "ldr r2, [sp]",
            "ldr r9, [r0, #160]!",
            "ldr r10, [r0, #16]",
            "ldr r11, [r0, #32]",
            "smlad r2, r12, r4, r2",
            "smlad r2, lr, r5, r2",
            "smlad r2, r3, r6, r2",
            "ldr r12, [sp, #4]",
            "ldr lr, [sp, #8]",
            "ldr r3, [sp, #20]",
            "smlabb r2, r9, r7, r2",
            "smlabt r2, r10, r7, r2",
            "smlabt r2, r11, r8, r2",
            "smmlar r2, r2, r12, lr",
            "ldr r12, [sp, #12]",
            "ssat r2, #8, r2",
            "strb r2, [r1]",
            "add r1, r1, r3",
            "cmp r0, r12",
            "bne 9b",
            "b 6b",
            "8:",
            "add sp, #96",
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
            let word = layer
                .weights
                .get(channel.wrapping_mul(3).wrapping_add(line));
            let bytes = word.copied().unwrap_or(0).to_le_bytes();
            // The third tap is the last byte.
            let byte = bytes.get(if tap == 2 { 3 } else { tap });
            i32::from(byte.copied().unwrap_or(0) as i8)
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
