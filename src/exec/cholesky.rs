//! Cholesky factorisation of dense systems in f64.
//!
//! Columns are worked off in blocks: what the columns before a block do to it is one matrix product, which is most of the
//! work of a large system. A system of one block takes no products.

use std::ops::Range;

use crate::diag::Result;
use crate::exec::matrix::{Matrix, matmul};

/// Columns of a block: fixed, as results depend on it by rounding.
const BLOCK: usize = 96;

/// The lower triangle L of A = L·Lᵀ, row-major.
#[derive(Debug, Clone)]
pub struct Cholesky {
    n: usize,
    l: Vec<f64>,
}

impl Cholesky {
    /// Factors the symmetric matrix `a` (`n` rows, row-major); `None` unless it is safely positive definite.
    pub fn new(mut a: Vec<f64>, n: usize) -> Result<Option<Self>> {
        let diagonal: Vec<f64> = (0..n).map(|i| a[i * n + i]).collect();
        for from in (0..n).step_by(BLOCK) {
            let to = n.min(from + BLOCK);
            if from > 0 {
                let below = part(&a, n, from..n, 0..from)?;
                let own = part(&a, n, from..to, 0..from)?;
                subtract(&mut a, n, from, from, matmul(&below, &own.t())?, to - from);
            }
            for i in from..n {
                let (above, rest) = a.split_at_mut(i * n);
                let row = &mut rest[..n];
                for j in from..to.min(i) {
                    let upper = &above[j * n..j * n + n];
                    row[j] = (row[j] - dot(&row[from..j], &upper[from..j])) / upper[j];
                }
                if i < to {
                    let pivot = row[i] - dot(&row[from..i], &row[from..i]);
                    // What is left below this share of the diagonal is rounding noise.
                    if !(pivot > diagonal[i] * 1e-13 && pivot.is_finite()) {
                        return Ok(None);
                    }
                    row[i] = pivot.sqrt();
                }
            }
        }
        Ok(Some(Self { n, l: a }))
    }

    /// Solves A·x = b in place for every row of `b`, `[rows, n]`.
    pub fn solve(&self, b: &mut [f64]) -> Result<()> {
        let (n, l) = (self.n, &self.l);
        let rows = b.len() / n.max(1);
        for from in (0..n).step_by(BLOCK) {
            let to = n.min(from + BLOCK);
            if from > 0 {
                let known = part(b, n, 0..rows, 0..from)?;
                let known = matmul(&known, &part(l, n, from..to, 0..from)?.t())?;
                subtract(b, n, 0, from, known, to - from);
            }
            for b in b.chunks_exact_mut(n) {
                for i in from..to {
                    let row = &l[i * n..i * n + n];
                    b[i] = (b[i] - dot(&row[from..i], &b[from..i])) / row[i];
                }
            }
        }
        for from in (0..n).step_by(BLOCK).rev() {
            let to = n.min(from + BLOCK);
            if to < n {
                let known = part(b, n, 0..rows, to..n)?;
                let known = matmul(&known, &part(l, n, to..n, from..to)?)?;
                subtract(b, n, 0, from, known, to - from);
            }
            for b in b.chunks_exact_mut(n) {
                for i in (from..to).rev() {
                    let row = &l[i * n..i * n + n];
                    let x = b[i] / row[i];
                    b[i] = x;
                    b[from..i].iter_mut().zip(&row[from..i]).for_each(|(b, l)| *b -= x * l);
                }
            }
        }
        Ok(())
    }
}

/// A block of a row-major matrix of `n` columns.
fn part(a: &[f64], n: usize, rows: Range<usize>, columns: Range<usize>) -> Result<Matrix<f64>> {
    let values = rows.clone().flat_map(|r| &a[r * n + columns.start..r * n + columns.end]).copied().collect();
    Matrix::new(values, rows.len(), columns.len())
}

/// Takes `product`, of `width` columns, from `a` at a row and column on.
fn subtract(a: &mut [f64], n: usize, row: usize, column: usize, product: Matrix<f64>, width: usize) {
    for (row, product) in a.chunks_exact_mut(n).skip(row).zip(product.into_vec().chunks_exact(width)) {
        row[column..column + width].iter_mut().zip(product).for_each(|(a, p)| *a -= p);
    }
}

/// Dot product over eight running sums: a fixed order that still vectorises.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a_eights, b_eights) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f64 = a_eights.remainder().iter().zip(b_eights.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_eights.zip(b_eights) {
        for k in 0..8 {
            sums[k] += x[k] * y[k];
        }
    }
    let [s0, s1, s2, s3, s4, s5, s6, s7] = sums;
    ((s0 + s4) + (s1 + s5)) + ((s2 + s6) + (s3 + s7)) + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solves_what_it_factors_and_refuses_singular_matrices() {
        for n in [1, 2, 7, 8, 9, 40, 95, 96, 97, 200, 300] {
            let value = |i: usize, j: usize| ((i * 37 + j * 101 + 13) % 97) as f64 / 97.0 - 0.5;
            let mut a = vec![0.0; n * n];
            for i in 0..n {
                for j in 0..n {
                    a[i * n + j] = (0..n).map(|k| value(i, k) * value(j, k)).sum::<f64>() + f64::from(u8::from(i == j));
                }
            }
            let want: Vec<Vec<f64>> = (3..6).map(|k| (0..n).map(|i| value(i, k)).collect()).collect();
            let times = |want: &Vec<f64>| (0..n).map(|i| dot(&a[i * n..i * n + n], want)).collect::<Vec<f64>>();
            let mut b: Vec<f64> = want.iter().flat_map(times).collect();
            let factor = Cholesky::new(a, n).expect("products").expect("positive definite");
            factor.solve(&mut b).expect("products");
            assert!(b.iter().zip(want.iter().flatten()).all(|(x, y)| (x - y).abs() < 1e-9), "{n}");
        }
        assert!(Cholesky::new(vec![1.0, 1.0, 1.0, 1.0], 2).expect("no products").is_none());
        assert!(Cholesky::new(vec![f64::NAN], 1).expect("no products").is_none());
    }
}
