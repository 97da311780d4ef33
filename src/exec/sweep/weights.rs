//! The gradient of a convolution's weights where every group reads one channel: a tap's is the product of the channel's
//! strip, read from the tap's place on, with the gradients of the results.

#![expect(
    clippy::inline_always,
    reason = "vector code must be inlined into the function that the processor was checked for"
)]

use pulp::{Arch, Simd, WithSimd};

use crate::exec::packed::SLACK;
use crate::exec::sweep::{Piece, Sweep};
use crate::exec::{Batch, Float};

/// Taps whose sums are taken together, two vectors each.
const TAPS: usize = 5;

impl Sweep {
    /// Of a forward sweep, for the gradients `grad` of its results: `[O, KH·KW]`.
    pub(in crate::exec) fn weights<T: Float>(&self, read: &Batch<T>, grad: &Batch<T>) -> Vec<T> {
        let (vertical, horizontal) = (&self.results[0][0], &self.results[1][0]);
        let taps = vertical.taps.len() * horizontal.taps.len();
        let multiplier = grad.shape.c / read.shape.c;
        let pieces = self.pieces(1, read.n, 1);
        let mut strips = self.strips(1, &pieces);
        let mut slopes = vec![T::ZERO; strips.len()];
        let mut sums = vec![T::ZERO; grad.shape.c * taps];
        for piece in pieces {
            let shifts = self.shifts(vertical, horizontal, 1, piece);
            let rows = piece.rows.min(vertical.count - piece.row);
            let length = self.length(piece, rows, horizontal);
            // Zeros behind the last, as they are taken in whole vectors.
            let slopes = &mut slopes[..length + SLACK];
            for channel in 0..read.shape.c {
                self.fill(read, channel..channel + 1, piece, &mut strips);
                for made in channel * multiplier..(channel + 1) * multiplier {
                    slopes[length..].fill(T::ZERO);
                    self.lay_out(grad, made, piece, rows, slopes);
                    let sums = &mut sums[made * taps..(made + 1) * taps];
                    for (sums, shifts) in sums.chunks_mut(TAPS).zip(shifts.chunks(TAPS)) {
                        Arch::new().dispatch(Products { strip: &strips, shifts, slopes, length, sums });
                    }
                }
            }
        }
        sums
    }

    /// Copies a channel's rows to where the sweep has its results. What lies between rows is zero already.
    fn lay_out<T: Float>(&self, grad: &Batch<T>, channel: usize, piece: Piece, rows: usize, slopes: &mut [T]) {
        let (w, plane, pitch) = (grad.shape.w, grad.shape.plane(), self.axes[1].pitch);
        let planes = &grad.data[(channel * grad.n + piece.first) * plane..][..piece.samples * plane];
        for (sample, plane) in planes.chunks_exact(plane).enumerate() {
            for (row, source) in plane[piece.row * w..].chunks_exact(w).take(rows).enumerate() {
                slopes[(sample * piece.lines + row) * pitch..][..w].copy_from_slice(source);
            }
        }
    }
}

/// `sums[k] += Σ_q strip[shifts[k] + q] · slopes[q]`.
struct Products<'a, T> {
    strip: &'a [T],
    shifts: &'a [usize],
    slopes: &'a [T],
    length: usize,
    sums: &'a mut [T],
}

impl<T: Float> WithSimd for Products<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.shifts.len() {
            1 => self.together::<S, 1>(simd),
            2 => self.together::<S, 2>(simd),
            3 => self.together::<S, 3>(simd),
            4 => self.together::<S, 4>(simd),
            _ => self.together::<S, TAPS>(simd),
        }
    }
}

impl<T: Float> Products<'_, T> {
    /// All of the `K` taps.
    #[inline(always)]
    fn together<S: Simd, const K: usize>(self, simd: S) {
        let width = 2 * T::lanes::<S>();
        let mut sums: [[T::Vector<S>; 2]; K] = [[T::splat(simd, T::ZERO); 2]; K];
        for at in (0..self.length).step_by(width) {
            let slopes = T::vectors::<S>(&self.slopes[at..at + width]);
            for (sums, &shift) in sums.iter_mut().zip(self.shifts) {
                let read = T::vectors::<S>(&self.strip[at + shift..at + shift + width]);
                for ((sum, &read), &slope) in sums.iter_mut().zip(read).zip(slopes) {
                    *sum = T::mul_add(simd, read, slope, *sum);
                }
            }
        }
        for (total, [first, second]) in self.sums.iter_mut().zip(sums) {
            *total += T::sum(simd, first) + T::sum(simd, second);
        }
    }
}
