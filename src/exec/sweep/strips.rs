//! Copies planes into strips, and results out of what lies between them.

use std::ops::Range;

use crate::exec::sweep::axis::Results;
use crate::exec::sweep::{Piece, Sweep};
use crate::exec::{Batch, Float};

impl Sweep {
    /// Copies the piece's rows of the channels `from` into the strips. What lies between rows is zero already.
    pub(super) fn fill<T: Float>(&self, read: &Batch<T>, from: Range<usize>, piece: Piece, buffer: &mut [T]) {
        let [y, x] = &self.axes;
        let (w, plane) = (read.shape.w, read.shape.plane());
        let count = piece.samples * piece.side;
        let mut strips = buffer.chunks_exact_mut(piece.span);
        for channel in from {
            let planes = &read.data[(channel * read.n + piece.first) * plane..][..count * plane];
            for (vertical, horizontal) in remainders(y.step, x.step) {
                let strip = strips.next().expect("a strip for each channel and remainder");
                if y.is_plain() && x.is_plain() && piece.lines == y.pitch && piece.side == 1 {
                    strip[..planes.len()].copy_from_slice(planes);
                    continue;
                }
                let inside = x.inside(horizontal);
                let Some(column) = x.source(inside.start, horizontal) else { continue };
                for (sample, planes) in planes.chunks_exact(piece.side * plane).enumerate() {
                    for line in 0..piece.lines {
                        let at = (sample * piece.lines + line) * x.pitch;
                        let target = &mut strip[(at + inside.start) * piece.side..(at + inside.end) * piece.side];
                        match y.source(piece.row + line, vertical).map(|row| row * w + column) {
                            None => target.fill(T::ZERO),
                            Some(at) if piece.side > 1 => interleave(planes, plane, at, x.step, piece.side, target),
                            Some(at) if x.step == 1 => target.copy_from_slice(&planes[at..at + target.len()]),
                            Some(at) => {
                                for (t, &v) in target.iter_mut().zip(planes[at..].iter().step_by(x.step)) {
                                    *t = v;
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Numbers `at`, `at + step`, … of all planes, side by side.
fn interleave<T: Float>(planes: &[T], plane: usize, at: usize, step: usize, side: usize, target: &mut [T]) {
    for (column, target) in target.chunks_exact_mut(side).enumerate() {
        for (t, plane) in target.iter_mut().zip(planes.chunks_exact(plane)) {
            *t = plane[at + column * step];
        }
    }
}

/// Where a channel's results go.
pub(super) struct Place<'a> {
    pub vertical: &'a Results,
    pub horizontal: &'a Results,
    pub rows: usize,
    /// Of the strips.
    pub pitch: usize,
    pub piece: Piece,
}

impl Place<'_> {
    /// Copies `result` into the planes of `channel`.
    pub(super) fn copy<T: Float>(&self, result: &[T], made: &mut Batch<T>, channel: usize) {
        let Self { vertical, horizontal, rows, pitch, piece } = *self;
        let (h, w) = (made.shape.h, made.shape.w);
        let count = piece.samples * piece.side;
        let planes = &mut made.data[(channel * made.n + piece.first) * h * w..][..count * h * w];
        let lines =
            (0..rows).map(|row| (row, (vertical.start + (piece.row + row) * vertical.step) * w + horizontal.start));
        if piece.side > 1 {
            for (row, at) in lines {
                let source = &result[row * horizontal.count * count..][..horizontal.count * count];
                for (column, source) in source.chunks_exact(count).enumerate() {
                    for (&v, plane) in source.iter().zip(planes.chunks_exact_mut(h * w)) {
                        plane[at + column * horizontal.step] = v;
                    }
                }
            }
            return;
        }
        if [vertical.step, horizontal.step] == [1, 1] && [piece.lines, pitch] == [h, w] && rows == h {
            planes.copy_from_slice(&result[..planes.len()]);
            return;
        }
        for (sample, plane) in planes.chunks_exact_mut(h * w).enumerate() {
            for (row, at) in lines.clone() {
                let source = &result[(sample * piece.lines + row) * pitch..][..horizontal.count];
                if horizontal.step == 1 {
                    plane[at..at + source.len()].copy_from_slice(source);
                } else {
                    for (t, &v) in plane[at..].iter_mut().step_by(horizontal.step).zip(source) {
                        *t = v;
                    }
                }
            }
        }
    }
}

/// Every pair of remainders, rows first.
fn remainders(rows: usize, columns: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..rows).flat_map(move |row| (0..columns).map(move |column| (row, column)))
}
