//! Where the taps of a window fall: inside the input, in the padding, or both, by output position.

use crate::qir::{Bias, Conv, Hwc, PadValue, Window};

/// What a tap reads over all output positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reach {
    /// At some position it reads the input.
    pub inside: bool,
    /// At some position it reads padding.
    pub outside: bool,
}

/// Row (axis 0) or column (axis 1) that tap `k` reads at output position `o`, if it is inside.
pub(super) fn source(window: &Window, axis: usize, o: usize, k: usize, size: usize) -> Option<usize> {
    let at = o * window.stride[axis] + k * window.dilation[axis];
    at.checked_sub(window.pad[axis]).filter(|&i| i < size)
}

/// What each tap along one axis reads.
fn along(window: &Window, axis: usize, size: usize, outputs: usize) -> Vec<Reach> {
    let reach = |k: usize| {
        let inside = |o: usize| source(window, axis, o, k, size).is_some();
        Reach { inside: (0..outputs).any(inside), outside: !(0..outputs).all(inside) }
    };
    (0..window.kernel[axis]).map(reach).collect()
}

/// What each tap reads, `[KH · KW]`, row by row.
pub(super) fn reaches(window: &Window, input: Hwc, output: Hwc) -> Vec<Reach> {
    let rows = along(window, 0, input.h, output.h);
    let cols = along(window, 1, input.w, output.w);
    let pairs = rows.iter().flat_map(|row| cols.iter().map(move |col| (row, col)));
    pairs.map(|(row, col)| Reach { inside: row.inside && col.inside, outside: row.outside || col.outside }).collect()
}

/// The pad value of input channel `i`.
pub(super) fn pad_at(pad: &PadValue, i: usize) -> i8 {
    match pad {
        PadValue::Uniform(value) => *value,
        PadValue::Channel(values) => values[i],
    }
}

/// Smallest and largest bias of output channel `o` over all positions.
pub(super) fn bias_range(bias: &Bias, o: usize, channels: usize) -> (i64, i64) {
    let (Bias::Channel(table) | Bias::Border { table, .. }) = bias;
    let values = table.iter().skip(o).step_by(channels).map(|&b| i64::from(b));
    values.fold((i64::MAX, i64::MIN), |(lo, hi), b| (lo.min(b), hi.max(b)))
}

/// Adds `by` to every bias of output channel `o`.
pub(super) fn add_bias(bias: &mut Bias, o: usize, channels: usize, by: i32) {
    let (Bias::Channel(table) | Bias::Border { table, .. }) = bias;
    for value in table.iter_mut().skip(o).step_by(channels) {
        *value = value.wrapping_add(by);
    }
}

/// Which weights of a convolution go together: `[O][KH][KW][I]` or, depthwise, `[KH][KW][C]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Taps.
    pub taps: usize,
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Whether output `o` reads input channel `o` only.
    pub depthwise: bool,
}

impl Layout {
    /// Of a convolution between tensors of these shapes.
    pub fn new(conv: &Conv, depthwise: bool, input: Hwc, output: Hwc) -> Self {
        let [kh, kw] = conv.window.kernel;
        Self { taps: kh * kw, inputs: input.c, outputs: output.c, depthwise }
    }

    /// Input channels that output `o` reads.
    pub fn reads(&self, o: usize) -> std::ops::Range<usize> {
        if self.depthwise { o..o + 1 } else { 0..self.inputs }
    }

    /// Index of a weight.
    pub fn at(&self, o: usize, tap: usize, i: usize) -> usize {
        if self.depthwise { tap * self.outputs + o } else { (o * self.taps + tap) * self.inputs + i }
    }
}
