//! Convolution.

use std::fmt::Write as _;

use super::{Context, Function, window_words};
use crate::plan::{Kernel, Packed, columns, pack};
use crate::qir::{Bias, Conv, PadValue};

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
    let parameters = format!("{}, t: &mut [i8]", context.one_to_one());
    let mut function = Function::new(window_words(&conv.window, what), parameters, &[module]);
    function.i32_table(context, "WEIGHTS", &weights);
    let mut fields = function.geometry(context, &conv.window);
    if context.step.kernel == Kernel::DspLines {
        let _ = writeln!(fields, "        columns: {},", columns(&conv.window, context.output()));
    }
    fields.push_str("        weights: &WEIGHTS,\n");
    match context.step.kernel {
        // Any bias and padding.
        wide @ (Kernel::DspConv | Kernel::DspConvWide) => {
            function.kernels.extend(["bias", "pad"]);
            let form = if wide == Kernel::DspConvWide { "LANES" } else { "BYTES" };
            let _ = writeln!(fields, "        form: dsp::dot::{form},");
            border_fields(&mut function, context, conv, &mut fields);
        }
        Kernel::DspRows
        | Kernel::DspWinograd
        | Kernel::DspDepthwise
        | Kernel::DspLines
        | Kernel::DspAdd
        | Kernel::MveConv
        | Kernel::ScalarV7m
        | Kernel::ScalarV6m
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
    function.call(context, kind, kernel, "x, y, t", true);
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
