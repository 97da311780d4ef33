//! A layer against the tensors that it reads and writes.

use super::parts::{
    abs_sum, check_accumulators, check_adapt, check_add, check_avg_pool, check_bound, check_channels, check_conv,
    check_dense, check_i8, check_len, check_not_raw, check_requant, check_same_quant, check_same_shape, check_window,
    is_pixels, volume,
};
use crate::diag::{Diag, Result};
use crate::qir::{Grouped, Hwc, InputKind, Layer, Op, Program, TensorId};

impl Program {
    pub(super) fn verify_layer(&self, layer: &Layer) -> Result<()> {
        let count = match layer.op {
            Op::Add(_) | Op::Gate(_) => 2..=2,
            Op::Concat => 1..=usize::MAX,
            Op::Conv(_)
            | Op::Depthwise(_)
            | Op::Grouped(_)
            | Op::Dense(_)
            | Op::MaxPool(_)
            | Op::AvgPool(_)
            | Op::Lookup(_)
            | Op::Flatten
            | Op::Adapt(_) => 1..=1,
        };
        if !count.contains(&layer.inputs.len()) {
            return Diag::new("qir/input-count", format!("{} has a wrong number of inputs", layer.op.name()))
                .expected(count.start(), layer.inputs.len())
                .err();
        }
        let raw = self.input_kind == InputKind::U8 && layer.inputs.contains(&self.input());
        let (first, out) = (self.tensor(layer.inputs[0]), self.tensor(layer.output));
        let (input, output) = (first.shape, out.shape);
        match &layer.op {
            Op::Conv(conv) => {
                check_window(&conv.window, input, output, false)?;
                let filter = volume(&[conv.window.kernel[0], conv.window.kernel[1], input.c])?;
                check_len("weights", volume(&[output.c, filter])?, conv.weights.len())?;
                check_conv(conv, input, output, out.quant)?;
                check_accumulators(&conv.bias, conv.requant.shift, output.c, |o| {
                    abs_sum(conv.weights[o * filter..(o + 1) * filter].iter())
                })
            }
            Op::Depthwise(conv) => {
                check_window(&conv.window, input, output, false)?;
                check_channels(input, output)?;
                let taps = volume(&[conv.window.kernel[0], conv.window.kernel[1], input.c])?;
                check_len("weights", taps, conv.weights.len())?;
                check_conv(conv, input, output, out.quant)?;
                check_accumulators(&conv.bias, conv.requant.shift, output.c, |o| {
                    abs_sum(conv.weights[o..].iter().step_by(output.c))
                })
            }
            Op::Dense(dense) => check_dense(dense, input, output, out.quant),
            Op::Add(add) => {
                check_not_raw(raw, "a sum")?;
                for &id in &layer.inputs {
                    check_same_shape(self.tensor(id).shape, output)?;
                }
                check_add(add, out.quant)
            }
            Op::MaxPool(window) => {
                check_window(window, input, output, true)?;
                check_channels(input, output)?;
                if layer.inputs[0] == self.input() { Ok(()) } else { check_same_quant(first.quant, out.quant) }
            }
            Op::AvgPool(pool) => {
                check_window(&pool.window, input, output, true)?;
                check_channels(input, output)?;
                if layer.inputs[0] != self.input() && pool.input_zero_point != first.quant.zero_point {
                    return Diag::new("qir/zero-point", "a mean pool has another zero point than its input")
                        .expected(first.quant.zero_point, pool.input_zero_point)
                        .err();
                }
                check_avg_pool(pool, input, out.quant)
            }
            Op::Concat => {
                check_not_raw(raw, "a concatenation")?;
                let mut channels = 0_usize;
                for &id in &layer.inputs {
                    let part = self.tensor(id);
                    check_same_shape(Hwc { c: output.c, ..part.shape }, output)?;
                    if id != self.input() {
                        check_same_quant(part.quant, out.quant)?;
                    }
                    channels = channels.saturating_add(part.shape.c);
                }
                check_len("channels", output.c, channels)
            }
            Op::Lookup(table) => {
                check_same_shape(input, output)?;
                check_len("table entries", 256, table.len())
            }
            Op::Grouped(Grouped { groups, conv }) => {
                check_window(&conv.window, input, output, false)?;
                if *groups == 0 || !input.c.is_multiple_of(*groups) || !output.c.is_multiple_of(*groups) {
                    return Diag::new("qir/groups", "groups do not divide the channels")
                        .expected(format!("a divisor of {} and {}", input.c, output.c), groups)
                        .err();
                }
                let filter = volume(&[conv.window.kernel[0], conv.window.kernel[1], input.c / groups])?;
                check_len("weights", volume(&[output.c, filter])?, conv.weights.len())?;
                check_conv(conv, input, output, out.quant)?;
                check_accumulators(&conv.bias, conv.requant.shift, output.c, |o| {
                    abs_sum(conv.weights[o * filter..(o + 1) * filter].iter())
                })
            }
            Op::Gate(gate) => {
                check_not_raw(raw, "a gate")?;
                check_same_shape(input, output)?;
                check_same_shape(Hwc { h: 1, w: 1, c: input.c }, self.tensor(layer.inputs[1]).shape)?;
                for (&id, &zero_point) in layer.inputs.iter().zip(&gate.zero_points) {
                    let stored = self.tensor(id).quant.zero_point;
                    if id != self.input() && zero_point != stored {
                        return Diag::new("qir/zero-point", "a gate has another zero point than its input")
                            .expected(stored, zero_point)
                            .err();
                    }
                    check_i8("the input's zero point", zero_point)?;
                }
                check_requant(&gate.requant, &[1], out.quant)?;
                // |q − zero point| ≤ 255 on both sides.
                check_bound(255 * 255, gate.requant.shift)
            }
            Op::Adapt(adapt) => check_adapt(*adapt, input, output, self.pixels(layer.inputs[0]), out.quant),
            Op::Flatten => {
                check_not_raw(raw, "a flattening")?;
                check_same_shape(Hwc { h: 1, w: 1, c: input.len() }, output)?;
                if layer.inputs[0] == self.input() { Ok(()) } else { check_same_quant(first.quant, out.quant) }
            }
        }
    }

    /// Whether a tensor's values stand for `q + 128`: raw pixels, or a scale of 1 from −128 on.
    fn pixels(&self, id: TensorId) -> bool {
        if id == self.input() { self.input_kind == InputKind::U8 } else { is_pixels(self.tensor(id).quant) }
    }
}
