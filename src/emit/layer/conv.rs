//! Convolution.

use std::fmt::Write as _;

use super::{Context, Function, window_words};
use crate::plan::{Kernel, Packed, Shapes, as_conv, columns, leaves_one, pack};
use crate::qir::{Bias, Conv, Hwc, Op, PadValue};

pub(super) fn conv(context: &Context<'_>, conv: &Conv) -> Function {
    let kernel = match context.step.kernel {
        Kernel::DspRows => ["dsp/rows", "dsp::rows::Rows", "dsp::rows::conv"],
        Kernel::MveConv => ["mve/conv", "mve::conv::Conv", "mve::conv::conv"],
        Kernel::ScalarV7m => ["scalar/v7m", "scalar::conv::Conv", "scalar::v7m::conv"],
        Kernel::ScalarV6m => ["scalar/v6m", "scalar::conv::Conv", "scalar::v6m::conv"],
        Kernel::DspWinograd => ["dsp/winograd", "dsp::winograd::Winograd", "dsp::winograd::conv"],
        Kernel::DspConv
        | Kernel::DspConvWide
        | Kernel::DspDepthwise
        | Kernel::DspLines
        | Kernel::DspAdd
        | Kernel::DspPool
        | Kernel::DspMaxPool
        | Kernel::DspDense
        | Kernel::MveDepthwise
        | Kernel::ScalarDepthwiseV7m
        | Kernel::ScalarDepthwiseV6m
        | Kernel::Portable => ["dsp/conv", "dsp::conv::Conv", "dsp::conv::conv"],
    };
    if let Some(function) = packed(context, conv, "convolution", kernel) {
        return function;
    }
    let mut function =
        Function::new(window_words(&conv.window, "convolution"), context.one_to_one(), &["conv", "bias", "pad"]);
    fields(&mut function, context, conv, "conv::Conv2d", "");
    function.call(context, "conv::Conv2d", "conv::conv2d", "x, y", true);
    function
}

/// The function of a layer with a kernel that packs its weights (its file, struct and function), if it has one.
pub(super) fn packed(
    context: &Context<'_>,
    conv: &Conv,
    what: &str,
    [module, kind, kernel]: [&'static str; 3],
) -> Option<Function> {
    let Packed { weights, bias } = pack(context.program, context.layer, context.step.kernel)?;
    let in_place = context.step.in_place.is_some();
    let values = if in_place { "y: &mut [i8]".to_string() } else { context.one_to_one() };
    let dense = matches!(context.layer.op, Op::Dense(_));
    let words = if dense { what.to_string() } else { window_words(&conv.window, what) };
    let words = words + if in_place { ", in place" } else { "" };
    let mut function = Function::new(words, format!("{values}, t: &mut [i8]"), &[module]);
    function.i32_table(context, "WEIGHTS", &weights);
    let shapes = Shapes { window: conv.window, input: context.input(), output: context.output() };
    let shapes = as_conv(context.program, context.layer).unwrap_or(shapes);
    let pitch = if dense { shapes.output.c } else { context.written().c };
    let mut fields = function.geometry_of(&Shapes { output: Hwc { c: pitch, ..shapes.output }, ..shapes });
    if context.step.kernel == Kernel::DspLines {
        let _ = writeln!(fields, "        columns: {},", columns(&conv.window, context.output()));
    }
    fields.push_str("        weights: &WEIGHTS,\n");
    match context.step.kernel {
        // Any bias and padding.
        wide @ (Kernel::DspConv | Kernel::DspConvWide) => {
            function.kernels.extend(["bias", "pad"]);
            let form = match wide {
                Kernel::DspConvWide if leaves_one(shapes.output) => "LANES_AND_ONE",
                Kernel::DspConvWide => "LANES",
                _ => "BYTES",
            };
            let _ = writeln!(fields, "        form: dsp::dot::{form},");
            border_fields(&mut function, context, conv, &mut fields);
        }
        Kernel::DspRows
        | Kernel::DspWinograd
        | Kernel::DspDepthwise
        | Kernel::DspLines
        | Kernel::DspAdd
        | Kernel::DspPool
        | Kernel::DspMaxPool
        | Kernel::DspDense
        | Kernel::MveConv
        | Kernel::MveDepthwise
        | Kernel::ScalarV7m
        | Kernel::ScalarDepthwiseV7m
        | Kernel::ScalarV6m
        | Kernel::ScalarDepthwiseV6m
        | Kernel::Portable => {
            let PadValue::Uniform(pad) = &conv.pad else { return None };
            let bias = bias.as_deref().or(match &conv.bias {
                Bias::Channel(bias) => Some(&bias[..]),
                Bias::Border { .. } => None,
            })?;
            function.i32_table(context, "BIAS", bias);
            let _ = writeln!(fields, "        bias: &BIAS,\n        pad: {pad},");
        }
    }
    fields.push_str(&function.requant_table(context, &conv.requant));
    function.layer_static(kind, "<'static>", &fields);
    if in_place {
        function.call(context, kind, &format!("{kernel}_in_place"), "y, t", true);
    } else {
        function.call(context, kind, kernel, "x, y, t", true);
    }
    Some(function)
}

/// The statics of dense, depthwise and grouped convolutions, whose kernels take the same fields; `more` is what a kernel
/// has beside them, after its window.
pub(super) fn fields(function: &mut Function, context: &Context<'_>, conv: &Conv, kind: &str, more: &str) {
    let Conv { window, weights, bias: _, pad: _, requant } = conv;
    function.i8_table(context, "WEIGHTS", weights);
    let mut fields = function.geometry(context, window);
    fields.push_str(more);
    fields.push_str("        weights: &WEIGHTS,\n");
    border_fields(function, context, conv, &mut fields);
    fields.push_str(&function.requant_table(context, requant));
    function.layer_static(kind, "<'static>", &fields);
}

/// Biases and padding, which may differ at the border.
fn border_fields(function: &mut Function, context: &Context<'_>, conv: &Conv, fields: &mut String) {
    let Conv { window: _, weights: _, bias, pad, requant: _ } = conv;
    match bias {
        Bias::Channel(values) => {
            function.i32_table(context, "BIAS", values);
            fields.push_str("        bias: bias::Bias::Channel(&BIAS),\n");
        }
        Bias::Border { rows, cols, col_classes, table } => {
            function.u8_table(context, "ROWS", rows);
            function.u8_table(context, "COLS", cols);
            function.i32_table(context, "BIAS", table);
            fields.push_str("        bias: bias::Bias::Border {\n            rows: &ROWS,\n            cols: &COLS,\n");
            let _ = writeln!(fields, "            col_classes: {col_classes},\n            table: &BIAS,\n        }},");
        }
    }
    match pad {
        PadValue::Uniform(value) => {
            let _ = writeln!(fields, "        pad: pad::PadValue::Uniform({value}),");
        }
        PadValue::Channel(values) => {
            function.i8_table(context, "PAD", values);
            fields.push_str("        pad: pad::PadValue::Channel(&PAD),\n");
        }
    }
}
