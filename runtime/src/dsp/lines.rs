//! Depthwise 3×3 convolution, channels by fours, along lines of one channel.
//!
//! Four channels of up to ten lines of input are spread to 16-bit values, two neighbours along a line in a word, so that
//! two taps lie in a word: two neighbouring outputs take twelve multiplications. A line is a row of the output or a
//! column, whichever suits its size.

use super::super::requant::Requant;
use super::super::shape::{Hwc, Window};
use super::lanes::{both, words};
use super::line::{run, PAIR, ROWS};
use super::spread::Spread;

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
    /// `[C][3]`: with `a`, `b`, `c` the taps along a line, for each of three lines the bytes `a`, `b`, `b`, `c`, the first
    /// the lowest.
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

/// Whether the output may lie over the input: all of four channels is spread before the first of their outputs is written.
pub const fn takes_in_place(input: Hwc, output: Hwc, window: &Window, columns: bool) -> bool {
    let [down, right] = window.stride;
    let alike = input.h == output.h && input.w == output.w && input.c == output.c;
    let lines = if columns { output.w } else { output.h };
    alike && down == 1 && right == 1 && lines.wrapping_add(2) <= ROWS
}

/// Pairs of values of a line of input that `outputs` look at, and those that are computed beside.
const fn pairs(outputs: usize, step: usize) -> usize {
    let pairs = if step == 1 {
        outputs.wrapping_add(1) / 2
    } else {
        outputs
    };
    pairs.wrapping_add(1)
}

/// Bytes of scratch for an output of this shape.
pub const fn scratch_bytes(output: Hwc, window: &Window, columns: bool) -> usize {
    let along = if columns { 0 } else { 1 };
    let size = [output.h, output.w];
    pairs(size[along], window.stride[along]).wrapping_mul(4 * PAIR)
}

/// One axis of the output and of the input.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    /// Outputs.
    pub outputs: usize,
    /// Inputs.
    inputs: usize,
    /// Inputs from one output to the next.
    pub step: usize,
    /// The first input that the first output looks at; it may have wrapped.
    origin: usize,
    /// Bytes from one input to the next.
    apart: usize,
    /// Bytes from one output to the next.
    pub out: usize,
}

/// Runs the convolution; `scratch` is aligned to words and has at least [`scratch_bytes`]. Where lengths do not
/// match, or [`takes`] is not true, less is computed.
#[inline(always)]
pub fn depthwise(layer: &Lines<'_>, input: &[i8], output: &mut [i8], scratch: &mut [i8]) {
    run_rows(layer, 0, Some(input), output, scratch);
}

/// Runs the convolution with its output over its input; see [`takes_in_place`].
#[inline(always)]
pub fn depthwise_in_place(layer: &Lines<'_>, values: &mut [i8], scratch: &mut [i8]) {
    run_rows(layer, 0, None, values, scratch);
}

/// Runs the convolution for the output rows from `first` on, as many as `output` holds: any cut of the output
/// into bands of whole rows gives the same bytes.
#[inline(always)]
pub fn band(layer: &Lines<'_>, first: usize, input: &[i8], output: &mut [i8], scratch: &mut [i8]) {
    run_rows(layer, first, Some(input), output, scratch);
}

/// [`band`]; without an `input`, that is where the output goes.
#[inline(never)]
fn run_rows(
    layer: &Lines<'_>,
    first: usize,
    input: Option<&[i8]>,
    output: &mut [i8],
    scratch: &mut [i8],
) {
    let arguments = core::hint::black_box((layer, first, input, output, scratch));
    let (layer, first, input, output, scratch) = arguments;
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
    let pairs = pairs(along.outputs, along.step);
    let (planes, _) = words(scratch, pairs.wrapping_mul(PAIR));
    let fits = takes(channels, window, layer.columns)
        && !planes.is_empty()
        && to.c == channels
        && input.unwrap_or(output).len() >= from.h.wrapping_mul(from.w).wrapping_mul(channels)
        && layer.bias.len() >= channels
        && layer.requant.multipliers.len() >= channels
        && layer.weights.len() / 3 >= channels;
    if !fits {
        return;
    }
    // Values of a line before the input's first, then those inside.
    let length = pairs.wrapping_mul(2);
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
    let most = ((ROWS - 3) / across.step.max(1)).wrapping_add(1);
    let mut done = 0_usize;
    while done < across.outputs {
        let lines = most.min(across.outputs.wrapping_sub(done));
        let depth = lines
            .wrapping_sub(1)
            .wrapping_mul(across.step)
            .wrapping_add(3);
        let place = across.origin.wrapping_add(done.wrapping_mul(across.step));
        // Padding along the lines stays from strip to strip.
        if done == 0 || place >= across.inputs || depth > across.inputs.wrapping_sub(place) {
            planes.fill(both(layer.pad));
        }
        // Lines of the strip before the input's first, then those inside.
        let above = if place < across.inputs {
            0
        } else {
            depth.min(0_usize.wrapping_sub(place))
        };
        let top = if place < across.inputs { place } else { 0 };
        let spread = Spread {
            step: along.apart,
            apart: across.apart,
            before,
            inside,
            above,
            rows: depth
                .wrapping_sub(above)
                .min(across.inputs.wrapping_sub(top)),
        };
        let corner = top
            .wrapping_mul(across.apart)
            .wrapping_add(begin.wrapping_mul(along.apart));
        for first in (0..channels).step_by(4) {
            let source = input.unwrap_or(output);
            let source = source.get(corner.wrapping_add(first)..);
            spread.run(source.unwrap_or(&[]), planes);
            let start = done.wrapping_mul(across.out).wrapping_add(first);
            let out = output.get_mut(start..).unwrap_or(&mut []);
            run(layer, first, planes, lines, (&along, &across), out);
        }
        done = done.wrapping_add(lines);
    }
}
