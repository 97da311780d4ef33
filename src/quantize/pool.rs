//! Mean pooling: the divisor becomes part of the multiplier.

use crate::diag::Result;
use crate::ir::op::{AvgPool, Window};
use crate::qir::{self, Quant, Requant};
use crate::quantize::fuse::Bounds;
use crate::quantize::linear::lower_window;
use crate::quantize::requant::{clamp, multipliers};

/// A windowed mean. Where padding does not count there is one multiplier per number of positions inside.
///
/// Overflow: a sum is at most `255 · positions`, a multiplier at most `scale ratio / positions`, so that
/// shifted sums stay within 2^31 for every ratio below 2^22; tensors of wilder ratios are refused.
pub(super) fn lower_avg_pool(
    pool: &AvgPool,
    input: Quant,
    output: Quant,
    bounds: Bounds,
    name: &str,
) -> Result<qir::AvgPool> {
    let positions = pool.window.kernel[0] * pool.window.kernel[1];
    let ratio = f64::from(input.scale) / f64::from(output.scale);
    let padded = pool.window.pad != [0; 4];
    let factors: Vec<f64> = if pool.count_include_pad || !padded {
        vec![ratio / positions as f64]
    } else {
        (1..=positions).map(|n| ratio / n as f64).collect()
    };
    let (multipliers, shift) = multipliers(&factors, name)?;
    if (positions as i64 * 255) << shift > i64::from(i32::MAX) {
        return crate::diag::Diag::new("quantize/overflow", "the pool's sums do not fit 32 bits")
            .at(format!("layer \"{name}\""))
            .expected("sums below 2^31", format!("{positions} positions with a shift of {shift}"))
            .help("pool in two steps")
            .err();
    }
    let (min, max) = clamp(output, bounds);
    Ok(qir::AvgPool {
        window: lower_window(&pool.window),
        input_zero_point: input.zero_point,
        requant: Requant { multipliers, shift, zero_point: output.zero_point, min, max },
    })
}

/// The window of a global pool over `rows × columns`.
pub(super) fn global_window(rows: usize, columns: usize) -> AvgPool {
    AvgPool { window: Window::new([rows, columns]), count_include_pad: true }
}
