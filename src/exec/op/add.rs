//! Sum of two tensors; its gradient passes unchanged to both.

use crate::exec::{Batch, Float};

pub(super) fn forward<T: Float>(a: &Batch<T>, b: &Batch<T>) -> Batch<T> {
    a.zip(b, |a, b| a + b)
}
