//! Concatenation of channels: in channel-major layout, appending.

use crate::exec::{Batch, Float};
use crate::ir::Shape;

pub(super) fn forward<T: Float>(out: Shape, inputs: &[&Batch<T>]) -> Batch<T> {
    let n = inputs[0].n;
    let mut data = Vec::with_capacity(out.len() * n);
    for input in inputs {
        data.extend_from_slice(&input.data);
    }
    Batch { shape: out, n, data }
}

pub(super) fn backward<T: Float>(operand: usize, inputs: &[&Batch<T>], grad: &Batch<T>) -> Batch<T> {
    let start: usize = inputs[..operand].iter().map(|input| input.data.len()).sum();
    let input = inputs[operand];
    Batch { shape: input.shape, n: input.n, data: grad.data[start..start + input.data.len()].to_vec() }
}
