//! Channels side by side: one kernel call per part.

use super::{Context, Function};

pub(super) fn concat(context: &Context<'_>) -> Function {
    let count = context.plan.copied(context.step).count();
    let mut function =
        Function::new("channels side by side", format!("parts: [&[i8]; {count}], y: &mut [i8]"), &["concat"]);
    function.say_rows(context.step);
    let total = context.output().c;
    let (mut offset, mut index) = (0, 0);
    for input in &context.layer.inputs {
        let channels = context.shape(*input).c;
        // A part that lies in its place.
        if context.plan.part(*input).is_some() {
            offset += channels;
            continue;
        }
        let places = format!("({channels}, {total}, {offset})");
        function.line(&format!("let (channels, total, offset) = black_box({places});"));
        function.line(&format!("concat::concat_part(black_box(parts[{index}]), channels, y, total, offset);"));
        offset += channels;
        index += 1;
    }
    function
}
