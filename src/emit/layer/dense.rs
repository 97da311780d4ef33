//! Fully connected layer.

use super::conv::packed;
use super::{Context, Function};
use crate::plan::Kernel;
use crate::qir::{Bias, Conv, Dense, PadValue, Window};

pub(super) fn dense(context: &Context<'_>, dense: &Dense) -> Function {
    let Dense { weights, bias, requant } = dense;
    let as_conv = Conv {
        window: Window { kernel: [1, 1], stride: [1, 1], dilation: [1, 1], pad: [0, 0] },
        weights: weights.clone(),
        bias: Bias::Channel(bias.clone()),
        pad: PadValue::Uniform(0),
        requant: requant.clone(),
    };
    let kernel = ["dsp/conv", "dsp::conv::Conv", "dsp::conv::conv"];
    if let Some(function) = packed(context, &as_conv, "fully connected", kernel) {
        return function;
    }
    let mut function = Function::new("fully connected", context.one_to_one(), &["dense"]);
    function.i8_table(context, "WEIGHTS", weights);
    function.i32_table(context, "BIAS", bias);
    let requant = function.requant_table(context, requant);
    let fields = format!("        weights: &WEIGHTS,\n        bias: &BIAS,\n{requant}");
    function.layer_static("dense::Dense", "<'static>", &fields);
    if context.step.kernel == Kernel::DspDense {
        function.kernels.insert("dsp/dense");
        function.line("dsp::dense::dense(&LAYER, x, y);");
    } else {
        function.opaque("layer", "&LAYER", "x, y");
        function.line("dense::dense(layer, x, y);");
    }
    function
}
