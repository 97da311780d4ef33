//! Kernel arguments as views on a program's numbers: one function per operation.

use fratc_runtime as rt;

use crate::qir::{Adapt, Add, AvgPool, Bias, Conv, Dense, Gate, Grouped, Hwc, PadValue, Requant, Window};

/// A shape.
pub fn hwc(shape: Hwc) -> rt::shape::Hwc {
    let Hwc { h, w, c } = shape;
    rt::shape::Hwc { h, w, c }
}

/// A window.
pub fn window(window: &Window) -> rt::shape::Window {
    let Window { kernel, stride, dilation, pad } = *window;
    rt::shape::Window { kernel, stride, dilation, pad }
}

/// The way back to `i8`.
pub fn requant(requant: &Requant) -> rt::requant::Requant<'_> {
    let Requant { multipliers, shift, zero_point, min, max } = requant;
    rt::requant::Requant { multipliers, shift: *shift, zero_point: *zero_point, min: *min, max: *max }
}

/// The start of the accumulators.
pub fn bias(bias: &Bias) -> rt::bias::Bias<'_> {
    match bias {
        Bias::Channel(values) => rt::bias::Bias::Channel(values),
        Bias::Border { rows, cols, col_classes, table } => {
            rt::bias::Bias::Border { rows, cols, col_classes: *col_classes, table }
        }
    }
}

/// The value of padded positions.
pub fn pad_value(pad: &PadValue) -> rt::pad::PadValue<'_> {
    match pad {
        PadValue::Uniform(value) => rt::pad::PadValue::Uniform(*value),
        PadValue::Channel(values) => rt::pad::PadValue::Channel(values),
    }
}

/// A dense convolution between tensors of these shapes.
pub fn conv(op: &Conv, input: Hwc, output: Hwc) -> rt::conv::Conv2d<'_> {
    rt::conv::Conv2d {
        input: hwc(input),
        output: hwc(output),
        window: window(&op.window),
        weights: &op.weights,
        bias: bias(&op.bias),
        pad: pad_value(&op.pad),
        requant: requant(&op.requant),
    }
}

/// A depthwise convolution between tensors of these shapes.
pub fn depthwise(op: &Conv, input: Hwc, output: Hwc) -> rt::depthwise::Depthwise<'_> {
    rt::depthwise::Depthwise {
        input: hwc(input),
        output: hwc(output),
        window: window(&op.window),
        weights: &op.weights,
        bias: bias(&op.bias),
        pad: pad_value(&op.pad),
        requant: requant(&op.requant),
    }
}

/// A convolution in groups between tensors of these shapes.
pub fn grouped(op: &Grouped, input: Hwc, output: Hwc) -> rt::grouped::Grouped<'_> {
    let Grouped { groups, conv } = op;
    rt::grouped::Grouped {
        input: hwc(input),
        output: hwc(output),
        window: window(&conv.window),
        group: [input.c / groups, output.c / groups],
        weights: &conv.weights,
        bias: bias(&conv.bias),
        pad: pad_value(&conv.pad),
        requant: requant(&conv.requant),
    }
}

/// A gate.
pub fn gate(op: &Gate) -> rt::gate::Gate<'_> {
    rt::gate::Gate { zero_points: op.zero_points, requant: requant(&op.requant) }
}

/// Means over blocks of pixels between tensors of these shapes.
pub fn adapt(op: Adapt, input: Hwc, output: Hwc) -> rt::adapt::Adapt {
    let Adapt { block, first, grey } = op;
    rt::adapt::Adapt { input: hwc(input), output: hwc(output), block, first, grey }
}

/// A fully connected layer.
pub fn dense(op: &Dense) -> rt::dense::Dense<'_> {
    rt::dense::Dense { weights: &op.weights, bias: &op.bias, requant: requant(&op.requant) }
}

/// A sum.
pub fn add(op: &Add) -> rt::add::Add {
    let Add { factors, constant, shift, zero_point, min, max } = *op;
    rt::add::Add { factors, constant, shift, zero_point, min, max }
}

/// A max pool between tensors of these shapes.
pub fn max_pool(op: &Window, input: Hwc, output: Hwc) -> rt::max_pool::MaxPool {
    rt::max_pool::MaxPool { input: hwc(input), output: hwc(output), window: window(op) }
}

/// A mean pool between tensors of these shapes.
pub fn avg_pool(op: &AvgPool, input: Hwc, output: Hwc) -> rt::avg_pool::AvgPool<'_> {
    rt::avg_pool::AvgPool {
        input: hwc(input),
        output: hwc(output),
        window: window(&op.window),
        input_zero_point: op.input_zero_point,
        requant: requant(&op.requant),
    }
}
