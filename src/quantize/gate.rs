//! Products with one value per channel.

use crate::diag::{Diag, Result};
use crate::qir::{Gate, Quant, Requant};
use crate::quantize::fuse::Bounds;
use crate::quantize::requant::{clamp, multipliers};

/// `x · g` with one rounding: products of integers are exact, the three scales are one multiplier.
///
/// Overflow: a product is at most 255², so that there is room for a shift of 15; an output scale that asks for more is
/// below a 2^-15th of the two scales' product, and refused.
pub(super) fn lower_gate([x, g]: [Quant; 2], output: Quant, bounds: Bounds, name: &str) -> Result<Gate> {
    let factor = f64::from(x.scale) * f64::from(g.scale) / f64::from(output.scale);
    let (multipliers, shift) = multipliers(&[factor], name)?;
    if (255 * 255) << shift > i64::from(i32::MAX) {
        return Diag::new("quantize/overflow", "one step of the product is too many steps of its output")
            .at(format!("layer \"{name}\""))
            .expected("fewer than 2^14", format!("{factor:e}"))
            .help("the gate is almost closed on all calibration samples; check that the model was trained")
            .err();
    }
    let (min, max) = clamp(output, bounds);
    Ok(Gate {
        zero_points: [x.zero_point, g.zero_point],
        requant: Requant { multipliers, shift, zero_point: output.zero_point, min, max },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_within_half_a_step_of_the_real_ones() {
        let (x, g) = (Quant { scale: 0.05, zero_point: -20 }, Quant { scale: 1.0 / 255.0, zero_point: -128 });
        let out = Quant { scale: 0.04, zero_point: 3 };
        let gate = lower_gate([x, g], out, Bounds::NONE, "gate").expect("fits");
        for qx in -128..=127_i32 {
            for qg in [-128, -3, 0, 127_i32] {
                let product = i64::from((qx + 20) * (qg + 128)) << gate.requant.shift;
                let scaled = (product * i64::from(gate.requant.multipliers[0]) + (1 << 31)) >> 32;
                let got = (3 + scaled as i32).clamp(gate.requant.min, gate.requant.max);
                let real = 0.05 * f64::from(qx + 20) * f64::from(qg + 128) / 255.0;
                let want = (real / 0.04 + 3.0).clamp(-128.0, 127.0);
                assert!((f64::from(got) - want).abs() <= 0.501, "{qx} · {qg}: {got} against {want}");
            }
        }
    }
}
