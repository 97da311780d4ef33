//! `README.md`, and the origin that other files repeat.

use std::fmt::Write as _;

use super::text::{code, fill};
use super::{EmittedFile, VERSION, names};
use crate::plan::{Family, Plan};
use crate::qir::{InputKind, Program};
use crate::target::Target;

/// Test-split accuracies, as fractions.
#[derive(Debug, Clone, PartialEq)]
pub struct Accuracy {
    /// Test samples of the classes.
    pub samples: usize,
    /// Of the source model, asked for these classes only.
    pub source_masked: Option<f64>,
    /// Of this crate.
    pub int8: f64,
}

/// Measured numbers; what is not known is not printed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// Code that `infer` adds to firmware, in bytes of flash.
    pub code_bytes: Option<u64>,
    /// All that `infer` adds to firmware, in bytes of flash.
    pub flash_bytes: Option<u64>,
    /// High-water mark of the stack in `infer`, in bytes.
    pub stack_bytes: Option<u64>,
    /// Instructions of one inference on the target in QEMU.
    pub instructions: Option<u64>,
    /// Multiply-accumulates of the source model.
    pub source_macs: Option<u64>,
    /// Accuracy on the test split.
    pub accuracy: Option<Accuracy>,
    /// The same of a crate that may answer none of the wanted classes.
    pub detection: Option<OperatingPoint>,
    /// The command that writes the crate anew, for a shell.
    pub command: Option<String>,
}

/// How well wanted test samples are told from others at the crate's threshold, as fractions.
#[derive(Debug, Clone, PartialEq)]
pub struct OperatingPoint {
    /// Test samples of wanted classes.
    pub wanted: usize,
    /// Of them taken for a wanted class.
    pub recall: f64,
    /// Of them taken for their own class.
    pub right: f64,
    /// Test samples of other classes.
    pub others: usize,
    /// Of them taken for a wanted class.
    pub false_accepts: f64,
}

/// Where the crate comes from, line by line, as Markdown.
pub(super) fn origin(program: &Program) -> Vec<String> {
    let mut lines = vec![format!("Written by fratc {VERSION}.")];
    for (model, sha256) in &program.provenance.models {
        lines.push(String::new());
        lines.push(format!("- Model: {}, SHA-256 {}", code(model), code(sha256)));
    }
    let classes: Vec<String> = program.classes.iter().map(|class| code(class)).collect();
    lines.push(String::new());
    lines.push(format!("- Classes: {}", classes.join(", ")));
    if !program.provenance.options.is_empty() {
        lines.push(String::new());
        lines.push(format!("- Options: {}", code(&program.provenance.options.join(" "))));
    }
    lines.dedup_by(|line, previous| line.is_empty() && previous.starts_with("- "));
    lines
}

pub(super) fn readme(program: &Program, plan: &Plan, target: &Target, facts: &Facts) -> EmittedFile {
    let input = program.tensor(program.input()).shape;
    let kind = match program.input_kind {
        InputKind::U8 => "raw `u8` pixels",
        InputKind::I8 => "raw `i8` features",
    };
    let text = fill(
        include_str!("templates/README.md"),
        &[
            ("name", &program.name),
            (
                "unsafe",
                &plan.family().map_or_else(
                    || "no `unsafe` in the library".into(),
                    |family| format!("`unsafe` in `src/kernels/{}` only", family.folder()),
                ),
            ),
            ("cores", plan.family().map_or("", cores)),
            ("crate", &names::crate_ident(program)),
            ("what", &what(program)),
            ("answer", if program.reject.is_some() { ANSWER } else { "" }),
            ("shape", &format!("[{}, {}, {}]", input.h, input.w, input.c)),
            ("kind", kind),
            ("target", &target.name),
            ("triple", target.rust_target.triple()),
            ("figures", &figures(program, plan, facts)),
            ("origin", &origin(program).join("\n")),
            ("anew", &facts.command.as_ref().map_or_else(String::new, |command| anew(command))),
        ],
    );
    EmittedFile::text("README.md", text)
}

/// What the crate is, in half a sentence.
fn what(program: &Program) -> String {
    let names = |classes: &[String]| classes.iter().map(|class| code(class)).collect::<Vec<_>>().join(", ");
    let split = program.reject.and_then(|reject| program.classes.split_at_checked(reject.wanted as usize));
    let Some((wanted, others)) = split else {
        return format!("An int8 classifier of {} classes ({}) ", program.classes.len(), names(&program.classes));
    };
    format!(
        "An int8 detector of {} among {} other classes ({}), which may answer none,\n",
        names(wanted),
        others.len(),
        names(others)
    )
}

/// How a detector's answer is read.
const ANSWER: &str = "
`prediction.answer()` is the wanted class that the input shows, an index into `CLASSES`, or `None`; `label()` is its
name, or `none`. `class` and `scores` are those of all classes. `THRESHOLD` trades misses for false accepts.
";

/// How the crate is written anew.
fn anew(command: &str) -> String {
    format!("\nTo write it anew:\n\n```\n{command}\n```\n")
}

/// What the kernels need of the core.
fn cores(family: Family) -> &'static str {
    match family {
        Family::Dsp => include_str!("templates/cores.md"),
        Family::Mve => include_str!("templates/cores_mve.md"),
        Family::V7m | Family::V6m => include_str!("templates/cores_scalar.md"),
    }
}

/// The rows of the table of figures.
fn figures(program: &Program, plan: &Plan, facts: &Facts) -> String {
    let bytes = |bytes: usize| Some(format!("{bytes} bytes"));
    let count = |value: Option<u64>, unit: &str| value.map(|value| format!("{value}{unit}"));
    let percent = |value: f64| format!("{:.2} %", 100.0 * value);
    let detection = facts.detection.as_ref();
    // Which of all classes is likeliest is not what a detector is asked.
    let accuracy = facts.accuracy.as_ref().filter(|_| detection.is_none());
    let of = |share: f64, samples: usize| format!("{} of {samples} test samples", percent(share));
    let rows = [
        ("flash: weights", bytes(plan.sizes.weights_bytes)),
        ("flash: tables", bytes(plan.sizes.tables_bytes)),
        ("flash: code", count(facts.code_bytes, " bytes")),
        ("flash: total", count(facts.flash_bytes, " bytes")),
        ("RAM: arena", bytes(plan.arena_bytes)),
        ("RAM: input", bytes(plan.input_bytes)),
        ("RAM: stack", count(facts.stack_bytes, " bytes")),
        ("multiply-accumulates", Some(program.macs().to_string())),
        ("multiply-accumulates of the source model", count(facts.source_macs, "")),
        ("instructions per inference", count(facts.instructions, "")),
        ("accuracy", accuracy.map(|a| of(a.int8, a.samples))),
        ("accuracy of the source model on these classes", accuracy.and_then(|a| a.source_masked).map(percent)),
        ("recall: wanted classes taken for one", detection.map(|d| of(d.recall, d.wanted))),
        ("wanted classes taken for the right one", detection.map(|d| of(d.right, d.wanted))),
        ("false accepts: other classes taken for a wanted one", detection.map(|d| of(d.false_accepts, d.others))),
    ];
    let mut out = String::new();
    for (name, value) in rows {
        if let Some(value) = value {
            let _ = writeln!(out, "| {name} | {value} |");
        }
    }
    out
}
