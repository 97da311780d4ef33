//! Convolution in groups.

use super::{Context, Function, conv::fields, window_words};
use crate::qir::Grouped;

pub(super) fn grouped(context: &Context<'_>, grouped: &Grouped) -> Function {
    let Grouped { groups, conv } = grouped;
    let words = window_words(&conv.window, &format!("convolution in {groups} groups"));
    let mut function = Function::new(words, context.one_to_one(), &["grouped", "bias", "pad"]);
    let group = format!("        group: [{}, {}],\n", context.input().c / groups, context.output().c / groups);
    fields(&mut function, context, conv, "grouped::Grouped", &group);
    function.opaque("layer", "&LAYER", "x, y");
    function.line("grouped::grouped(layer, x, y);");
    function
}
