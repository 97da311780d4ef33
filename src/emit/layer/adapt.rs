//! Pixels brought to another size and to grey.

use super::{Context, Function, Support};
use crate::qir::Adapt;

pub(super) fn adapt(context: &Context<'_>, adapt: &Adapt) -> Function {
    let Adapt { block, first, grey } = adapt;
    let what = if *grey { "grey from red, green and blue" } else { "pixels" };
    let words = if *block > 1 { format!("{what}, means of {block}×{block}") } else { what.to_string() };
    let mut function = Function::new(words, context.one_to_one(), &["adapt", "shape"]);
    function.support.insert(Support::Hwc);
    let [input, output] = [context.input(), context.output()].map(|s| format!("hwc({}, {}, {})", s.h, s.w, s.c));
    let fields = format!(
        "        input: {input},\n        output: {output},\n        block: {block},\n        first: {first:?},\n        grey: {grey},\n"
    );
    function.layer_static("adapt::Adapt", "", &fields);
    function.opaque("layer", "&LAYER", "x, y");
    function.line("adapt::adapt(layer, x, y);");
    function
}
