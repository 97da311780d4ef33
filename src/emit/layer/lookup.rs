//! Element-wise table.

use super::{Context, Function};

pub(super) fn lookup(context: &Context<'_>, table: &[i8]) -> Function {
    let (words, parameters, kernel, arguments) = if context.step.in_place.is_some() {
        ("element by element, in place", "y: &mut [i8]".into(), "lookup::lookup_in_place", "y")
    } else {
        ("element by element", context.one_to_one(), "lookup::lookup", "x, y")
    };
    let mut function = Function::new(words, parameters, &["lookup"]);
    function.say_rows(context.step);
    function.i8_table(context, "TABLE", table);
    function.opaque("table", "&TABLE", arguments);
    function.line(&format!("{kernel}(table, {arguments});"));
    function
}
