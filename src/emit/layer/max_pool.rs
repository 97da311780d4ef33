//! Max pooling.

use super::{Context, Function, window_words};
use crate::qir::Window;

pub(super) fn max_pool(context: &Context<'_>, window: &Window) -> Function {
    let mut function = Function::new(window_words(window, "max pool"), context.one_to_one(), &["max_pool"]);
    let fields = function.geometry(context, window);
    function.layer_static("max_pool::MaxPool", "", &fields);
    function.call(context, "max_pool::MaxPool", "max_pool::max_pool", "x, y", false);
    function
}
