//! Average pooling.

use std::fmt::Write as _;

use super::{Context, Function, window_words};
use crate::qir::AvgPool;

pub(super) fn avg_pool(context: &Context<'_>, pool: &AvgPool) -> Function {
    let AvgPool { window, input_zero_point, requant } = pool;
    let mut function = Function::new(window_words(window, "average pool"), context.one_to_one(), &["avg_pool"]);
    let mut fields = function.geometry(context, window);
    let _ = writeln!(fields, "        input_zero_point: {input_zero_point},");
    fields.push_str(&function.requant_table(context, requant));
    function.layer_static("avg_pool::AvgPool", "<'static>", &fields);
    function.call(context, "avg_pool::AvgPool", "avg_pool::avg_pool", "x, y", true);
    function
}
