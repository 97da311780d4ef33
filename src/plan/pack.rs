//! Weights in the layout that a kernel reads.

use fratc_runtime::{dsp, mve, scalar};

use super::Kernel;
use super::needs::{columns, filter_len};
use crate::qir::{Bias, Conv, Layer, Op, Program};

/// Constants of a layer for its kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Weights, see the kernel's documentation.
    pub weights: Vec<i32>,
    /// Start of the sums, if it is not what the program has.
    pub bias: Option<Vec<i32>>,
}

/// Constants of `layer` as `kernel` reads them. `None` where it reads them as the program has them.
pub fn pack(program: &Program, layer: &Layer, kernel: Kernel) -> Option<Packed> {
    if let Op::Dense(dense) = &layer.op {
        let weights = of_filters(&dense.weights, program.tensor(layer.inputs[0]).shape.len(), kernel)?;
        return Some(Packed { weights, bias: None });
    }
    let (Op::Conv(conv) | Op::Depthwise(conv)) = &layer.op else { return None };
    let channels = program.tensor(layer.inputs[0]).shape.c;
    let len = filter_len(program, layer, conv);
    let weights = match (&layer.op, kernel) {
        (Op::Conv(_), Kernel::DspConv | Kernel::DspConvWide) => of_filters(&conv.weights, len, kernel)?,
        (Op::Conv(_), Kernel::DspRows) => rows(&conv.weights, channels),
        (Op::Conv(_), Kernel::DspWinograd) => {
            let Bias::Channel(bias) = &conv.bias else { return None };
            return Some(winograd(conv, bias, channels));
        }
        (Op::Conv(_), Kernel::MveConv) => {
            interleaved(&conv.weights, len, mve::conv::padded(len), [mve::dot::FILTERS, mve::dot::VECTOR])
        }
        (Op::Conv(_), Kernel::ScalarV7m) => {
            interleaved(&conv.weights, len, scalar::conv::padded(len), [scalar::v7m::FILTERS, 1])
        }
        (Op::Conv(_), Kernel::ScalarV6m) => interleaved(&conv.weights, len, scalar::conv::padded(len), [1, 1]),
        (Op::Depthwise(_), Kernel::DspLines) => {
            let columns = columns(&conv.window, program.tensor(layer.output).shape);
            lines(&conv.weights, channels, columns)
        }
        (Op::Depthwise(_), Kernel::DspDepthwise) => depthwise(&conv.weights, channels),
        _ => return None,
    };
    Some(Packed { weights, bias: None })
}

/// Filters of `len` weights for `dsp::conv`.
fn of_filters(weights: &[i8], len: usize, kernel: Kernel) -> Option<Vec<i32>> {
    match kernel {
        Kernel::DspConv => Some(pairs(weights, len, |four| [Some(word(four)), None])),
        Kernel::DspConvWide => Some(pairs(weights, len, |four| {
            let value = |i: usize| four.get(i).copied().map_or(0, i32::from);
            [Some(lanes(value(0), value(2))), Some(lanes(value(1), value(3)))]
        })),
        _ => None,
    }
}

/// Filters of `len` weights, two at a time, with one or two words for four values.
fn pairs(weights: &[i8], len: usize, words: impl Fn(&[i8]) -> [Option<i32>; 2]) -> Vec<i32> {
    let filters: Vec<&[i8]> = weights.chunks(len).collect();
    let mut packed = Vec::new();
    for pair in 0..filters.len().div_ceil(2) {
        let first = (2 * pair).min(filters.len().saturating_sub(2));
        for four in (0..len).step_by(4) {
            for half in 0..2 {
                let two = &filters[first..filters.len().min(first + 2)];
                packed.extend(
                    two.iter().filter_map(|filter| words(filter.get(four..len.min(four + 4)).unwrap_or(&[]))[half]),
                );
            }
        }
    }
    packed
}

fn rows(weights: &[i8], channels: usize) -> Vec<i32> {
    let rows = weights.chunks(dsp::rows::TAPS * channels);
    let words = rows.flat_map(|row| {
        (0..channels)
            .step_by(4)
            .flat_map(move |first| row.chunks(channels).map(move |tap| word(&tap[first..first + 4])))
    });
    words.collect()
}

fn depthwise(weights: &[i8], channels: usize) -> Vec<i32> {
    let fours = (0..channels).step_by(4).flat_map(|first| {
        let taps = weights.chunks(channels).map(move |tap| &tap[first..first + 4]);
        taps.flat_map(|four| [four[0], four[2], four[1], four[3]].map(i32::from))
    });
    let values: Vec<i32> = fours.collect();
    values.chunks(2).map(|pair| lanes(pair[0], pair[1])).collect()
}

/// 3×3 taps of every channel along three lines, which are rows or `columns`.
fn lines(weights: &[i8], channels: usize, columns: bool) -> Vec<i32> {
    let words = (0..channels).flat_map(|channel| {
        (0..3).map(move |line| {
            let tap = |t: usize| {
                let tap = if columns { 3 * t + line } else { 3 * line + t };
                weights[tap * channels + channel]
            };
            word(&[tap(0), tap(1), tap(1), tap(2)])
        })
    });
    words.collect()
}

/// `(2G) g (2G)ᵀ` of every filter and channel, and what the sums start with.
fn winograd(conv: &Conv, bias: &[i32], channels: usize) -> Packed {
    let filters = bias.len();
    // Of three values in a line the four sums of `2G`.
    let sums = |[a, b, c]: [i32; 3]| [2 * a, a + b + c, a - b + c, 2 * c];
    // `[row][column]`.
    let transformed = |filter: usize, channel: usize| {
        let g = |y: usize, x: usize| i32::from(conv.weights[((filter * 3 + y) * 3 + x) * channels + channel]);
        let along: [[i32; 4]; 3] = [0, 1, 2].map(|y| sums([0, 1, 2].map(|x| g(y, x))));
        let columns: [[i32; 4]; 4] = [0, 1, 2, 3].map(|x| sums(along.map(|row| row[x])));
        [0, 1, 2, 3].map(|y| columns.map(|column| column[y]))
    };
    let u: Vec<Vec<[[i32; 4]; 4]>> =
        (0..filters).map(|filter| (0..channels).map(|channel| transformed(filter, channel)).collect()).collect();
    let mut weights = Vec::with_capacity(filters.div_ceil(2) * 16 * channels);
    for pair in 0..filters.div_ceil(2) {
        let first = (2 * pair).min(filters - 2);
        for (column, row) in (0..4).flat_map(|column| (0..4).map(move |row| (column, row))) {
            for step in 0..channels / 2 {
                let channel = step / 2 * 4 + step % 2;
                weights.extend(
                    u[first..first + 2]
                        .iter()
                        .map(|filter| lanes(filter[channel][row][column], filter[channel + 2][row][column])),
                );
            }
        }
    }
    let starts = u.iter().zip(bias).flat_map(|(filter, bias)| {
        let sum = |row: usize| filter.iter().map(|channel| channel[row][1]).sum::<i32>();
        [4 * bias + 2 * (sum(0) + sum(2)), 4 * bias - 2 * (sum(2) + sum(3))]
    });
    Packed { weights, bias: Some(starts.collect()) }
}

/// Filters of `len` weights, filled up with zeros to `padded` each and to whole groups of `filters`, and in each group
/// `run` weights of one filter, as many of the next, and so on; four weights in a word.
fn interleaved(weights: &[i8], len: usize, padded: usize, [filters, run]: [usize; 2]) -> Vec<i32> {
    let mut bytes = Vec::new();
    for group in weights.chunks(len * filters) {
        for start in (0..padded).step_by(run) {
            for filter in 0..filters {
                let at = |i: usize| if i < len { group.get(filter * len + i).copied().unwrap_or(0) } else { 0 };
                bytes.extend((start..start + run).map(at));
            }
        }
    }
    bytes.chunks(4).map(word).collect()
}

/// Two 16-bit lanes.
fn lanes(low: i32, high: i32) -> i32 {
    (low & 0xffff) | (high << 16)
}

/// Up to four values in a word.
fn word(values: &[i8]) -> i32 {
    let mut bytes = [0; 4];
    for (byte, value) in bytes.iter_mut().zip(values) {
        *byte = value.cast_unsigned();
    }
    i32::from_le_bytes(bytes)
}
