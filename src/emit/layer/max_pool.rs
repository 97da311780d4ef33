//! Max pooling.

use super::{Context, Function, window_words};
use crate::plan::Kernel;
use crate::qir::Window;

pub(super) fn max_pool(context: &Context<'_>, window: &Window) -> Function {
    let (modules, kernel): (&[&str], &str) = if context.step.kernel == Kernel::DspMaxPool {
        (&["max_pool", "dsp/max_pool"], "dsp::max_pool::max_pool")
    } else {
        (&["max_pool"], "max_pool::max_pool")
    };
    let mut function = Function::new(window_words(window, "max pool"), context.one_to_one(), modules);
    let fields = function.geometry(context, window);
    function.layer_static("max_pool::MaxPool", "", &fields);
    function.call(context, "max_pool::MaxPool", kernel, "x, y", false);
    function
}
