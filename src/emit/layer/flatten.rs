//! A map as a vector in channel-major order.

use super::{Context, Function};

pub(super) fn flatten(context: &Context<'_>) -> Function {
    let mut function = Function::new("channel by channel", context.one_to_one(), &["flatten"]);
    function.line(&format!("flatten::flatten(x, {}, y);", context.input().c));
    function
}
