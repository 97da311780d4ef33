//! A map as a vector in channel-major order.

use super::{Context, Function};

pub(super) fn flatten(context: &Context<'_>) -> Function {
    let mut function = Function::new("channel by channel", context.one_to_one(), &["flatten"]);
    function.opaque("channels", &context.input().c.to_string(), "x, y");
    function.line("flatten::flatten(x, channels, y);");
    function
}
