//! Convolution.

use std::fmt::Write as _;

use super::{Context, Function, window_words};
use crate::plan::pack;
use crate::qir::{Bias, Conv, PadValue};

pub(super) fn conv(context: &Context<'_>, conv: &Conv) -> Function {
    if let (Some(words), Bias::Channel(bias), PadValue::Uniform(pad)) =
        (pack(context.program, context.layer, context.step.kernel), &conv.bias, &conv.pad)
    {
        return dsp(context, conv, &words, bias, *pad);
    }
    let mut function =
        Function::new(window_words(&conv.window, "convolution"), context.one_to_one(), &["conv", "bias", "pad"]);
    fields(&mut function, context, conv, "conv::Conv2d");
    function.line("conv::conv2d(&LAYER, x, y);");
    function
}

/// By eight patches at a time.
fn dsp(context: &Context<'_>, conv: &Conv, words: &[i32], bias: &[i32], pad: i8) -> Function {
    let parameters = format!("{}, t: &mut [i8]", context.one_to_one());
    let mut function = Function::new(window_words(&conv.window, "convolution"), parameters, &["dsp/conv"]);
    function.i32_table(context, "WEIGHTS", words);
    let mut fields = function.geometry(context, &conv.window);
    function.i32_table(context, "BIAS", bias);
    let _ = writeln!(fields, "        weights: &WEIGHTS,\n        bias: &BIAS,\n        pad: {pad},");
    fields.push_str(&function.requant_table(context, &conv.requant));
    function.layer_static("dsp::conv::Conv", "<'static>", &fields);
    function.line("dsp::conv::conv(&LAYER, x, y, t);");
    function
}

/// The statics of dense and depthwise convolutions, whose kernels take the same fields.
pub(super) fn fields(function: &mut Function, context: &Context<'_>, conv: &Conv, kind: &str) {
    let Conv { window, weights, bias, pad, requant } = conv;
    function.i8_table(context, "WEIGHTS", weights);
    let mut fields = function.geometry(context, window);
    fields.push_str("        weights: &WEIGHTS,\n");
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
    fields.push_str(&function.requant_table(context, requant));
    function.layer_static(kind, "<'static>", &fields);
}
