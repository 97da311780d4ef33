//! Outputs of four channels of [`super::lines`].

#[cfg(all(target_arch = "arm", feature = "dsp"))]
use super::line_loops::multiply;
use super::lines::{Axis, Lines};

/// Lines of input that are spread at a time.
pub const ROWS: usize = 10;

/// Words of the planes from one pair of values along a line to the next: the lines' words of four channels.
pub const PAIR: usize = 4 * ROWS;

/// What the loops work on; those marked with a star move on.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[repr(C)]
pub(super) struct Arguments {
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
pub(super) enum Kind {
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
