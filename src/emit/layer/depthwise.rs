//! Depthwise convolution.

use std::fmt::Write as _;

use super::{Context, Function, conv::fields, conv::packed, window_words};
use crate::plan::Kernel;
use crate::qir::{Bias, Conv, PadValue};

pub(super) fn depthwise(context: &Context<'_>, conv: &Conv) -> Function {
    let kernel = if context.step.kernel == Kernel::DspLines {
        ["dsp/lines", "dsp::lines::Lines", "dsp::lines::depthwise"]
    } else {
        ["dsp/depthwise", "dsp::depthwise::Depthwise", "dsp::depthwise::depthwise"]
    };
    if let Some(function) = packed(context, conv, "depthwise convolution", kernel) {
        return function;
    }
    match context.step.kernel {
        Kernel::MveDepthwise => return plain(context, conv, ["mve/depthwise", "mve::depthwise::depthwise"]),
        Kernel::ScalarDepthwiseV7m | Kernel::ScalarDepthwiseV6m => {
            return plain(context, conv, ["scalar/depthwise", "scalar::depthwise::depthwise"]);
        }
        _ => {}
    }
    let words = window_words(&conv.window, "depthwise convolution");
    let mut function = Function::new(words, context.one_to_one(), &["depthwise", "bias", "pad"]);
    fields(&mut function, context, conv, "depthwise::Depthwise", "");
    function.call(context, "depthwise::Depthwise", "depthwise::depthwise", "x, y", true);
    function
}

/// The function of a layer whose kernel reads weights as the program has them, and has scratch memory.
fn plain(context: &Context<'_>, conv: &Conv, [module, kernel]: [&'static str; 2]) -> Function {
    let words = window_words(&conv.window, "depthwise convolution");
    let parameters = format!("{}, t: &mut [i8]", context.one_to_one());
    let mut function = Function::new(words, parameters, &[module, "taps"]);
    function.i8_table(context, "WEIGHTS", &conv.weights);
    let mut fields = function.geometry(context, &conv.window);
    fields.push_str("        weights: &WEIGHTS,\n");
    if let (Bias::Channel(bias), PadValue::Uniform(pad)) = (&conv.bias, &conv.pad) {
        function.i32_table(context, "BIAS", bias);
        let _ = writeln!(fields, "        bias: &BIAS,\n        pad: {pad},");
    }
    fields.push_str(&function.requant_table(context, &conv.requant));
    function.layer_static("taps::Depthwise", "<'static>", &fields);
    function.call(context, "taps::Depthwise", kernel, "x, y, t", true);
    function
}
