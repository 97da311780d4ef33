//! Fully connected layer.

use crate::diag::Result;
use crate::exec::op::channel_sums;
use crate::exec::{Batch, Float, Matrix, ParamGrad, matmul};
use crate::ir::Shape;

pub(super) fn forward<T: Float>(weight: &Matrix<T>, bias: &[T], x: &Batch<T>) -> Result<Batch<T>> {
    let mut data = matmul(weight, &as_matrix(x)?)?.into_vec();
    for (row, &b) in data.chunks_exact_mut(x.n.max(1)).zip(bias) {
        for v in row {
            *v += b;
        }
    }
    Ok(Batch { shape: Shape::vector(bias.len()), n: x.n, data })
}

pub(super) fn backward<T: Float>(weight: &Matrix<T>, input: Shape, grad: &Batch<T>) -> Result<Batch<T>> {
    let data = matmul(&weight.t(), &as_matrix(grad)?)?.into_vec();
    Ok(Batch { shape: input, n: grad.n, data })
}

pub(super) fn backward_params<T: Float>(x: &Batch<T>, grad: &Batch<T>) -> Result<ParamGrad<T>> {
    let weight = matmul(&as_matrix(grad)?, &as_matrix(x)?.t())?.into_vec();
    Ok(ParamGrad { weight, bias: channel_sums(grad) })
}

/// `[features, samples]`.
fn as_matrix<T: Float>(batch: &Batch<T>) -> Result<Matrix<T>> {
    Matrix::new(batch.data.clone(), batch.shape.c, batch.n)
}
