//! The turn of a strip: layers that advance together, a few rows at a time.

use std::fmt::Write as _;

use super::layer::Context;
use super::schedule::TURN;
use super::text::{call, filled, grouped, range};
use crate::plan::{Home, Plan, Strip};
use crate::qir::{Op, Program, TensorId};

/// Columns before the lines of a turn of the strip.
const IN: usize = TURN + 4;

/// Columns before the lines of a layer in it.
const LAYER: usize = IN + 4;

/// A strip in its plan.
struct Emitter<'a> {
    program: &'a Program,
    plan: &'a Plan,
    strip: &'a Strip,
}

/// The lines of the turn of `context`'s layer, which runs all of its strip if it is the last one; `None` if it is in none.
/// `names` are those of all layers' functions.
pub(super) fn turn(program: &Program, plan: &Plan, context: &Context<'_>, names: &[String]) -> Option<String> {
    let strip = &plan.strips[context.step.strip?];
    if context.step.layer != strip.last {
        return Some(String::new());
    }
    let emitter = Emitter { program, plan, strip };
    let mut out = emitter.table();
    let columns = strip.columns();
    let _ = writeln!(out, "{:TURN$}let mut before = &[0; {columns}];", "");
    let _ = writeln!(out, "{:TURN$}for now in &TURNS {{", "");
    for (at, rolling) in strip.rolling.iter().enumerate() {
        let Home::Arena(offset) = plan.home(program, rolling.tensor) else { return None };
        let (held, layer) = (strip.held_column(at), rolling.layer);
        let arguments = [
            "memory".to_string(),
            grouped(offset),
            grouped(rolling.row_bytes),
            format!("until(before[{held}], now[{held}])"),
            format!("before[{layer}].into()"),
        ];
        out.push_str(&call(IN, "", "slide", &arguments, ";"));
    }
    for (layer, name) in names.iter().enumerate().take(strip.last + 1).skip(strip.first) {
        out.push_str(&emitter.layer(layer, name)?);
    }
    let _ = writeln!(out, "{:IN$}before = now;\n{:TURN$}}}", "", "");
    let Home::Arena(offset) = plan.home(program, context.step.writes) else { return None };
    let list = ["memory".to_string(), range(offset, context.program.tensor(context.step.writes).shape.len())];
    out.push_str(&call(TURN, "", "region", &list, ""));
    Some(out)
}

impl Emitter<'_> {
    /// The turns as numbers.
    fn table(&self) -> String {
        let (table, columns) = (self.strip.table(), self.strip.columns());
        let element = if self.strip.number_bytes() == 1 { "u8" } else { "u16" };
        let mut out = String::new();
        let first = &self.program.layers[self.strip.first].name;
        let _ = writeln!(
            out,
            "{:TURN$}// From layer {} on, some rows at a time: the rows that each layer has computed by the end of a\n{:TURN$}// turn, then the first row of each tensor that is not whole.",
            "",
            super::text::code(first),
            ""
        );
        let _ = writeln!(out, "{:TURN$}static TURNS: [[{element}; {columns}]; {}] = [", "", self.strip.turns.len());
        for turn in table.chunks(columns) {
            let numbers: Vec<String> = turn.iter().map(ToString::to_string).collect();
            let flat = numbers.join(", ");
            if flat.len() + 2 <= super::text::LIST_WIDTH {
                let _ = writeln!(out, "{:IN$}[{flat}],", "");
            } else {
                let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
                let _ = write!(out, "{:IN$}[\n{}{:IN$}],\n", "", filled(LAYER, &numbers), "");
            }
        }
        let _ = writeln!(out, "{:TURN$}];", "");
        out
    }

    /// The lines of one layer.
    fn layer(&self, layer: usize, name: &str) -> Option<String> {
        let step = &self.plan.steps[layer];
        let op = &self.program.layers[layer].op;
        let index = layer - self.strip.first;
        let mut out = String::new();
        let _ = writeln!(out, "{:IN$}let rows = until(before[{index}], now[{index}]);", "");
        let _ = writeln!(out, "{:IN$}if !rows.is_empty() {{", "");
        let window = op.window();
        let read = if let Some(window) = window {
            let taps = [window.kernel, window.stride, window.dilation, window.pad];
            let taps = taps.map(|pair| format!("[{}, {}]", pair[0], pair[1]));
            out.push_str(&call(LAYER, "let taps = ", "window", &taps, ";"));
            let height = self.program.tensor(step.reads[0]).shape.h;
            let _ = writeln!(out, "{:LAYER$}let read = taps.rows_read(&rows, {height});", "");
            "read"
        } else {
            "rows"
        };
        let letters: &[&str] = if matches!(op, Op::Add(_)) { &["a", "b"] } else { &["x"] };
        let is_concat = matches!(op, Op::Concat);
        // What is borrowed of the arena, in order of its place there: offset, name, bytes.
        let mut parts: Vec<(usize, String, String)> = Vec::new();
        let mut arguments = Vec::new();
        for (at, id) in step.reads.iter().enumerate() {
            let given = if is_concat { format!("part{at}") } else { letters[at.min(letters.len() - 1)].to_string() };
            match self.plan.home(self.program, *id) {
                Home::Arena(offset) if !parts.iter().any(|(other, ..)| *other == offset) => {
                    let from = format!("from{}", if at == 0 { String::new() } else { at.to_string() });
                    let _ = writeln!(out, "{:LAYER$}let {from} = {};", "", self.bytes(*id, read, offset));
                    parts.push((offset, given.clone(), from));
                    arguments.push(given);
                }
                // A tensor that is read twice.
                Home::Arena(offset) => {
                    let (_, name, _) = parts.iter().find(|(other, ..)| *other == offset)?;
                    arguments.push(name.clone());
                }
                Home::Input => {
                    let _ = writeln!(out, "{:LAYER$}let {given} = {};", "", self.bytes(*id, read, 0));
                    let _ = writeln!(out, "{:LAYER$}let {given} = input.get({given}).unwrap_or_default();", "");
                    arguments.push(given);
                }
                Home::Part { .. } | Home::Scores => return None,
            }
        }
        let Home::Arena(to) = self.plan.home(self.program, step.writes) else { return None };
        let _ = writeln!(out, "{:LAYER$}let to = {};", "", self.bytes(step.writes, "rows", to));
        parts.push((to, "y".into(), "to".into()));
        if is_concat {
            arguments = vec![format!("[{}]", arguments.join(", "))];
        }
        arguments.push("y".into());
        if let Some(scratch) = step.scratch {
            parts.push((scratch.offset, "t".into(), range(scratch.offset, scratch.bytes)));
            arguments.push("t".into());
        }
        if window.is_some() {
            arguments.push("rows".into());
        }
        parts.sort_unstable();
        let names: Vec<&str> = parts.iter().map(|(_, name, _)| name.as_str()).collect();
        let ranges: Vec<&str> = parts.iter().map(|(.., range)| range.as_str()).collect();
        let list = ["memory".into(), format!("[{}]", ranges.join(", "))];
        out.push_str(&call(LAYER, &format!("let [{}] = ", names.join(", ")), "parts", &list, ";"));
        out.push_str(&call(LAYER, "", name, &arguments, ";"));
        let _ = writeln!(out, "{:IN$}}}", "");
        Some(out)
    }

    /// The bytes of `rows` of a tensor whose memory starts at `offset`.
    fn bytes(&self, id: TensorId, rows: &str, offset: usize) -> String {
        let shape = self.program.tensor(id).shape;
        let (row, offset) = (grouped(shape.w * shape.c), grouped(offset));
        match self.strip.rolls(id) {
            Some(at) => {
                let held = self.strip.held_column(at);
                format!("bytes_of(&since(&{rows}, now[{held}]), {row}, {offset})")
            }
            None => format!("bytes_of(&{rows}, {row}, {offset})"),
        }
    }
}
