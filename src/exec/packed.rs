//! Products of small matrices with shifted copies of one strip: `y[r][q] = bias[r] + Σ_k w[r][k] · strip[shift[k] + q]`.
//!
//! Eight rows of the result, three vectors wide, stay in registers (four where there are only 16 of them) while `k` runs;
//! each number read from the strip serves all the rows. Every sum is taken in the order of `k`, so a result depends on
//! nothing but its own numbers: not on where it lies nor on what is computed beside it.

#![expect(
    clippy::inline_always,
    reason = "vector code must be inlined into the function that the processor was checked for"
)]

use pulp::{Arch, Simd, WithSimd};

use crate::exec::Float;

/// Rows of the result that are computed together.
pub(super) const ROWS: usize = 8;

/// As many or fewer rows are computed without the others.
const LOW: usize = ROWS / 2;

/// Results come in whole vectors: this many numbers behind the last may be read and written.
pub(super) const SLACK: usize = 64;

/// A matrix in blocks of [`ROWS`] rows, each block column by column; missing rows are zeros.
#[derive(Debug)]
pub(super) struct Packed<T> {
    rows: usize,
    depth: usize,
    data: Vec<T>,
}

impl<T: Float> Packed<T> {
    /// `rows` × `depth` values of `at(row, k)`.
    pub(super) fn new(rows: usize, depth: usize, at: impl Fn(usize, usize) -> T) -> Self {
        let mut data = Vec::with_capacity(rows.next_multiple_of(ROWS) * depth);
        for first in (0..rows).step_by(ROWS) {
            for k in 0..depth {
                data.extend((first..first + ROWS).map(|row| if row < rows { at(row, k) } else { T::ZERO }));
            }
        }
        Self { rows, depth, data }
    }

    /// Rows of the whole matrix.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// First rows of the blocks.
    pub(super) fn blocks(&self) -> impl Iterator<Item = usize> + use<T> {
        (0..self.rows).step_by(ROWS)
    }

    /// Rows of the block that begins at `first`.
    pub(super) fn height(&self, first: usize) -> usize {
        ROWS.min(self.rows - first)
    }

    /// Rows of a result that a block's product writes at most, zeros included.
    pub(super) fn written(&self) -> usize {
        match self.height(0) {
            1 => 1,
            2..=LOW => LOW,
            _ => ROWS,
        }
    }

    /// `length` results of the block's rows, row `r` from `result[r · pitch]` on; up to [`SLACK`] numbers behind each are
    /// overwritten. `bias` is the block's.
    pub(super) fn product(
        &self,
        first: usize,
        bias: &[T],
        strip: &[T],
        shifts: &[usize],
        length: usize,
        result: &mut [T],
        pitch: usize,
    ) {
        let weights = &self.data[first * self.depth..][..ROWS * self.depth];
        let mut start = [T::ZERO; ROWS];
        start[..bias.len()].copy_from_slice(bias);
        let height = self.height(first);
        Arch::new().dispatch(Product { weights, height, start, strip, shifts, length, result, pitch });
    }
}

struct Product<'a, T> {
    weights: &'a [T],
    height: usize,
    start: [T; ROWS],
    strip: &'a [T],
    shifts: &'a [usize],
    length: usize,
    result: &'a mut [T],
    pitch: usize,
}

impl<T: Float> WithSimd for Product<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let lanes = T::lanes::<S>();
        let mut at = 0;
        while self.height == 1 && at < self.length {
            at += lanes * self.single(simd, at, (self.length - at).div_ceil(lanes));
        }
        while at < self.length {
            // Four are two and two: a single one leaves the processor waiting for its own sums.
            let vectors = match (self.length - at).div_ceil(lanes) {
                4 => 2,
                left => left.min(3),
            };
            let low = self.height <= LOW;
            match (vectors, low, S::REGISTER_COUNT >= 32) {
                (3, false, true) => self.tile::<S, 8, 3>(simd, at, 0),
                (2, false, true) => self.tile::<S, 8, 2>(simd, at, 0),
                (1, false, _) => self.tile::<S, 8, 1>(simd, at, 0),
                (3, _, _) => self.halves::<S, 3>(simd, at, low),
                (2, _, _) => self.halves::<S, 2>(simd, at, low),
                _ => self.halves::<S, 1>(simd, at, low),
            }
            at += vectors * lanes;
        }
    }
}

impl<T: Float> Product<'_, T> {
    /// The only row, `left` vectors wide at most. Returns how wide: a few sums at a time wait for each other.
    #[inline(always)]
    fn single<S: Simd>(&mut self, simd: S, at: usize, left: usize) -> usize {
        match left {
            8.. => {
                self.tile::<S, 1, 8>(simd, at, 0);
                8
            }
            4.. => {
                self.tile::<S, 1, 4>(simd, at, 0);
                4
            }
            2.. => {
                self.tile::<S, 1, 2>(simd, at, 0);
                2
            }
            _ => {
                self.tile::<S, 1, 1>(simd, at, 0);
                1
            }
        }
    }

    /// The first four rows and, unless `low`, the others.
    #[inline(always)]
    fn halves<S: Simd, const V: usize>(&mut self, simd: S, at: usize, low: bool) {
        self.tile::<S, 4, V>(simd, at, 0);
        if !low {
            self.tile::<S, 4, V>(simd, at, 4);
        }
    }

    /// `R` rows from `first` on, `V` vectors wide from `at` on.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const V: usize>(&mut self, simd: S, at: usize, first: usize) {
        let width = V * T::lanes::<S>();
        let mut sums: [[T::Vector<S>; V]; R] = std::array::from_fn(|r| [T::splat(simd, self.start[first + r]); V]);
        for (weights, &shift) in self.weights.chunks_exact(ROWS).zip(self.shifts) {
            let read = T::vectors::<S>(&self.strip[at + shift..at + shift + width]);
            let read: [T::Vector<S>; V] = std::array::from_fn(|v| read[v]);
            for (sums, &weight) in sums.iter_mut().zip(&weights[first..first + R]) {
                let weight = T::splat(simd, weight);
                for (sum, &read) in sums.iter_mut().zip(&read) {
                    *sum = T::mul_add(simd, weight, read, *sum);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            let target = &mut self.result[(first + r) * self.pitch + at..][..width];
            T::vectors_mut::<S>(target).copy_from_slice(sums);
        }
    }
}
