//! What `fratc plan` prints.

use std::fmt;

use serde::Serialize;

use super::memory::{LayerMemory, Region, write_layers, write_regions};
use super::text::grouped;

/// Order, memory and kernels of a program on a board, reckoned without compiling anything.
#[derive(Debug, Clone, Serialize)]
pub struct PlanReport {
    /// Layout version.
    pub schema: u32,
    /// The network's name.
    pub name: String,
    /// Board.
    pub target: String,
    /// What kernels were chosen for.
    pub optimize: &'static str,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Estimated instructions; `null` if a kernel was never measured on the core.
    pub est_instructions: Option<u64>,
    /// Bytes of weights as the kernels read them: exact.
    pub weights_bytes: u64,
    /// Bytes of other constants: exact.
    pub tables_bytes: u64,
    /// Bytes of code: predicted, see `docs/device.md`.
    pub est_code_bytes: u64,
    /// All three.
    pub est_flash_bytes: u64,
    /// Bytes of the arena: exact.
    pub arena_bytes: u64,
    /// Bytes of the caller's input buffer: exact.
    pub input_bytes: u64,
    /// Layers in order of execution.
    pub layers: Vec<PlanLayer>,
    /// What each layer takes of the memories; weights, tables and arena exact, code predicted.
    pub memory: Vec<LayerMemory>,
    /// Code that several layers share, and the rest of it: predicted; `null` if a kernel was never measured.
    pub shared_code_bytes: Option<u64>,
    /// The board's memories with what the network takes of them; stack and the rest of a firmware come on top.
    pub regions: Vec<Region>,
    /// Layers that advance together, some rows at a time.
    pub strips: Vec<PlanStrip>,
    /// Tensors in the arena.
    pub tensors: Vec<PlanTensor>,
}

/// Layers that advance together, so that the tensors between them are never whole.
#[derive(Debug, Clone, Serialize)]
pub struct PlanStrip {
    /// The first of the layers, by index.
    pub first_layer: usize,
    /// The last of them.
    pub last_layer: usize,
    /// Output rows of the last one that each turn computes.
    pub rows: usize,
    /// Turns.
    pub turns: usize,
}

/// One layer.
#[derive(Debug, Clone, Serialize)]
pub struct PlanLayer {
    /// Name in the model.
    pub name: String,
    /// Operation: `conv 3x3 s2`.
    pub op: String,
    /// Shape of the first input, `[H, W, C]`.
    pub input: [usize; 3],
    /// Shape of the output, `[H, W, C]`.
    pub output: [usize; 3],
    /// Multiply-accumulates.
    pub macs: u64,
    /// Where its inputs and its output are.
    pub reads: Vec<String>,
    /// Where its output is.
    pub writes: String,
    /// Offset and bytes of scratch memory in the arena.
    pub scratch: Option<[usize; 2]>,
    /// The kernels that can run it.
    pub candidates: Vec<PlanCandidate>,
}

/// One kernel that can run a layer.
#[derive(Debug, Clone, Serialize)]
pub struct PlanCandidate {
    /// Form of kernel.
    pub kernel: &'static str,
    /// Whether it was chosen.
    pub chosen: bool,
    /// Estimated instructions; `null` if it was never measured on the core.
    pub est_instructions: Option<u64>,
    /// Largest error of such estimates among the layers that were measured, as a share.
    pub error: Option<f64>,
    /// Bytes of weights.
    pub weights_bytes: usize,
    /// Bytes of other constants.
    pub tables_bytes: usize,
    /// Bytes of scratch memory.
    pub scratch_bytes: usize,
}

/// One tensor in the arena.
#[derive(Debug, Clone, Serialize)]
pub struct PlanTensor {
    /// Name.
    pub name: String,
    /// `[H, W, C]`.
    pub shape: [usize; 3],
    /// Offset, in bytes.
    pub offset: usize,
    /// Bytes; of a tensor that is never whole, those of the rows that are kept.
    pub bytes: usize,
    /// The layer that writes it, by index.
    pub first_layer: usize,
    /// The last layer that reads it.
    pub last_layer: usize,
}

fn shape([h, w, c]: [usize; 3]) -> String {
    format!("{h}x{w}x{c}")
}

impl fmt::Display for PlanReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forms: Vec<String> = self
            .layers
            .iter()
            .map(|layer| format!("{} {} > {}", layer.op, shape(layer.input), shape(layer.output)))
            .collect();
        let wide = forms.iter().map(|form| form.chars().count()).max().unwrap_or(0).max(5);
        writeln!(
            f,
            "      {:wide$}  {:>11}  {:22}  {:15}  {:>12}  {:>9}  {:>8}  {:>9}",
            "layer", "MACs", "memory", "kernel", "est. instr", "weights B", "tables B", "scratch B"
        )?;
        for (index, (layer, form)) in self.layers.iter().zip(&forms).enumerate() {
            let memory = format!("{} > {}", layer.reads.join(" + "), layer.writes);
            for (row, candidate) in layer.candidates.iter().enumerate() {
                let first = row == 0;
                let lead = if first { format!("{index:4}") } else { String::new() };
                writeln!(
                    f,
                    "{lead:4}  {:wide$}  {:>11}  {:22}  {:13} {}  {:>12}  {:>9}  {:>8}  {:>9}",
                    if first { form } else { "" },
                    if first { grouped(layer.macs) } else { String::new() },
                    if first { &memory } else { "" },
                    candidate.kernel,
                    if candidate.chosen { "*" } else { " " },
                    candidate.est_instructions.map_or_else(|| "-".into(), grouped),
                    grouped(candidate.weights_bytes as u64),
                    grouped(candidate.tables_bytes as u64),
                    grouped(candidate.scratch_bytes as u64)
                )?;
            }
        }
        writeln!(f)?;
        write_layers(f, &self.memory, self.shared_code_bytes)?;
        writeln!(f)?;
        writeln!(f, "target    {}, for {}", self.target, self.optimize)?;
        writeln!(
            f,
            "cost      {} MACs, about {} instructions",
            grouped(self.macs),
            self.est_instructions.map_or_else(|| "-".into(), grouped)
        )?;
        writeln!(
            f,
            "flash     about {} B: weights {}, tables {}, code about {}",
            grouped(self.est_flash_bytes),
            grouped(self.weights_bytes),
            grouped(self.tables_bytes),
            grouped(self.est_code_bytes)
        )?;
        writeln!(
            f,
            "ram       {} B and the stack: arena {}, input {}",
            grouped(self.arena_bytes + self.input_bytes),
            grouped(self.arena_bytes),
            grouped(self.input_bytes)
        )?;
        for PlanStrip { first_layer, last_layer, rows, turns } in &self.strips {
            let rows = if *rows == 1 { "1 row".to_string() } else { format!("{rows} rows") };
            writeln!(
                f,
                "strip     layers {first_layer} to {last_layer} in {turns} turns, {rows} of the last one in each"
            )?;
        }
        write_regions(f, &self.regions)
    }
}
