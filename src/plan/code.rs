//! Bytes of code of a plan on a core, before anything is compiled.
//!
//! An emitted crate is made so that its code is a sum: each kernel's functions once, as they see no constants; a function
//! of its own for each layer, which calls a kernel; `infer`, which calls these in turn; and what the linker adds.
//! `code_sizes.txt` holds what each of these takes on each sort of core, as read from linked ELF files, for the compiler
//! named there and the emitted crate's own profile. `cargo test --release --test it -- --ignored code_sizes::write`
//! measures and writes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use super::{Kernel, Plan, as_conv, cost, leaves_one};
use crate::qir::{InputKind, Layer, Op, Program};
use crate::target::{Core, Target};

/// What decides the size of `infer`, see [`schedule_features`].
pub const SCHEDULE: usize = 8;

/// What decides the size of the rest: always, for each layer.
pub const REST: usize = 2;

/// A function that kernels consist of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its path in the crate, with the element's type where there is one function for each.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// Layers that need it, by index.
    pub layers: Vec<usize>,
}

/// Bytes of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// Each layer's own function.
    pub layers: Vec<u64>,
    /// Kernels, and what they need of the compiler's library.
    pub functions: Vec<Function>,
    /// `infer`, with the choice of the largest score.
    pub schedule: u64,
    /// What the linker adds: alignment, jumps.
    pub rest: u64,
}

impl Code {
    /// All of it.
    pub fn total(&self) -> u64 {
        let kernels: u64 = self.functions.iter().map(|function| function.bytes).sum();
        self.layers.iter().sum::<u64>() + kernels + self.schedule + self.rest
    }

    /// What would go with `layer`: its own function, and kernels that no other layer needs.
    pub fn alone(&self, layer: usize) -> u64 {
        let only = |function: &&Function| function.layers == [layer];
        self.layers[layer] + self.functions.iter().filter(only).map(|function| function.bytes).sum::<u64>()
    }

    /// What several layers share, and what is there for all of them.
    pub fn shared(&self) -> u64 {
        self.total() - (0..self.layers.len()).map(|layer| self.alone(layer)).sum::<u64>()
    }
}

/// What was measured of one form of kernel on one sort of core.
#[derive(Debug, Clone, Default)]
struct Form {
    call: f64,
    banded: Option<f64>,
    functions: Vec<String>,
}

/// What was measured on one sort of core.
#[derive(Debug, Clone, Default)]
struct Measured {
    functions: BTreeMap<String, u64>,
    forms: BTreeMap<String, Form>,
    schedule: [f64; SCHEDULE],
    rest: [f64; REST],
}

impl Measured {
    /// What was measured of a form, or of the one that is most like it.
    fn form(&self, form: &str) -> Option<&Form> {
        let raw = plain(form);
        let like = [form, form.trim_end_matches(IN_PLACE), raw, raw.trim_end_matches(IN_PLACE)];
        let found = like.into_iter().find_map(|form| self.forms.get(form));
        found.or_else(|| self.forms.get(&format!("{raw}{IN_PLACE}")))
    }
}

#[derive(Debug, Clone, Default)]
struct Table {
    cores: BTreeMap<String, Measured>,
    /// Of each form, the bytes of the struct that its kernel is called with.
    structs: BTreeMap<String, u64>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| read(include_str!("code_sizes.txt")).unwrap_or_default());

/// The table of a text; `None` if it is none.
fn read(text: &str) -> Option<Table> {
    let mut table = Table::default();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let cells: Vec<&str> = line.split(" | ").map(str::trim).collect();
        let numbers = |text: &str| text.split(' ').map(|n| n.parse().ok()).collect::<Option<Vec<f64>>>();
        match cells[..] {
            ["struct", form, bytes] => {
                table.structs.insert(form.into(), bytes.parse().ok()?);
            }
            [core, kind, ref more @ ..] => {
                let measured = table.cores.entry(core.into()).or_default();
                match (kind, more) {
                    ("function", [name, bytes]) => {
                        measured.functions.insert((*name).into(), bytes.parse().ok()?);
                    }
                    ("form", [name, call, functions]) => {
                        let form = measured.forms.entry((*name).into()).or_default();
                        form.call = call.parse().ok()?;
                        form.functions = functions.split(", ").filter(|f| !f.is_empty()).map(str::to_string).collect();
                    }
                    ("banded", [name, call]) => {
                        measured.forms.entry((*name).into()).or_default().banded = Some(call.parse().ok()?);
                    }
                    ("infer", [weights]) => measured.schedule = numbers(weights)?.try_into().ok()?,
                    ("rest", [weights]) => measured.rest = numbers(weights)?.try_into().ok()?,
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
    Some(table)
}

/// Cores for which the compiler makes the same code.
pub fn core(target: &Target) -> &'static str {
    match target.core {
        Core::M0 | Core::M0Plus => "m0",
        Core::M3 => "m3",
        Core::M4 => "m4",
        Core::M7 => "m7",
        Core::M33 => "m33",
        Core::M55 => "m55",
    }
}

/// What was measured of `core`; cores with the same instructions as Cortex-M4 stand in for one another.
fn measured(core: &str) -> Option<&'static Measured> {
    let same = ["m4", "m33", "m7"].contains(&core).then_some("m4");
    TABLE.cores.get(core).or_else(|| TABLE.cores.get(same?))
}

/// The form of kernel that runs `layer`, as far as it decides which functions there are.
pub fn form(program: &Program, layer: &Layer, kernel: Kernel, in_place: Option<usize>) -> String {
    let form = cost::form(&layer.op, kernel);
    let shape = as_conv(program, layer).map_or(program.tensor(layer.output).shape, |shapes| shapes.output);
    let one = if kernel == Kernel::DspConvWide && leaves_one(shape) { " with one left over" } else { "" };
    let raw = program.input_kind == InputKind::U8 && layer.inputs.contains(&program.input());
    let place = match (&layer.op, in_place) {
        (Op::Add(_), Some(1)) => " in place of the second",
        (Op::Add(_) | Op::Gate(_) | Op::Lookup(_) | Op::Conv(_) | Op::Depthwise(_), Some(_)) => IN_PLACE,
        _ => "",
    };
    format!("{form}{one}{place}{}", if raw { OF_U8 } else { "" })
}

/// How forms end whose output lies over their input.
const IN_PLACE: &str = " in place";

/// How forms end whose kernel reads raw bytes.
const OF_U8: &str = " of u8";

/// The same form of kernel on `i8`.
pub(super) fn plain(form: &str) -> &str {
    form.strip_suffix(OF_U8).unwrap_or(form)
}

/// Bytes of the struct that `layer` calls its kernel with; the same on every core.
pub fn struct_bytes(layer: &Layer, kernel: Kernel) -> usize {
    TABLE.structs.get(cost::form(&layer.op, kernel)).map_or(0, |bytes| *bytes as usize)
}

/// What decides the size of `infer`: always, for each four classes, for each layer; for each layer in bands with scratch memory,
/// without, and of several inputs for each of them; for each strip, and for each of its layers.
pub fn schedule_features(program: &Program, plan: &Plan) -> [f64; SCHEDULE] {
    let banded = || plan.steps.iter().filter(|step| step.bands.is_some());
    let one = || banded().filter(|step| step.reads.len() == 1);
    let counts = [
        1,
        program.classes.len().div_ceil(4),
        plan.steps.len(),
        one().filter(|step| step.scratch.is_some()).count(),
        one().filter(|step| step.scratch.is_none()).count(),
        banded().map(|step| step.reads.len()).filter(|reads| *reads > 1).sum(),
        plan.strips.len(),
        plan.steps.iter().filter(|step| step.strip.is_some()).count(),
    ];
    counts.map(|count| count as f64)
}

/// About what a crate takes whose layers have these forms, before anything else of its plan is known: everything called
/// whole. `class` is that of [`cost::class`]; `None` if a form was never measured.
pub(super) fn of_forms(class: &str, forms: &[&str]) -> Option<u64> {
    let core = match class {
        "v6m" => "m0",
        "v7m" => "m3",
        "dsp" => "m4",
        _ => "m55",
    };
    let measured = measured(core)?;
    let mut bytes = measured.rest[0] + measured.schedule[0];
    let mut functions: BTreeSet<&str> = BTreeSet::new();
    for form in forms {
        let form = measured.form(form)?;
        bytes += form.call + measured.rest[1] + measured.schedule[2];
        functions.extend(form.functions.iter().map(String::as_str));
    }
    let kernels: u64 = functions.iter().filter_map(|name| measured.functions.get(*name)).sum();
    Some(kernels + bytes.max(0.0).round() as u64)
}

/// Bytes of code of `plan` on `target`; `None` if one of its kernels was never measured on such a core.
pub fn code(program: &Program, plan: &Plan, target: &Target) -> Option<Code> {
    let measured = measured(core(target))?;
    let forms: Vec<String> =
        plan.steps.iter().map(|step| form(program, &program.layers[step.layer], step.kernel, step.in_place)).collect();
    // Forms of which no layer in bands was measured.
    let bands: Vec<f64> = measured.forms.values().filter_map(|form| form.banded).collect();
    let in_bands = bands.iter().sum::<f64>() / bands.len().max(1) as f64;
    let mut layers = Vec::new();
    let mut users: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (index, (step, form)) in plan.steps.iter().zip(&forms).enumerate() {
        let form = measured.form(form)?;
        // A concatenation of which all parts lie in their places has no function.
        if plan.copied(step).next().is_none() {
            layers.push(0);
            continue;
        }
        // Sums and tables take as many values as they are given.
        let whole = matches!(program.layers[step.layer].op, Op::Add(_) | Op::Lookup(_));
        let bytes = if step.by_rows() && !whole { form.banded.unwrap_or(in_bands) } else { form.call };
        layers.push(bytes.round() as u64);
        for function in &form.functions {
            users.entry(function).or_default().insert(index);
        }
    }
    let function = |(name, layers): (&str, BTreeSet<usize>)| {
        let bytes = *measured.functions.get(name)?;
        Some(Function { name: name.into(), bytes, layers: layers.into_iter().collect() })
    };
    let sum = |weights: &[f64], features: &[f64]| -> u64 {
        weights.iter().zip(features).map(|(w, f)| w * f).sum::<f64>().round() as u64
    };
    Some(Code {
        functions: users.into_iter().map(function).collect::<Option<_>>()?,
        schedule: sum(&measured.schedule, &schedule_features(program, plan)),
        rest: sum(&measured.rest, &[1.0, layers.len() as f64]),
        layers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_whole_and_names_only_functions_it_has() {
        let table = read(include_str!("code_sizes.txt")).expect("the committed table");
        assert_eq!(table.cores.keys().collect::<Vec<_>>(), ["m0", "m3", "m33", "m4", "m55", "m7"]);
        for (core, measured) in &table.cores {
            assert!(measured.forms.len() > 20, "{core}");
            for (name, form) in &measured.forms {
                assert!(form.call > 0.0, "{core}: {name} was measured in bands only");
                for function in &form.functions {
                    assert!(measured.functions.contains_key(function), "{core}: {function}");
                }
            }
        }
        assert!(read("m4 | what | 3").is_none());
    }
}
