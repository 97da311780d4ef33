//! Mean of each window, global pooling included (a window as large as the input).

use crate::requant::Requant;
use crate::shape::{Element, Hwc, Window};

/// `acc = Σ (q − input_zero_point)` over the positions inside the input; the divisor is in the multiplier.
#[derive(Debug, Clone, Copy)]
pub struct AvgPool<'a> {
    /// Input shape.
    pub input: Hwc,
    /// Output shape.
    pub output: Hwc,
    /// Window.
    pub window: Window,
    /// Zero point of the input.
    pub input_zero_point: i32,
    /// `multipliers` has one entry for every window, or one per number of positions inside the input
    /// (index `positions − 1`), for pools that do not count padding.
    pub requant: Requant<'a>,
}

/// Runs the pool.
pub fn avg_pool<T: Element>(layer: &AvgPool<'_>, input: &[T], output: &mut [i8]) {
    let _ = (layer, input, output);
}
