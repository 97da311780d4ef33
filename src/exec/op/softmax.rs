//! Softmax over the channels of a vector.

use crate::exec::{Batch, Float};

pub(super) fn forward<T: Float>(x: &Batch<T>) -> Batch<T> {
    let (classes, n) = (x.shape.c, x.n);
    let mut y = x.clone();
    for s in 0..n {
        let top = (0..classes).map(|c| x.data[c * n + s]).fold(T::LOWEST, |a, b| if b > a { b } else { a });
        let mut sum = T::ZERO;
        for c in 0..classes {
            let e = (x.data[c * n + s] - top).exp();
            y.data[c * n + s] = e;
            sum += e;
        }
        for c in 0..classes {
            y.data[c * n + s] /= sum;
        }
    }
    y
}

/// `dx[c] = p[c] · (g[c] − Σ g·p)`.
pub(super) fn backward<T: Float>(p: &Batch<T>, grad: &Batch<T>) -> Batch<T> {
    let (classes, n) = (p.shape.c, p.n);
    let mut dx = grad.clone();
    for s in 0..n {
        let mean = (0..classes).fold(T::ZERO, |sum, c| sum + grad.data[c * n + s] * p.data[c * n + s]);
        for c in 0..classes {
            dx.data[c * n + s] = p.data[c * n + s] * (grad.data[c * n + s] - mean);
        }
    }
    dx
}
