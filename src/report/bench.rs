//! What `fratc bench` prints and saves.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::text::grouped;

/// Cost of one inference on an emulated core, whole and by layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bench {
    /// Layout version.
    pub schema: u32,
    /// The network's name.
    pub name: String,
    /// Board.
    pub target: String,
    /// QEMU's name of the machine.
    pub machine: String,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Instructions of `infer`.
    pub instructions: u64,
    /// Estimated Cortex-M4 cycles, no wait states.
    pub est_cycles: Option<u64>,
    /// Instructions per multiply-accumulate.
    pub instructions_per_mac: Option<f64>,
    /// Whether counts are exact; else they come from `SysTick`.
    pub exact: bool,
    /// What the network adds to a firmware's flash, in bytes, weights included.
    pub flash_bytes: u64,
    /// Of which weights.
    pub weights_bytes: u64,
    /// Of which other tables.
    pub tables_bytes: u64,
    /// Of which code.
    pub code_bytes: u64,
    /// Bytes of the arena.
    pub arena_bytes: u64,
    /// Most bytes of stack below the call of `infer`.
    pub stack_bytes: u64,
    /// Layers in order of execution.
    pub layers: Vec<BenchLayer>,
    /// What was not measured, and why.
    pub notes: Vec<String>,
}

/// Cost of one layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchLayer {
    /// Name in the model.
    pub name: String,
    /// Operation: `conv 3x3 s2`.
    pub op: String,
    /// Shape of the first input, `[H, W, C]`.
    pub input: [usize; 3],
    /// Shape of the output, `[H, W, C]`.
    pub output: [usize; 3],
    /// Form of kernel; `null` for a crate of another version of fratc.
    pub kernel: Option<String>,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Instructions.
    pub instructions: u64,
    /// Estimated Cortex-M4 cycles, no wait states.
    pub est_cycles: Option<u64>,
    /// Instructions per multiply-accumulate.
    pub instructions_per_mac: Option<f64>,
    /// Weights as the kernel reads them; `null` as for `kernel`.
    pub weights_bytes: Option<u64>,
}

/// A benchmark beside an older one.
#[derive(Debug, Clone, Serialize)]
pub struct BenchCompared {
    /// The new one.
    #[serde(flatten)]
    pub bench: Bench,
    /// The old one's instructions and what they changed by.
    pub compared: Change,
}

/// What changed in the instructions of the whole and of the layers.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// The old file, as given.
    pub baseline: String,
    /// Its instructions.
    pub instructions: u64,
    /// New over old, minus 1.
    pub rise: f64,
    /// The same by layer, for layers of the same name in both.
    pub layers: Vec<LayerChange>,
}

/// What changed in one layer.
#[derive(Debug, Clone, Serialize)]
pub struct LayerChange {
    /// Name in the model.
    pub name: String,
    /// Instructions of the old one.
    pub instructions: u64,
    /// New over old, minus 1.
    pub rise: f64,
}

impl Change {
    /// What changed from `old`, read from `baseline`, to `new`.
    pub fn new(baseline: impl Into<String>, old: &Bench, new: &Bench) -> Self {
        let rise = |old: u64, new: u64| new as f64 / old.max(1) as f64 - 1.0;
        let layers = new.layers.iter().filter_map(|layer| {
            let before = old.layers.iter().find(|other| other.name == layer.name)?.instructions;
            Some(LayerChange { name: layer.name.clone(), instructions: before, rise: rise(before, layer.instructions) })
        });
        Self {
            baseline: baseline.into(),
            instructions: old.instructions,
            rise: rise(old.instructions, new.instructions),
            layers: layers.collect(),
        }
    }
}

impl fmt::Display for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        table(f, self, None)
    }
}

impl fmt::Display for BenchCompared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        table(f, &self.bench, Some(&self.compared))
    }
}

/// `12,345` or a dash.
fn count(number: Option<u64>) -> String {
    number.map_or_else(|| "-".into(), grouped)
}

fn ratio(number: Option<f64>) -> String {
    number.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}"))
}

fn change(rise: Option<f64>) -> String {
    rise.map_or_else(String::new, |rise| format!("  {:+.2} %", rise * 100.0))
}

fn table(f: &mut fmt::Formatter<'_>, bench: &Bench, compared: Option<&Change>) -> fmt::Result {
    let shape = |[h, w, c]: [usize; 3]| format!("{h}x{w}x{c}");
    let forms: Vec<String> = bench
        .layers
        .iter()
        .map(|layer| format!("{} {} > {}", layer.op, shape(layer.input), shape(layer.output)))
        .collect();
    let form_width = forms.iter().map(|form| form.chars().count()).max().unwrap_or(0).max(5);
    let kernel_width = bench.layers.iter().filter_map(|l| l.kernel.as_ref()).map(String::len).max().unwrap_or(0).max(6);
    writeln!(
        f,
        "{:form_width$}  {:kernel_width$}  {:>11}  {:>13}  {:>13}  {:>6}  {:>9}",
        "layer", "kernel", "MACs", "instructions", "est. cycles", "i/MAC", "weights B"
    )?;
    for (layer, form) in bench.layers.iter().zip(&forms) {
        let rise = compared.and_then(|c| c.layers.iter().find(|l| l.name == layer.name)).map(|l| l.rise);
        writeln!(
            f,
            "{form:form_width$}  {:kernel_width$}  {:>11}  {:>13}  {:>13}  {:>6}  {:>9}{}",
            layer.kernel.as_deref().unwrap_or("-"),
            grouped(layer.macs),
            grouped(layer.instructions),
            count(layer.est_cycles),
            ratio(layer.instructions_per_mac),
            count(layer.weights_bytes),
            change(rise)
        )?;
    }
    writeln!(
        f,
        "{:form_width$}  {:kernel_width$}  {:>11}  {:>13}  {:>13}  {:>6}  {:>9}{}",
        "whole",
        "",
        grouped(bench.macs),
        grouped(bench.instructions),
        count(bench.est_cycles),
        ratio(bench.instructions_per_mac),
        grouped(bench.weights_bytes),
        change(compared.map(|c| c.rise))
    )?;
    writeln!(f, "machine   {} ({})", bench.target, bench.machine)?;
    writeln!(
        f,
        "flash     {} B: weights {}, tables {}, code {}",
        grouped(bench.flash_bytes),
        grouped(bench.weights_bytes),
        grouped(bench.tables_bytes),
        grouped(bench.code_bytes)
    )?;
    writeln!(f, "ram       arena {} B, stack {} B", grouped(bench.arena_bytes), grouped(bench.stack_bytes))?;
    for note in &bench.notes {
        writeln!(f, "note      {note}")?;
    }
    Ok(())
}
