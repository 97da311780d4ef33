//! A convolution, forward or backward, without a matrix of patches.
//!
//! The planes that are read are copied once, a few samples or a band of rows at a time, each channel into a strip: row
//! after row with zeros between them, so that every tap of the window reads the same strip, from another place on
//! ([`Packed::product`]). With steps, each channel has a strip for every remainder of row and column; the gradient of
//! such a convolution has a matrix of its own for every remainder of the place it goes to.
//!
//! Where rows are short, the zeros between them would be much of the work: there a strip holds all samples side by side,
//! place after place, and rows are computed one by one. Sums are the same in either form.
//!
//! - `axis`: where lines lie in a strip, and which results read which of them
//! - `strips`: copies planes into strips, and results out of them
//! - `weights`: the gradient of the weights, where a channel reads one channel only

mod axis;
mod strips;
mod weights;

use std::ops::Range;

pub(super) use axis::taps;

use crate::exec::packed::{Packed, SLACK};
use crate::exec::{Batch, Float};
use crate::ir::op::Window;
use axis::{Axis, Results};

/// Numbers in the strips of all channels that are filled at a time: what stays in a core's second-level cache.
const BUDGET: usize = 160 * 1024;

/// Most columns of a row, and fewest samples and channels of the result, for which samples go side by side.
const SHORT: (usize, usize, usize) = (8, 8, 64);

/// One direction of a convolution between planes of two sizes.
#[derive(Debug)]
pub(super) struct Sweep {
    axes: [Axis; 2],
    results: [Vec<Results>; 2],
    /// Matrices for each remainder of the rows.
    matrices: usize,
}

/// One group of a convolution, or its gradient.
#[derive(Debug)]
pub(super) struct Group<'a, T> {
    /// One for each remainder, with columns (channel, tap).
    pub matrices: &'a [Packed<T>],
    /// None, or one number for each row of the matrices.
    pub bias: &'a [T],
    /// Channels that are read.
    pub from: Range<usize>,
    /// First channel that is made.
    pub to: usize,
}

/// What is in the strips at a time.
#[derive(Debug, Clone, Copy)]
struct Piece {
    /// First sample.
    first: usize,
    /// Samples one behind the other.
    samples: usize,
    /// Samples side by side.
    side: usize,
    /// First row of the results.
    row: usize,
    rows: usize,
    /// Lines from one sample to the next.
    lines: usize,
    /// Numbers from one strip to the next.
    span: usize,
}

impl Sweep {
    /// From planes of the size of `input` to those of `out`; it has one matrix.
    pub(super) fn forward(window: &Window, input: [usize; 2], out: [usize; 2]) -> Self {
        let [y, x] = [0, 1].map(|axis| Axis::forward(window, axis, input[axis], out[axis]));
        Self { axes: [y.0, x.0], results: [y.1, x.1], matrices: 1 }
    }

    /// From gradients of planes of the size of `out` to those of `input`; it has a matrix for each remainder of rows and
    /// columns, rows first.
    pub(super) fn backward(window: &Window, input: [usize; 2], out: [usize; 2]) -> Self {
        let [y, x] = [0, 1].map(|axis| Axis::backward(window, axis, input[axis], out[axis]));
        Self { axes: [y.0, x.0], results: [y.1, x.1], matrices: window.stride[1] }
    }

    /// Makes channels of `made` from channels of `read`, group by group; groups are equal in size.
    pub(super) fn run<T: Float>(&self, groups: &[Group<'_, T>], read: &Batch<T>, made: &mut Batch<T>) {
        let Some(Group { matrices, from, .. }) = groups.first() else { return };
        let [_, x] = &self.axes;
        let is_short = x.count <= SHORT.0 && read.n >= SHORT.1 && matrices[0].rows() >= SHORT.2;
        let pieces = self.pieces(from.len(), read.n, if is_short { read.n } else { 1 });
        let mut buffer = self.strips(from.len(), &pieces);
        let mut scratch = Vec::new();
        for piece in pieces {
            for group in groups {
                self.fill(read, group.from.clone(), piece, &mut buffer);
                self.make(group, piece, &buffer, &mut scratch, made);
            }
        }
    }

    /// How `channels` channels of `n` samples, `side` of them side by side, go through the strips.
    fn pieces(&self, channels: usize, n: usize, side: usize) -> Vec<Piece> {
        let [y, x] = &self.axes;
        let line = channels * y.step * x.step * x.pitch * side;
        let (samples, rows, lines) = if line * y.pitch <= BUDGET {
            ((BUDGET / (line * y.pitch).max(1)).clamp(1, (n / side).max(1)), y.count, y.pitch)
        } else {
            let rows = (BUDGET / line).saturating_sub(y.reach).clamp(1, y.count.max(1));
            (1, rows, rows + y.reach)
        };
        let length = ((samples * lines + y.reach) * x.pitch + x.reach) * side + SLACK;
        // An odd number of cache lines, so that the strips do not all fall into the same sets of a cache.
        let span = (length.div_ceil(16) | 1) * 16;
        let firsts = (0..n).step_by(samples * side);
        let piece =
            |first, row| Piece { first, samples: samples.min((n - first) / side), side, row, rows, lines, span };
        firsts.flat_map(|first| (0..y.count).step_by(rows).map(move |row| piece(first, row))).collect()
    }

    /// Zeros for the strips of `channels` channels.
    fn strips<T: Float>(&self, channels: usize, pieces: &[Piece]) -> Vec<T> {
        let span = pieces.first().map_or(0, |piece| piece.span);
        vec![T::ZERO; channels * self.axes[0].step * self.axes[1].step * span]
    }

    /// The piece's results.
    fn make<T: Float>(
        &self,
        group: &Group<'_, T>,
        piece: Piece,
        buffer: &[T],
        scratch: &mut Vec<T>,
        made: &mut Batch<T>,
    ) {
        let [_, x] = &self.axes;
        let pitch = piece.samples * piece.lines * x.pitch * piece.side + SLACK;
        scratch.resize(scratch.len().max(group.matrices[0].written() * pitch), T::ZERO);
        for vertical in &self.results[0] {
            let rows = piece.rows.min(vertical.count.saturating_sub(piece.row));
            for horizontal in self.results[1].iter().filter(|_| rows > 0) {
                let matrix = &group.matrices[vertical.matrix * self.matrices + horizontal.matrix];
                let shifts = self.shifts(vertical, horizontal, group.from.len(), piece);
                for first in matrix.blocks() {
                    let height = matrix.height(first);
                    let bias = group.bias.get(first..first + height).unwrap_or_default();
                    let mut product = |from: usize, length: usize, to: usize| {
                        matrix.product(first, bias, &buffer[from..], &shifts, length, &mut scratch[to..], pitch);
                    };
                    if piece.side > 1 {
                        let length = horizontal.count * piece.side;
                        (0..rows).for_each(|row| product(row * x.pitch * piece.side, length, row * length));
                    } else {
                        product(0, self.length(piece, rows, horizontal), 0);
                    }
                    for (r, result) in scratch.chunks_exact(pitch).take(height).enumerate() {
                        let place = strips::Place { vertical, horizontal, rows, pitch: x.pitch, piece };
                        place.copy(result, made, group.to + first + r);
                    }
                }
            }
        }
    }

    /// Numbers from the first result to behind the last, where samples lie one behind the other.
    fn length(&self, piece: Piece, rows: usize, horizontal: &Results) -> usize {
        ((piece.samples - 1) * piece.lines + rows - 1) * self.axes[1].pitch + horizontal.count
    }

    /// Where each (channel, tap) begins to read.
    fn shifts(&self, vertical: &Results, horizontal: &Results, channels: usize, piece: Piece) -> Vec<usize> {
        let [y, x] = &self.axes;
        let mut shifts = Vec::with_capacity(channels * vertical.taps.len() * horizontal.taps.len());
        for channel in 0..channels {
            for &(remainder, line) in &vertical.taps {
                let strip = (channel * y.step + remainder) * x.step;
                let taps = horizontal.taps.iter();
                shifts
                    .extend(taps.map(|&(r, column)| (strip + r) * piece.span + (line * x.pitch + column) * piece.side));
            }
        }
        shifts
    }
}
