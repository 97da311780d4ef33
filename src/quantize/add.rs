//! Sums of two tensors.

use crate::diag::{Diag, Result};
use crate::qir::{Add, Quant};
use crate::quantize::fuse::Bounds;
use crate::quantize::requant::clamp;

/// Factors stay below this, so that two products, both zero points and the rounding half fit an `i32`.
const FACTOR_LIMIT: f64 = (1u32 << 21) as f64;

/// Largest shift: beyond it factors gain nothing, since results have 8 bits.
const MAX_SHIFT: i32 = 24;

/// `a + b` with the largest shift whose factors are below 2^21.
///
/// Proof of no overflow: `|a·f| ≤ 2^7·2^21` twice, as much again in the constant, and a half of at most 2^23.
pub(super) fn lower_add(a: Quant, b: Quant, output: Quant, bounds: Bounds, name: &str) -> Result<Add> {
    let ratios = [a, b].map(|input| f64::from(input.scale) / f64::from(output.scale));
    let factors = |shift: i32| ratios.map(|r| (r * 2f64.powi(shift)).round());
    let fits = |shift: &i32| factors(*shift).iter().all(|f| *f < FACTOR_LIMIT);
    let Some(shift) = (0..=MAX_SHIFT).rev().find(fits) else {
        return Diag::new("quantize/overflow", "one step of the sum's input is too many steps of its output")
            .at(format!("layer \"{name}\""))
            .expected("fewer than 2^21", format!("{:e}", ratios[0].max(ratios[1])))
            .help("the two inputs cancel almost entirely; check that the model was trained")
            .err();
    };
    let factors = factors(shift).map(|f| f as i32);
    let half = if shift == 0 { 0 } else { 1 << (shift - 1) };
    let (min, max) = clamp(output, bounds);
    Ok(Add {
        factors,
        constant: half - a.zero_point * factors[0] - b.zero_point * factors[1],
        shift: shift as u32,
        zero_point: output.zero_point,
        min,
        max,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_within_a_step_of_the_real_ones() {
        let (a, b) = (Quant { scale: 0.05, zero_point: -20 }, Quant { scale: 0.003, zero_point: 127 });
        let out = Quant { scale: 0.04, zero_point: 3 };
        let layer = lower_add(a, b, out, Bounds::NONE, "sum").expect("fits");
        for qa in -128..=127 {
            for qb in [-128, -3, 0, 127] {
                let sum = qa * layer.factors[0] + qb * layer.factors[1] + layer.constant;
                let got = (layer.zero_point + (sum >> layer.shift)).max(layer.min).min(layer.max);
                let real = 0.05 * f64::from(qa + 20) + 0.003 * f64::from(qb - 127);
                let want = (real / 0.04 + 3.0).clamp(-128.0, 127.0);
                assert!((f64::from(got) - want).abs() <= 0.501, "{qa} + {qb}: {got} against {want}");
            }
        }
    }

    #[test]
    fn the_largest_sum_fits() {
        let (a, b) = (Quant { scale: 7.9, zero_point: -128 }, Quant { scale: 7.9, zero_point: 127 });
        let layer = lower_add(a, b, Quant { scale: 0.001, zero_point: 0 }, Bounds::NONE, "sum").expect("fits");
        let worst =
            128 * i64::from(layer.factors[0]) + 128 * i64::from(layer.factors[1]) + i64::from(layer.constant).abs();
        assert!(worst < i64::from(i32::MAX));
    }
}
