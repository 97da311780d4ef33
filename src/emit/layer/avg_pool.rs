//! Average pooling.

use std::fmt::Write as _;

use super::{Context, Function, window_words};
use crate::plan::Kernel;
use crate::qir::AvgPool;

pub(super) fn avg_pool(context: &Context<'_>, pool: &AvgPool) -> Function {
    let AvgPool { window, input_zero_point, requant } = pool;
    let (modules, kernel): (&[&str], &str) = if context.step.kernel == Kernel::DspPool {
        (&["avg_pool", "dsp/pool"], "dsp::pool::avg_pool")
    } else {
        (&["avg_pool"], "avg_pool::avg_pool")
    };
    let mut function = Function::new(window_words(window, "average pool"), context.one_to_one(), modules);
    let mut fields = function.geometry(context, window);
    let _ = writeln!(fields, "        input_zero_point: {input_zero_point},");
    fields.push_str(&function.requant_table(context, requant));
    function.layer_static("avg_pool::AvgPool", "<'static>", &fields);
    function.call(context, "avg_pool::AvgPool", kernel, "x, y", true);
    function
}
