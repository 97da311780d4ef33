//! Real factors as the integers of `fratc_runtime::requant`.

use crate::diag::{Diag, Result};
use crate::qir::Quant;
use crate::quantize::fuse::Bounds;

/// `round(factor · 2^(32 − shift))` for each factor, with the smallest `shift` for which all are below 2^31.
pub(super) fn multipliers(factors: &[f64], name: &str) -> Result<(Vec<i32>, u32)> {
    for shift in 0..=31u32 {
        let scaled: Vec<f64> = factors.iter().map(|f| (f * 2f64.powi(32 - shift as i32)).round()).collect();
        if scaled.iter().all(|m| *m < 2f64.powi(31)) {
            return Ok((scaled.iter().map(|&m| m as i32).collect(), shift));
        }
    }
    let largest = factors.iter().fold(0.0f64, |m, f| m.max(*f));
    Diag::new("quantize/overflow", "one step of the layer's input is too many steps of its output")
        .at(format!("layer \"{name}\""))
        .expected("fewer than 2^30", format!("{largest:e}"))
        .help("the layer's outputs are tiny beside its weights; check that the model was trained")
        .err()
}

/// The stored values of `bounds`, smallest first.
pub(super) fn clamp(quant: Quant, bounds: Bounds) -> (i32, i32) {
    (store(quant, bounds.lo), store(quant, bounds.hi))
}

/// The stored value nearest to `real`; infinities are the ends.
pub(super) fn store(quant: Quant, real: f64) -> i32 {
    (f64::from(quant.zero_point) + (real / f64::from(quant.scale)).round()).clamp(-128.0, 127.0) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shift_is_the_smallest_that_fits() {
        let ok = |factors: &[f64]| multipliers(factors, "layer").expect("fits");
        assert_eq!(ok(&[0.25]), (vec![1 << 30], 0));
        assert_eq!(ok(&[0.5]), (vec![1 << 30], 1));
        assert_eq!(ok(&[0.499_999_999_99]).1, 1);
        assert_eq!(ok(&[1.0, 0.0]), (vec![1 << 30, 0], 2));
        assert_eq!(multipliers(&[4e9], "wild").expect_err("too large").code, "quantize/overflow");
    }

    #[test]
    fn bounds_become_stored_values() {
        let quant = Quant { scale: 0.1, zero_point: -100 };
        assert_eq!(clamp(quant, Bounds { lo: 0.0, hi: 6.0 }), (-100, -40));
        assert_eq!(clamp(quant, Bounds::NONE), (-128, 127));
    }
}
