//! Rows of a large matrix in bfloat16, half the memory of f32, and their products with vectors.

#![expect(
    clippy::inline_always,
    reason = "vector code must be inlined into the function that the processor was checked for"
)]

use half::bf16;
use pulp::{Arch, Simd, WithSimd};

/// Rows that are worked on in one pass over a vector.
pub(super) const ROWS: usize = 4;

/// Sums that run side by side: a fixed order that vectorises.
const LANES: usize = 32;

/// The value. `bf16::to_f64` looks for not-a-number first, which does not vectorise.
#[inline(always)]
pub(super) fn wide(value: bf16) -> f64 {
    f64::from(f32::from_bits(u32::from(value.to_bits()) << 16))
}

/// Adds `v[r]` times row `r` to `sum`, for up to [`ROWS`] rows.
pub(super) fn add_rows(sum: &mut [f64], rows: &[bf16], v: &[f64]) {
    Arch::new().dispatch(AddRows { sum, rows, v });
}

struct AddRows<'a> {
    sum: &'a mut [f64],
    rows: &'a [bf16],
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
                *s += (va * wide(*a) + vb * wide(*b)) + (vc * wide(*c) + vd * wide(*d));
            }
            return;
        }
        for (row, v) in rows.chunks_exact(n).zip(v) {
            for (s, d) in sum.iter_mut().zip(row) {
                *s += v * wide(*d);
            }
        }
    }
}

/// Products of some rows with `u`.
pub(super) fn products(rows: &[bf16], u: &[f64]) -> Vec<f64> {
    rows.chunks_exact(u.len()).map(|row| Arch::new().dispatch(Product { row, u })).collect()
}

struct Product<'a> {
    row: &'a [bf16],
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
            tail += wide(*d) * u;
        }
        for (row, u) in row.zip(of_u) {
            for k in 0..LANES {
                sums[k] += wide(row[k]) * u[k];
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
    fn values_are_those_of_the_type() {
        for value in [0.0, -0.0, 1.0, -3.5, 1e-30, 6.25e20, 0.1, -7.77e-5, f32::INFINITY, f32::MIN_POSITIVE / 4.0] {
            let value = bf16::from_f32(value);
            assert_eq!(wide(value).to_bits(), value.to_f64().to_bits(), "{value}");
        }
        assert!(wide(bf16::NAN).is_nan());
    }

    #[test]
    fn products_are_those_of_one_row_after_the_other() {
        for (rows, n) in [(4, 19), (3, 8), (1, 5), (4, 32)] {
            let values: Vec<bf16> = (0..rows * n).map(|i| bf16::from_f32((i * 37 % 41) as f32 - 20.0)).collect();
            let u: Vec<f64> = (0..n).map(|i| (i * 13 % 17) as f64 - 8.0).collect();
            let v: Vec<f64> = (0..rows).map(|i| i as f64 - 1.5).collect();
            let dot = |row: &[bf16]| row.iter().zip(&u).map(|(d, u)| wide(*d) * u).sum::<f64>();
            assert_eq!(products(&values, &u), values.chunks_exact(n).map(dot).collect::<Vec<f64>>());
            let mut sum = vec![1.0; n];
            add_rows(&mut sum, &values, &v);
            for (k, sum) in sum.iter().enumerate() {
                let want = 1.0 + (0..rows).map(|r| v[r] * wide(values[r * n + k])).sum::<f64>();
                assert!((sum - want).abs() < 1e-12);
            }
        }
    }
}
