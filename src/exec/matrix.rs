//! Dense matrices and their product.

use std::marker::PhantomData;

use candle_core::{Device, Storage, Tensor};

use crate::diag::{Diag, Result};
use crate::exec::Float;

/// A row-major matrix, or a transposed view of one. Cloning and transposing share the data.
#[derive(Debug, Clone)]
pub struct Matrix<T> {
    tensor: Tensor,
    kind: PhantomData<T>,
}

impl<T: Float> Matrix<T> {
    /// Takes `rows · cols` values in row-major order, without copying.
    pub fn new(data: Vec<T>, rows: usize, cols: usize) -> Result<Self> {
        sequential_products();
        Self::wrap(Tensor::from_vec(data, (rows, cols), &Device::Cpu))
    }

    /// The transposed view.
    pub fn t(&self) -> Result<Self> {
        Self::wrap(self.tensor.t())
    }

    /// `[rows, cols]`.
    pub fn dims(&self) -> [usize; 2] {
        let dims = self.tensor.dims();
        [dims[0], dims[1]]
    }

    /// Lends the row-major values to `f`; a transposed view is copied first.
    pub fn read<R>(&self, f: impl FnOnce(&[T]) -> R) -> Result<R> {
        let tensor = self.tensor.contiguous().map_err(failed)?;
        let (storage, layout) = tensor.storage_and_layout();
        let Storage::Cpu(cpu) = &*storage else {
            return Diag::new("exec/device", "matrix is not in host memory").err();
        };
        let data = cpu.as_slice::<T>().map_err(failed)?;
        Ok(f(&data[layout.start_offset()..]))
    }

    /// The values in row-major order.
    pub fn to_vec(&self) -> Result<Vec<T>> {
        self.read(<[T]>::to_vec)
    }

    fn wrap(tensor: candle_core::Result<Tensor>) -> Result<Self> {
        Ok(Self { tensor: tensor.map_err(failed)?, kind: PhantomData })
    }
}

/// `a · b`, on one thread: parallel work is cut by [`for_chunks`](crate::exec::for_chunks), above this.
pub fn matmul<T: Float>(a: &Matrix<T>, b: &Matrix<T>) -> Result<Matrix<T>> {
    Matrix::wrap(a.tensor.matmul(&b.tensor))
}

/// Keeps the matrix library from splitting products over threads: nested splitting costs more than it gains
/// under chunked work, and a waiting product could start another chunk on its own stack.
fn sequential_products() {
    gemm_common::gemm::set_threading_threshold(usize::MAX);
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` hands over")]
fn failed(error: candle_core::Error) -> Box<Diag> {
    Box::new(Diag::new("exec/matrix", format!("matrix library failed: {error}")))
}
