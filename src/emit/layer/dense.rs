//! Fully connected layer.

use super::{Context, Function};
use crate::qir::Dense;

pub(super) fn dense(context: &Context<'_>, dense: &Dense) -> Function {
    let Dense { weights, bias, requant } = dense;
    let mut function = Function::new("fully connected", context.one_to_one(), &["dense"]);
    function.i8_table(context, "WEIGHTS", weights);
    function.i32_table(context, "BIAS", bias);
    let requant = function.requant_table(context, requant);
    let fields = format!("        weights: &WEIGHTS,\n        bias: &BIAS,\n{requant}");
    function.layer_static("dense::Dense", "<'static>", &fields);
    function.opaque("layer", "&LAYER", "x, y");
    function.line("dense::dense(layer, x, y);");
    function
}
