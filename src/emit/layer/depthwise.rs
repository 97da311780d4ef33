//! Depthwise convolution.

use super::{Context, Function, conv::fields, conv::packed, window_words};
use crate::plan::Kernel;
use crate::qir::Conv;

pub(super) fn depthwise(context: &Context<'_>, conv: &Conv) -> Function {
    let kernel = if context.step.kernel == Kernel::DspLines {
        ["dsp/lines", "dsp::lines::Lines", "dsp::lines::depthwise"]
    } else {
        ["dsp/depthwise", "dsp::depthwise::Depthwise", "dsp::depthwise::depthwise"]
    };
    if let Some(function) = packed(context, conv, "depthwise convolution", kernel) {
        return function;
    }
    let words = window_words(&conv.window, "depthwise convolution");
    let mut function = Function::new(words, context.one_to_one(), &["depthwise", "bias", "pad"]);
    fields(&mut function, context, conv, "depthwise::Depthwise", "");
    function.call(context, "depthwise::Depthwise", "depthwise::depthwise", "x, y", true);
    function
}
