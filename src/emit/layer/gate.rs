//! Product with one value per channel.

use super::{Context, Function};
use crate::qir::Gate;

pub(super) fn gate(context: &Context<'_>, gate: &Gate) -> Function {
    let (words, parameters, kernel, arguments) = if context.step.in_place.is_some() {
        ("channel by channel, in place", "y: &mut [i8], g: &[i8]", "gate::gate_in_place", "y, g")
    } else {
        ("channel by channel", "x: &[i8], g: &[i8], y: &mut [i8]", "gate::gate", "x, g, y")
    };
    let mut function = Function::new(words, parameters, &["gate"]);
    let [x, g] = gate.zero_points;
    let requant = function.requant_table(context, &gate.requant);
    function.layer_static("gate::Gate", "<'static>", &format!("        zero_points: [{x}, {g}],\n{requant}"));
    function.opaque("layer", "&LAYER", arguments);
    function.line(&format!("{kernel}(layer, {arguments});"));
    function
}
