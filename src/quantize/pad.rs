//! Borders of a value other than 0.

use crate::diag::Result;
use crate::ir::op::{Pad, Window};
use crate::qir::{self, Bias, Op, PadValue};
use crate::quantize::fold_input::Border;
use crate::quantize::linear::{Place, lower_window};
use crate::quantize::weights::{Linear, quantize_linear};

/// A depthwise 1×1 convolution that copies, with the border's value as the bias of border positions. The value thus is
/// as exact as the result's scale allows, whether or not it is within the input's range.
pub(super) fn lower_pad(pad: &Pad, place: &Place<'_>) -> Result<Op> {
    let window = Window { pad: pad.pad, ..Window::new([1, 1]) };
    let channels = place.input.c;
    let rows = Border::new(&window, 0, place.input.h, place.output.h)?;
    let cols = Border::new(&window, 1, place.input.w, place.output.w)?;
    let mut bias = Vec::with_capacity(rows.inside.len() * cols.inside.len() * channels);
    for row in &rows.inside {
        for col in &cols.inside {
            let value = if row[0] && col[0] { 0.0 } else { f64::from(pad.value) };
            bias.extend(std::iter::repeat_n(value, channels));
        }
    }
    let zero = place.reader.zero[0];
    let layer =
        Linear { weight: &place.reader.slope, bias: &bias, outputs: channels, zero: &|_, _| zero, name: place.name };
    let quantized = quantize_linear(&layer, place.quant, place.bounds)?;
    Ok(Op::Depthwise(qir::Conv {
        window: lower_window(&window),
        weights: quantized.weights,
        bias: Bias::Border {
            col_classes: cols.inside.len(),
            rows: rows.classes,
            cols: cols.classes,
            table: quantized.bias,
        },
        pad: PadValue::Uniform(zero),
        requant: quantized.requant,
    }))
}
