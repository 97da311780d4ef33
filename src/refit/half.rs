//! Rows of a large matrix in half the memory, and their products with vectors.

#![expect(
    clippy::inline_always,
    reason = "vector code must be inlined into the function that the processor was checked for"
)]

use pulp::{Arch, Simd, WithSimd};

/// Rows that are worked on in one pass over a vector.
pub(super) const ROWS: usize = 4;

/// Sums that run side by side: a fixed order that vectorises.
const LANES: usize = 32;

/// A number of f32's range with 8 bits of mantissa: the upper half of an f32 (bfloat16).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Half(u16);

impl Half {
    /// The nearest; of two as near, the even one.
    pub(super) fn new(value: f32) -> Self {
        let bits = value.to_bits();
        let up = 0x7FFF + (bits >> 16 & 1);
        Self(if value.is_nan() { 0x7FC0 } else { (bits.wrapping_add(up) >> 16) as u16 })
    }

    #[inline(always)]
    pub(super) fn get(self) -> f64 {
        f64::from(f32::from_bits(u32::from(self.0) << 16))
    }
}

/// Adds `v[r]` times row `r` to `sum`, for up to [`ROWS`] rows.
pub(super) fn add_rows(sum: &mut [f64], rows: &[Half], v: &[f64]) {
    Arch::new().dispatch(AddRows { sum, rows, v });
}

struct AddRows<'a> {
    sum: &'a mut [f64],
    rows: &'a [Half],
    v: &'a [f64],
}

impl WithSimd for AddRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { sum, rows, v } = self;
        let n = sum.len();
        if let [va, vb, vc, vd] = *v {
            let (a, rest) = rows.split_at(n);
            let (b, rest) = rest.split_at(n);
            let (c, d) = rest.split_at(n);
            for ((((s, a), b), c), d) in sum.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                *s += (va * a.get() + vb * b.get()) + (vc * c.get() + vd * d.get());
            }
            return;
        }
        for (row, v) in rows.chunks_exact(n).zip(v) {
            for (s, d) in sum.iter_mut().zip(row) {
                *s += v * d.get();
            }
        }
    }
}

/// Products of some rows with `u`.
pub(super) fn products(rows: &[Half], u: &[f64]) -> Vec<f64> {
    rows.chunks_exact(u.len()).map(|row| Arch::new().dispatch(Product { row, u })).collect()
}

struct Product<'a> {
    row: &'a [Half],
    u: &'a [f64],
}

impl WithSimd for Product<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let mut sums = [0.0; LANES];
        let (row, of_u) = (self.row.chunks_exact(LANES), self.u.chunks_exact(LANES));
        let mut tail = 0.0;
        for (d, u) in row.remainder().iter().zip(of_u.remainder()) {
            tail += d.get() * u;
        }
        for (row, u) in row.zip(of_u) {
            for k in 0..LANES {
                sums[k] += row[k].get() * u[k];
            }
        }
        for sum in sums {
            tail += sum;
        }
        tail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_within_a_256th_and_odd_values_survive() {
        for value in [0.0, 1.0, -3.5, 1e-30, 6.25e20, 0.1, -7.77e-5] {
            assert!((Half::new(value).get() - f64::from(value)).abs() <= f64::from(value).abs() / 256.0, "{value}");
        }
        assert!(Half::new(f32::NAN).get().is_nan() && Half::new(f32::INFINITY).get().is_infinite());
        // Ties go to even: 1 + 1/256 lies between 1 and 1 + 1/128.
        assert_eq!(Half::new(1.0 + 1.0 / 256.0), Half::new(1.0));
        assert_eq!(Half::new(1.0 + 3.0 / 256.0), Half::new(1.0 + 1.0 / 64.0));
    }

    #[test]
    fn products_are_those_of_one_row_after_the_other() {
        for (rows, n) in [(4, 19), (3, 8), (1, 5), (4, 32)] {
            let values: Vec<Half> = (0..rows * n).map(|i| Half::new((i * 37 % 41) as f32 - 20.0)).collect();
            let u: Vec<f64> = (0..n).map(|i| (i * 13 % 17) as f64 - 8.0).collect();
            let v: Vec<f64> = (0..rows).map(|i| i as f64 - 1.5).collect();
            let dot = |row: &[Half]| row.iter().zip(&u).map(|(d, u)| d.get() * u).sum::<f64>();
            assert_eq!(products(&values, &u), values.chunks_exact(n).map(dot).collect::<Vec<f64>>());
            let mut sum = vec![1.0; n];
            add_rows(&mut sum, &values, &v);
            for (k, sum) in sum.iter().enumerate() {
                let want = 1.0 + (0..rows).map(|r| v[r] * values[r * n + k].get()).sum::<f64>();
                assert!((sum - want).abs() < 1e-12);
            }
        }
    }
}
