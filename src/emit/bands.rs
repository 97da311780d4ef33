//! The turn of a layer that runs band by band, its output over its input.

use std::fmt::Write as _;

use super::layer::Context;
use super::schedule::TURN;
use super::text::{call, grouped, range};
use crate::plan::{Bands, Home, Plan};
use crate::qir::{Op, Program, TensorId};

/// Columns before the lines of a band.
const IN: usize = TURN + 4;

/// The lines of the layer's turn; `None` if its step is not one of bands.
pub(super) fn turn(program: &Program, plan: &Plan, context: &Context<'_>) -> Option<String> {
    let step = context.step;
    let Bands { rows, upward, over: _ } = step.bands?;
    let offset = |id: TensorId| match plan.home(program, id) {
        Home::Arena(offset) => Some(offset),
        Home::Input | Home::Part { .. } | Home::Scores => None,
    };
    let output = program.tensor(step.writes).shape;
    let to = offset(step.writes)?;
    let count = output.h.div_ceil(rows);
    let order = if upward { format!("(0..{count}).rev()") } else { format!("0..{count}") };
    let mut out = format!("{:TURN$}for band in {order} {{\n", "");
    let bytes = |rows: &str, row: usize, at: usize| format!("bytes_of(&{rows}, {}, {})", grouped(row), grouped(at));
    let _ = writeln!(out, "{:IN$}let rows = rows_of(band, {rows}, {});", "", output.h);
    let mut parts = vec![(to, "y".to_string(), "to".to_string())];
    let mut arguments = Vec::new();
    match &context.layer.op {
        Op::Concat => {
            for (index, id) in step.reads.iter().enumerate() {
                let shape = program.tensor(*id).shape;
                let (name, from) = (format!("part{index}"), offset(*id)?);
                let _ = writeln!(out, "{:IN$}let from{index} = {};", "", bytes("rows", shape.w * shape.c, from));
                parts.push((from, name.clone(), format!("from{index}")));
                arguments.push(name);
            }
            arguments = vec![format!("[{}]", arguments.join(", ")), "y".into()];
        }
        op => {
            let window = op.window()?;
            let (input, from) = (program.tensor(step.reads[0]).shape, offset(step.reads[0])?);
            let taps = [window.kernel, window.stride, window.dilation, window.pad];
            let taps = taps.map(|pair| format!("[{}, {}]", pair[0], pair[1]));
            out.push_str(&call(IN, "let taps = ", "window", &taps, ";"));
            let _ = writeln!(out, "{:IN$}let from = taps.rows_read(&rows, {});", "", input.h);
            let _ = writeln!(out, "{:IN$}let from = {};", "", bytes("from", input.w * input.c, from));
            parts.push((from, "x".into(), "from".into()));
            arguments.extend(["x".into(), "y".into()]);
            if let Some(scratch) = step.scratch {
                parts.push((scratch.offset, "t".into(), range(scratch.offset, scratch.bytes)));
                arguments.push("t".into());
            }
            arguments.push("rows".into());
        }
    }
    let _ = writeln!(out, "{:IN$}let to = {};", "", bytes("rows", output.w * output.c, to));
    parts.sort_unstable();
    let names: Vec<&str> = parts.iter().map(|(_, name, _)| name.as_str()).collect();
    let ranges: Vec<&str> = parts.iter().map(|(.., range)| range.as_str()).collect();
    let list = ["memory".into(), format!("[{}]", ranges.join(", "))];
    out.push_str(&call(IN, &format!("let [{}] = ", names.join(", ")), "split", &list, ";"));
    out.push_str(&call(IN, "", context.name, &arguments, ";"));
    let _ = writeln!(out, "{:TURN$}}}", "");
    let list = ["memory".to_string(), range(to, output.len())];
    out.push_str(&call(TURN, "", "region", &list, ""));
    Some(out)
}
