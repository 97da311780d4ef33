//! Depthwise convolution.

use std::fmt::Write as _;

use super::{Context, Function, conv::fields, conv::packed, window_words};
use crate::plan::Kernel;
use crate::qir::{Bias, Conv, PadValue};

pub(super) fn depthwise(context: &Context<'_>, conv: &Conv) -> Function {
    let packed = |kernel| packed(context, conv, "depthwise convolution", kernel);
    let special = match context.step.kernel {
        Kernel::DspLines => packed(["dsp/lines", "dsp::lines::Lines", "dsp::lines::depthwise"]),
        Kernel::DspDepthwise => packed(["dsp/depthwise", "dsp::depthwise::Depthwise", "dsp::depthwise::depthwise"]),
        Kernel::MveDepthwise => plain(context, conv, ["mve/depthwise", "mve::depthwise::depthwise"]),
        Kernel::ScalarDepthwiseV7m | Kernel::ScalarDepthwiseV6m => {
            plain(context, conv, ["scalar/depthwise", "scalar::depthwise::depthwise"])
        }
        Kernel::Portable
        | Kernel::DspConv
        | Kernel::DspConvWide
        | Kernel::DspRows
        | Kernel::DspWinograd
        | Kernel::DspAdd
        | Kernel::DspPool
        | Kernel::DspMaxPool
        | Kernel::DspDense
        | Kernel::MveConv
        | Kernel::ScalarV7m
        | Kernel::ScalarV6m => None,
    };
    if let Some(function) = special {
        return function;
    }
    let words = window_words(&conv.window, "depthwise convolution");
    let mut function = Function::new(words, context.one_to_one(), &["depthwise", "bias", "pad"]);
    fields(&mut function, context, conv, "depthwise::Depthwise", "");
    function.call(context, "depthwise::Depthwise", "depthwise::depthwise", "x, y", true);
    function
}

/// The function of a layer whose kernel reads weights as the program has them, and has scratch memory, if its bias and
/// padding are the same everywhere.
fn plain(context: &Context<'_>, conv: &Conv, [module, kernel]: [&'static str; 2]) -> Option<Function> {
    let (Bias::Channel(bias), PadValue::Uniform(pad)) = (&conv.bias, &conv.pad) else { return None };
    let words = window_words(&conv.window, "depthwise convolution");
    let parameters = format!("{}, t: &mut [i8]", context.one_to_one());
    let mut function = Function::new(words, parameters, &[module, "taps"]);
    function.i8_table(context, "WEIGHTS", &conv.weights);
    let mut fields = function.geometry(context, &conv.window);
    fields.push_str("        weights: &WEIGHTS,\n");
    function.i32_table(context, "BIAS", bias);
    let _ = writeln!(fields, "        bias: &BIAS,\n        pad: {pad},");
    fields.push_str(&function.requant_table(context, &conv.requant));
    function.layer_static("taps::Depthwise", "<'static>", &fields);
    function.call(context, "taps::Depthwise", kernel, "x, y, t", true);
    Some(function)
}
