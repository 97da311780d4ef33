//! `src/lib.rs`: constants, the arena, `infer`.

use super::text::{array, code, fill, grouped, string};
use super::{EmittedFile, VERSION, names, readme};
use crate::plan::Plan;
use crate::qir::{InputKind, Program};

/// What is said of layers whose outputs lie in others.
const PARTS: &str =
    "\n///\n/// The output of a layer that writes into a concatenation is shown with that, and as empty before.";

/// What is said of layers whose outputs are never whole.
const STRIPS: &str = "\n///\n/// Some layers advance together, a few rows at a time: they all run in the last one's turn, and of those before it\n/// the output is shown as empty.";

/// `Prediction::label` of a crate whose answer always is a class.
const LABEL: &str = "/// Name of the class.
    pub fn label(&self) -> &'static str {
        CLASSES.get(self.class).copied().unwrap_or_default()
    }";

/// `Prediction::label` of a crate whose answer may be none.
const REJECTING_LABEL: &str = "/// Name of the [answer](Self::answer), or [`NONE`].
    pub fn label(&self) -> &'static str {
        let answer = self.answer().and_then(|class| CLASSES.get(class));
        answer.copied().unwrap_or(NONE)
    }";

/// What is said of layers whose outputs are not shown.
fn hidden(plan: &Plan) -> String {
    let said = [(plan.parts.is_empty(), PARTS), (plan.strips.is_empty(), STRIPS)];
    said.into_iter().filter(|(none, _)| !none).map(|(_, text)| text).collect()
}

pub(super) fn library(program: &Program, plan: &Plan) -> EmittedFile {
    let input = program.tensor(program.input()).shape;
    let scores = program.tensor(program.output).quant;
    let (element, kind) = match program.input_kind {
        InputKind::U8 => ("u8", "raw `u8` pixels"),
        InputKind::I8 => ("i8", "raw `i8` features"),
    };
    let strings = |names: &mut dyn Iterator<Item = &String>| names.map(|name| string(name)).collect::<Vec<_>>();
    let classes = strings(&mut program.classes.iter());
    let layers = strings(&mut program.layers.iter().map(|layer| &layer.name));
    let origin: Vec<String> =
        readme::origin(program).iter().map(|line| format!("//! {line}").trim_end().to_string()).collect();
    let text = fill(
        include_str!("templates/lib.rs"),
        &[
            ("version", VERSION),
            ("level", if plan.family().is_some() { "deny" } else { "forbid" }),
            ("title", &code(&program.name)),
            ("crate", &names::crate_ident(program)),
            ("origin", origin.join("\n").trim_end()),
            ("element", element),
            ("kind", kind),
            ("shape", &format!("[{}, {}, {}]", input.h, input.w, input.c)),
            ("input_len", &grouped(input.len() as u64)),
            ("class_count", &classes.len().to_string()),
            ("arena_bytes", &grouped(plan.arena_bytes as u64)),
            ("macs", &grouped(program.macs())),
            ("parts", &hidden(plan)),
            ("scale", &format!("{:?}", scores.scale)),
            ("label", if program.reject.is_some() { REJECTING_LABEL } else { LABEL }),
            ("zero_point", &scores.zero_point.to_string()),
            ("CLASSES", &array(&format!("pub const CLASSES: [&str; {}] = ", classes.len()), &classes)),
            ("LAYERS", &array(&format!("pub const LAYERS: [&str; {}] = ", layers.len()), &layers)),
        ],
    );
    let reject = program.reject.map_or_else(String::new, |reject| {
        let values = [("wanted", reject.wanted.to_string()), ("threshold", reject.threshold.to_string())];
        let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        fill(include_str!("templates/reject.rs"), &values)
    });
    EmittedFile::text("src/lib.rs", text + &reject)
}
