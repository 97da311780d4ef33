//! Sum of two tensors.

use super::super::text::grouped;
use super::{Context, Function};
use crate::plan::Kernel;
use crate::qir::Add;

pub(super) fn add(context: &Context<'_>, add: &Add) -> Function {
    let (parameters, kernel, arguments) = match context.step.in_place {
        None => ("a: &[i8], b: &[i8], y: &mut [i8]", "add::add", "a, b, y"),
        Some(0) => ("a: &mut [i8], b: &[i8]", "add::add_in_place", "a, b"),
        Some(_) => ("a: &[i8], b: &mut [i8]", "add::add_in_place_second", "a, b"),
    };
    let special = context.step.kernel == Kernel::DspAdd;
    let modules: &[&str] = if special { &["add", "dsp/add"] } else { &["add"] };
    let words = if context.step.in_place.is_some() { "sum, in place" } else { "sum" };
    let mut function = Function::new(words, parameters, modules);
    function.say_rows(context.step);
    let Add { factors: [a, b], constant, shift, zero_point, min, max } = add;
    let fields = [
        ("factors", format!("[{}, {}]", grouped(*a), grouped(*b))),
        ("constant", grouped(*constant)),
        ("shift", shift.to_string()),
        ("zero_point", zero_point.to_string()),
        ("min", min.to_string()),
        ("max", max.to_string()),
    ]
    .map(|(name, value)| format!("        {name}: {value},\n"))
    .concat();
    function.layer_static("add::Add", "", &fields);
    if special {
        function.line(&format!("dsp::{kernel}(&LAYER, {arguments});"));
    } else {
        function.opaque("layer", "&LAYER", arguments);
        function.line(&format!("{kernel}(layer, {arguments});"));
    }
    function
}
