//! Tensors of several samples, and the number types they hold.

use std::fmt::Debug;
use std::ops::Neg;

use crate::diag::{Diag, Result};
use crate::exec::Lanes;
use crate::ir::Shape;

/// A number type the engine runs in: `f32` or `f64`.
pub trait Float: Lanes + candle_core::WithDType + Neg<Output = Self> + Debug + Default {
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// Below every number.
    const LOWEST: Self;

    /// Nearest value to `x`.
    fn of(x: f64) -> Self;
    /// As `f64`, exactly.
    fn wide(self) -> f64;
    /// e to the power of `self`.
    #[must_use]
    fn exp(self) -> Self;
}

impl Float for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const LOWEST: Self = Self::NEG_INFINITY;

    fn of(x: f64) -> Self {
        x as Self
    }

    fn wide(self) -> f64 {
        f64::from(self)
    }

    fn exp(self) -> Self {
        self.exp()
    }
}

impl Float for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const LOWEST: Self = Self::NEG_INFINITY;

    fn of(x: f64) -> Self {
        x
    }

    fn wide(self) -> f64 {
        self
    }

    fn exp(self) -> Self {
        self.exp()
    }
}

/// One tensor of `n` samples, `[C, N, H, W]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch<T> {
    /// Shape of one sample.
    pub shape: Shape,
    /// Samples.
    pub n: usize,
    /// `[C, N, H, W]`.
    pub data: Vec<T>,
}

impl<T: Float> Batch<T> {
    /// A batch of `data` in `[C, N, H, W]` order.
    pub fn new(shape: Shape, n: usize, data: Vec<T>) -> Result<Self> {
        if data.len() != shape.len() * n {
            return Diag::new("exec/length", "batch data has the wrong length")
                .expected(format!("{n} samples of {shape} = {} values", shape.len() * n), data.len())
                .err();
        }
        Ok(Self { shape, n, data })
    }

    /// All zeros.
    pub fn zeros(shape: Shape, n: usize) -> Self {
        Self { shape, n, data: vec![T::ZERO; shape.len() * n] }
    }

    /// Channel `c` of all samples, `[N, H, W]`.
    pub fn channel(&self, c: usize) -> &[T] {
        let len = self.n * self.shape.plane();
        &self.data[c * len..(c + 1) * len]
    }

    /// Channel `c` of sample `n`, `[H, W]`.
    pub fn plane(&self, c: usize, n: usize) -> &[T] {
        let plane = self.shape.plane();
        &self.data[(c * self.n + n) * plane..][..plane]
    }

    /// Every value of sample `n`, `[C, H, W]`.
    pub fn sample(&self, n: usize) -> Vec<T> {
        (0..self.shape.c).flat_map(|c| self.plane(c, n).iter().copied()).collect()
    }

    /// Index of the largest value of sample `n` (a vector of class scores); the first of equals.
    pub fn argmax(&self, n: usize) -> usize {
        let mut best = 0;
        for c in 1..self.shape.c {
            if self.plane(c, n)[0] > self.plane(best, n)[0] {
                best = c;
            }
        }
        best
    }

    /// Adds `other`, value by value.
    pub(crate) fn add(&mut self, other: &Self) {
        for (a, &b) in self.data.iter_mut().zip(&other.data) {
            *a += b;
        }
    }

    /// A batch of the same shape with `f` of every value.
    pub(crate) fn map(&self, f: impl Fn(T) -> T) -> Self {
        Self { shape: self.shape, n: self.n, data: self.data.iter().map(|&x| f(x)).collect() }
    }

    /// A batch of the same shape with `f` of every pair of values.
    pub(crate) fn zip(&self, other: &Self, f: impl Fn(T, T) -> T) -> Self {
        let data = self.data.iter().zip(&other.data).map(|(&a, &b)| f(a, b)).collect();
        Self { shape: self.shape, n: self.n, data }
    }
}
