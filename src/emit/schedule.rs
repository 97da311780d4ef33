//! `src/layers.rs`: the schedule, then the layers in order, then the few items they share.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::EmittedFile;
use super::bands;
use super::layer::{Context, Support, function};
use super::strips;
use super::text::{call, import, range};
use crate::plan::{Home, Plan};
use crate::qir::{Op, Program, TensorId};

/// Columns before the lines of a layer's turn.
pub(super) const TURN: usize = 12;

/// The root of the emitted crate, spelled apart from this crate's own.
const ROOT: &str = "crate";

/// The file, and what goes with it.
pub(super) struct Schedule {
    pub text: String,
    /// Kernel modules that it names.
    pub kernels: BTreeSet<&'static str>,
    /// Files under `weights/`.
    pub tables: Vec<EmittedFile>,
}

/// Writes the schedule of `program`; `names` are the layers' function names.
pub(super) fn schedule(program: &Program, plan: &Plan, names: &[String]) -> Schedule {
    let mut kernels = BTreeSet::new();
    let mut support = BTreeSet::new();
    let mut tables = Vec::new();
    let mut functions = String::new();
    let mut steps = Vec::new();
    for ((step, name), bytes) in plan.steps.iter().zip(names).zip(&plan.sizes.layers) {
        let context = Context { program, plan, layer: &program.layers[step.layer], step, name };
        // Where all parts of a concatenation lie in it, nothing is left to do.
        if plan.copied(step).next().is_some() {
            let layer = function(&context);
            functions.push('\n');
            functions.push_str(&layer.text(&context, *bytes));
            kernels.extend(layer.kernels);
            support.extend(layer.support);
            tables.extend(layer.tables);
        }
        let by_rows = strips::turn(program, plan, &context, names).or_else(|| bands::turn(program, plan, &context));
        steps.push((step.layer, by_rows.unwrap_or_else(|| turn(program, plan, &context))));
    }
    let has_region = steps.iter().any(|(_, turn)| turn.contains(" region("));
    let has_pair = steps.iter().any(|(_, turn)| turn.contains(" pair("));
    let has_strips = !plan.strips.is_empty();
    let has_split = has_strips || steps.iter().any(|(_, turn)| turn.contains(" split("));
    let has_regions = has_pair || steps.iter().any(|(_, turn)| turn.contains(" regions("));
    let has_bands = plan.steps.iter().any(|step| step.bands.is_some());
    let has_any = has_region || has_regions || has_split;
    let memory = if has_any { "memory" } else { "_memory" };
    let input = if program.layers.iter().any(|l| l.inputs.contains(&program.input())) { "input" } else { "_input" };

    let mut text = String::from(
        "//! The network: the schedule, then its layers in order of execution.\n//!\n//! Constants lie in `weights/`; byte ranges are fixed by the plan: tensors that share bytes of the arena\n//! are never needed at the same time. Every layer is a function of its own, and kernels see no constants\n//! (`black_box`): so one copy of a kernel serves all its layers, and each has the size that was planned for.\n\n",
    );
    let hides = has_strips || functions.contains("black_box(");
    if hides {
        text.push_str("use core::hint::black_box;\n");
    }
    if has_any {
        text.push_str("use core::ops::Range;\n");
    }
    if has_any || hides {
        text.push('\n');
    }
    text.push_str(&imports(&kernels));
    let _ = writeln!(text, "use {ROOT}::{{Input, ARENA_BYTES, CLASSES}};\n");
    let (mut lines, mut turns) = (String::new(), String::new());
    for (layer, turn) in &steps {
        let _ = writeln!(lines, "    observe({layer}, step({layer}, memory, input, scores));");
        // A layer whose strip has not ended has no turn of its own.
        if !turn.is_empty() {
            let _ = writeln!(turns, "        {layer} => {{\n{turn}        }}");
        }
    }
    let _ = write!(
        text,
        "/// Runs all layers; `observe` is shown the index and the output of each.\n#[inline(always)]\npub(crate) fn run(\n    memory: &mut [i8; ARENA_BYTES],\n    input: &Input,\n    scores: &mut [i8; CLASSES.len()],\n    mut observe: impl FnMut(usize, &[i8]),\n) {{\n{lines}}}\n"
    );
    let _ = write!(
        text,
        "\n/// Runs the layer `index`, which needs all before it to have run; its output.\n///\n/// Of a call with a constant the optimizer leaves that layer's lines.\n#[inline(always)]\npub(crate) fn step<'a>(\n    index: usize,\n    {memory}: &'a mut [i8; ARENA_BYTES],\n    {input}: &Input,\n    scores: &'a mut [i8; CLASSES.len()],\n) -> &'a [i8] {{\n    match index {{\n{turns}        _ => &[],\n    }}\n}}\n"
    );
    text.push_str(&functions);
    for (wanted, part) in [
        (has_region, include_str!("templates/region.rs")),
        (has_pair, include_str!("templates/pair.rs")),
        (has_regions, include_str!("templates/regions.rs")),
        (has_split, include_str!("templates/split.rs")),
        (has_bands, include_str!("templates/bands.rs")),
        (has_bands || has_strips, include_str!("templates/bytes_of.rs")),
        (has_strips, include_str!("templates/strips.rs")),
        (support.contains(&Support::Hwc), include_str!("templates/hwc.rs")),
        (support.contains(&Support::Window), include_str!("templates/window.rs")),
        (support.contains(&Support::U8s), include_str!("templates/u8s.rs")),
        (support.contains(&Support::I8s), include_str!("templates/i8s.rs")),
        (support.contains(&Support::I32s), include_str!("templates/i32s.rs")),
    ] {
        if wanted {
            text.push_str(part);
        }
    }
    Schedule { text, kernels, tables }
}

/// The import of the kernels.
fn imports(kernels: &BTreeSet<&'static str>) -> String {
    // A kernel in a folder is called by the folder's name.
    let names: BTreeSet<&str> = kernels.iter().map(|name| name.split('/').next().unwrap_or(name)).collect();
    let names: Vec<&str> = names.into_iter().collect();
    if let [one] = names[..] {
        return format!("use {ROOT}::kernels::{one};\n");
    }
    import(&format!("{ROOT}::kernels"), &names)
}

/// The lines of one layer's turn.
fn turn(program: &Program, plan: &Plan, context: &Context<'_>) -> String {
    let step = context.step;
    let bytes = |id: TensorId| program.tensor(id).shape.len();
    let in_arena = |id: TensorId| match plan.home(program, id) {
        Home::Arena(offset) => Some(range(offset, bytes(id))),
        Home::Part { offset, .. } => plan.part(id).map(|part| range(offset, part.span(program))),
        Home::Input | Home::Scores => None,
    };
    let reads: Vec<TensorId> = plan.copied(step).collect();
    let is_concat = matches!(context.layer.op, Op::Concat);
    let letters: &[&str] = match context.layer.op {
        Op::Add(_) => &["a", "b"],
        Op::Gate(_) => &["x", "g"],
        _ => &["x"],
    };
    // What each argument of the layer's function is called, and what must be borrowed from the arena for it.
    let mut arguments = Vec::new();
    let mut borrowed = Vec::new();
    for (index, read) in reads.iter().enumerate() {
        if step.in_place == Some(index) {
            arguments.push("y".to_string());
            continue;
        }
        let name = if is_concat { format!("part{index}") } else { letters[index.min(letters.len() - 1)].to_string() };
        match plan.home(program, *read) {
            Home::Input => arguments.push("input".into()),
            Home::Scores => arguments.push("scores".into()),
            Home::Arena(offset) => {
                arguments.push(name.clone());
                borrowed.push((name, range(offset, bytes(*read))));
            }
            // Nothing reads a part but the whole's layer, which finds it in its place.
            Home::Part { .. } => {}
        }
    }
    let written = in_arena(step.writes);
    if let (Some(range), true) = (&written, reads.is_empty()) {
        let region = call(TURN, "", "region", &["memory".into(), range.clone()], "");
        return format!("{:TURN$}// All parts lie here.\n{region}", "");
    }
    let output = if written.is_some() { "y" } else { "scores" };
    // What lies in another tensor is shown with it.
    let shown = if plan.part(step.writes).is_some() { "&[]" } else { output };
    let mut out = String::new();
    // One read next to one write is by far the commonest: it has a form of its own.
    let all_parts_borrowed = is_concat && borrowed.len() == arguments.len();
    let pattern = if all_parts_borrowed {
        "parts".to_string()
    } else {
        let names: Vec<&str> = borrowed.iter().map(|(name, _)| name.as_str()).collect();
        format!("[{}]", names.join(", "))
    };
    if let Some(scratch) = step.scratch {
        let mut parts: Vec<(usize, &str, String)> = vec![(scratch.offset, "t", range(scratch.offset, scratch.bytes))];
        if let (Home::Arena(offset) | Home::Part { offset, .. }, Some(range)) =
            (plan.home(program, step.writes), &written)
        {
            parts.push((offset, "y", range.clone()));
        }
        for (read, (name, range)) in reads.iter().filter(|id| in_arena(**id).is_some()).zip(&borrowed) {
            if let Home::Arena(offset) = plan.home(program, *read) {
                parts.push((offset, name, range.clone()));
            }
        }
        parts.sort_unstable();
        let names: Vec<&str> = parts.iter().map(|(_, name, _)| *name).collect();
        let ranges: Vec<&str> = parts.iter().map(|(.., range)| range.as_str()).collect();
        let list = ["memory".into(), format!("[{}]", ranges.join(", "))];
        out.push_str(&call(TURN, &format!("let [{}] = ", names.join(", ")), "split", &list, ";"));
        if step.in_place.is_none() {
            arguments.push(output.into());
        }
        arguments.push("t".into());
        out.push_str(&call(TURN, "", context.name, &arguments, ";"));
        let _ = writeln!(out, "{:TURN$}{shown}", "");
        return out;
    }
    let ranges: Vec<&str> = borrowed.iter().map(|(_, range)| range.as_str()).collect();
    let ranges = format!("[{}]", ranges.join(", "));
    match (&written, &borrowed[..]) {
        (None, []) => {}
        (None, [(name, range)]) if !all_parts_borrowed => {
            out.push_str(&call(TURN, &format!("let {name} = "), "region", &["memory".into(), range.clone()], ";"));
        }
        (None, _) => {
            let arguments = ["memory".into(), "0..0".into(), ranges];
            out.push_str(&call(TURN, &format!("let (_, {pattern}) = "), "regions", &arguments, ";"));
        }
        (Some(range), []) => {
            out.push_str(&call(TURN, "let y = ", "region", &["memory".into(), range.clone()], ";"));
        }
        (Some(range), [(name, read)]) if !all_parts_borrowed => {
            let arguments = ["memory".into(), range.clone(), read.clone()];
            out.push_str(&call(TURN, &format!("let (y, {name}) = "), "pair", &arguments, ";"));
        }
        (Some(range), _) => {
            let arguments = ["memory".into(), range.clone(), ranges];
            out.push_str(&call(TURN, &format!("let (y, {pattern}) = "), "regions", &arguments, ";"));
        }
    }
    if is_concat {
        let parts = if all_parts_borrowed { "parts".into() } else { format!("[{}]", arguments.join(", ")) };
        arguments = vec![parts];
    }
    if step.in_place.is_none() {
        arguments.push(output.into());
    }
    out.push_str(&call(TURN, "", context.name, &arguments, ";"));
    let _ = writeln!(out, "{:TURN$}{shown}", "");
    out
}
