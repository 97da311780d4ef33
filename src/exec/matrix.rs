//! Dense matrices and their product.

use std::sync::Arc;

use gemm::Parallelism;

use crate::diag::{Diag, Result};
use crate::exec::Float;

/// A row-major matrix, or a transposed view of one. Cloning and transposing share the data.
#[derive(Debug, Clone)]
pub struct Matrix<T> {
    /// `rows · cols` values.
    data: Arc<Vec<T>>,
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
        Ok(Self { data: Arc::new(data), rows, cols, transposed: false })
    }

    /// The transposed view.
    #[must_use]
    pub fn t(&self) -> Self {
        let Self { data, rows, cols, transposed } = self;
        Self { data: Arc::clone(data), rows: *cols, cols: *rows, transposed: !transposed }
    }

    /// `[rows, cols]`.
    pub fn dims(&self) -> [usize; 2] {
        [self.rows, self.cols]
    }

    /// The values in row-major order; a transposed view is copied first.
    pub fn into_vec(self) -> Vec<T> {
        if self.transposed {
            let at = |row: usize, col: usize| self.data[col * self.rows + row];
            return (0..self.rows).flat_map(|row| (0..self.cols).map(move |col| at(row, col))).collect();
        }
        Arc::unwrap_or_clone(self.data)
    }

    /// Lends the row-major values to `f`; a transposed view is copied first.
    pub fn read<R>(&self, f: impl FnOnce(&[T]) -> R) -> R {
        if self.transposed { f(&self.clone().into_vec()) } else { f(&self.data) }
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
    // SAFETY: `gemm` reads `lhs[row · a_row + i · a_col]` for row < m and i < k, `rhs[i · b_row + col · b_col]` for
    // i < k and col < n, and writes `dst[row · n + col]`. `Matrix::new` checked that the data of `a` and `b` hold
    // rows · cols values, of which `strides` names each once for every row and column; `data` has m · n, and
    // is borrowed by nothing else.
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
            a.data.as_ptr(),
            a_col,
            a_row,
            b.data.as_ptr(),
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
    fn sizes_that_do_not_fit_are_refused() {
        assert!(Matrix::new(vec![0.0_f32; 5], 2, 3).is_err());
        let matrix = |rows, cols| Matrix::new(vec![0.0_f32; rows * cols], rows, cols).expect("fits");
        assert!(matmul(&matrix(2, 3), &matrix(2, 3)).is_err());
    }
}
