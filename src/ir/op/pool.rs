//! Windowed pooling.

use crate::diag::Diag;
use crate::ir::op::Window;

/// Largest value of each window. Padding takes no part; a tie goes to the first in row-major order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MaxPool {
    /// Kernel, stride, dilation, padding.
    pub window: Window,
}

/// Mean of each window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AvgPool {
    /// Kernel, stride, dilation, padding.
    pub window: Window,
    /// Whether padded zeros count in the divisor.
    pub count_include_pad: bool,
}

impl MaxPool {
    pub(super) fn verify(self) -> Result<(), Diag> {
        verify_pool(&self.window)
    }
}

impl AvgPool {
    pub(super) fn verify(self) -> Result<(), Diag> {
        verify_pool(&self.window)
    }
}

/// Every window must touch the input, so that no output is made of padding alone.
fn verify_pool(window: &Window) -> Result<(), Diag> {
    window.verify()?;
    let [eh, ew] = window.extent();
    let [top, left, bottom, right] = window.pad;
    if top >= eh || bottom >= eh || left >= ew || right >= ew {
        return Err(Diag::new("ir/pool-pad", "pooling padding reaches the window's size")
            .expected(format!("less than {eh}×{ew}"), format!("{:?}", window.pad)));
    }
    Ok(())
}
