//! Fully connected layer on `[N, I, 1, 1]`.

use candle_core::{Result, Tensor};

pub(super) fn forward(weight: &Tensor, bias: &Tensor, x: &Tensor) -> Result<Tensor> {
    let (outputs, inputs) = weight.dims2()?;
    let y = x.reshape(((), inputs))?.matmul(&weight.t()?)?.broadcast_add(bias)?;
    y.reshape(((), outputs, 1, 1))
}

pub(super) fn backward(weight: &Tensor, x: &Tensor, grad: &Tensor) -> Result<Tensor> {
    grad.reshape(((), weight.dim(0)?))?.matmul(weight)?.reshape(x.shape())
}

/// `[O·I]`.
pub(super) fn backward_weight(x: &Tensor, grad: &Tensor) -> Result<Tensor> {
    let rows = |t: &Tensor| t.reshape((t.dim(0)?, t.dim(1)?));
    rows(grad)?.t()?.matmul(&rows(x)?)?.flatten_all()
}
