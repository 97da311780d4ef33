//! Dense matrices and their product.

use std::ops::Range;
use std::sync::Arc;

use gemm::Parallelism;

use crate::diag::{Diag, Result};
use crate::exec::Float;

/// Rows of a symmetric product that are computed together, from the first column to the diagonal.
const BAND: usize = 96;

/// A row-major matrix, or a transposed view of one. Cloning and transposing share the data.
#[derive(Debug, Clone)]
pub struct Matrix<T> {
    /// `rows · cols` values from `start` on.
    data: Arc<Vec<T>>,
    start: usize,
    rows: usize,
    cols: usize,
    /// Whether the values are column-major.
    transposed: bool,
}

impl<T: Float> Matrix<T> {
    /// Takes `rows · cols` values in row-major order, without copying.
    pub fn new(data: Vec<T>, rows: usize, cols: usize) -> Result<Self> {
        if rows.checked_mul(cols) != Some(data.len()) {
            return Diag::new("exec/matrix", "a matrix has another size than its values")
                .expected(format!("{rows} x {cols}"), data.len())
                .err();
        }
        Ok(Self { data: Arc::new(data), start: 0, rows, cols, transposed: false })
    }

    /// The transposed view.
    #[must_use]
    pub fn t(&self) -> Self {
        let Self { data, start, rows, cols, transposed } = self;
        Self { data: Arc::clone(data), start: *start, rows: *cols, cols: *rows, transposed: !transposed }
    }

    /// Some of the rows of a row-major matrix.
    fn band(&self, rows: Range<usize>) -> Self {
        assert!(!self.transposed && rows.end <= self.rows, "rows of a row-major matrix");
        Self { start: self.start + rows.start * self.cols, rows: rows.len(), ..self.clone() }
    }

    fn values(&self) -> &[T] {
        &self.data[self.start..self.start + self.rows * self.cols]
    }

    /// `[rows, cols]`.
    pub fn dims(&self) -> [usize; 2] {
        [self.rows, self.cols]
    }

    /// The values in row-major order; a transposed view is copied first.
    pub fn into_vec(self) -> Vec<T> {
        if self.transposed {
            let values = self.values();
            let at = |row: usize, col: usize| values[col * self.rows + row];
            return (0..self.rows).flat_map(|row| (0..self.cols).map(move |col| at(row, col))).collect();
        }
        if self.values().len() < self.data.len() { self.values().to_vec() } else { Arc::unwrap_or_clone(self.data) }
    }

    /// Lends the row-major values to `f`; a transposed view is copied first.
    pub fn read<R>(&self, f: impl FnOnce(&[T]) -> R) -> R {
        if self.transposed { f(&self.clone().into_vec()) } else { f(self.values()) }
    }

    /// How far apart the values of neighbouring columns and rows are.
    fn strides(&self) -> [isize; 2] {
        if self.transposed { [self.rows as isize, 1] } else { [1, self.cols as isize] }
    }
}

/// `a · b`, on one thread: parallel work is cut by [`for_chunks`](crate::exec::for_chunks), above this.
pub fn matmul<T: Float>(a: &Matrix<T>, b: &Matrix<T>) -> Result<Matrix<T>> {
    let ([m, k], [inner, n]) = (a.dims(), b.dims());
    if k != inner {
        return Diag::new("exec/matrix", "matrices do not fit each other").expected(format!("{k} rows"), inner).err();
    }
    let mut data = vec![T::ZERO; m * n];
    let ([a_col, a_row], [b_col, b_row]) = (a.strides(), b.strides());
    let (a_values, b_values) = (a.values(), b.values());
    // SAFETY: `gemm` reads `lhs[row · a_row + i · a_col]` for row < m and i < k, `rhs[i · b_row + col · b_col]` for
    // i < k and col < n, and writes `dst[row · n + col]`. `values` are the rows · cols of `a` and `b`, of which `strides` names
    // each once for every row and column; `data` has m · n, and is borrowed by nothing else.
    #[allow(unsafe_code, reason = "the matrix library has no safe door of its own")]
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            data.as_mut_ptr(),
            1,
            n as isize,
            false,
            a_values.as_ptr(),
            a_col,
            a_row,
            b_values.as_ptr(),
            b_col,
            b_row,
            T::ZERO,
            T::ONE,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
    Matrix::new(data, m, n)
}

/// `x · xᵀ` of a row-major matrix in little more than half of the products, as it is symmetric.
pub fn gram<T: Float>(x: &Matrix<T>) -> Result<Matrix<T>> {
    let n = x.rows;
    let mut data = vec![T::ZERO; n * n];
    for first in (0..n).step_by(BAND) {
        let end = n.min(first + BAND);
        let band = matmul(&x.band(first..end), &x.band(0..end).t())?.into_vec();
        for (row, values) in (first..end).zip(band.chunks_exact(end)) {
            for (col, &value) in values[..=row].iter().enumerate() {
                (data[row * n + col], data[col * n + row]) = (value, value);
            }
        }
    }
    Matrix::new(data, n, n)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every shape and every way to lay out the operands, against sums in i64.
    #[test]
    fn products_are_those_of_whole_numbers() {
        let number = |i: usize| (i * 37 % 23) as i64 - 11;
        for [m, k, n] in [[1, 1, 1], [3, 5, 2], [17, 33, 9], [64, 3, 65], [4, 0, 3], [0, 3, 2]] {
            let (a, b): (Vec<i64>, Vec<i64>) =
                ((0..m * k).map(number).collect(), (0..k * n).map(|i| number(i + 7)).collect());
            let wanted: Vec<f64> =
                (0..m * n).map(|i| (0..k).map(|j| a[i / n * k + j] * b[j * n + i % n]).sum::<i64>() as f64).collect();
            let matrix = |values: &[i64], rows: usize, cols: usize| {
                Matrix::new(values.iter().map(|&v| v as f64).collect(), rows, cols).expect("fits")
            };
            let (plain_a, plain_b) = (matrix(&a, m, k), matrix(&b, k, n));
            let turned = |m: &Matrix<f64>| {
                let [rows, cols] = m.dims();
                Matrix::new(m.t().into_vec(), cols, rows).expect("fits").t()
            };
            for a in [plain_a.clone(), turned(&plain_a)] {
                for b in [plain_b.clone(), turned(&plain_b)] {
                    assert_eq!(matmul(&a, &b).expect("fits").into_vec(), wanted, "{m} x {k} x {n}");
                }
            }
        }
    }

    #[test]
    fn a_symmetric_product_is_that_with_the_transposed() {
        for (rows, cols) in [(1, 1), (5, 3), (BAND, 7), (BAND + 1, 16), (3 * BAND + 40, 33)] {
            let values = (0..rows * cols).map(|i| (i * 37 % 23) as f64 - 11.0).collect();
            let x = Matrix::new(values, rows, cols).expect("fits");
            let wanted = matmul(&x, &x.t()).expect("fits").into_vec();
            assert_eq!(gram(&x).expect("fits").into_vec(), wanted, "{rows} x {cols}");
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        assert!(Matrix::new(vec![0.0_f32; 5], 2, 3).is_err());
        let matrix = |rows, cols| Matrix::new(vec![0.0_f32; rows * cols], rows, cols).expect("fits");
        assert!(matmul(&matrix(2, 3), &matrix(2, 3)).is_err());
    }
}
