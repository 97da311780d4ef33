//! What a network takes of a board's memories, by region and by layer; measured or predicted.

use std::fmt;

use serde::Serialize;

use super::text::grouped;

/// One memory of the board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Region {
    /// The target's name for it.
    pub name: String,
    /// Bytes that firmware may use.
    pub size_bytes: u64,
    /// Bytes taken.
    pub used_bytes: u64,
    /// Bytes left; 0 if too much is taken.
    pub left_bytes: u64,
}

impl Region {
    /// A memory of `size_bytes` of which so much is taken.
    pub fn new(name: &str, size_bytes: u64, used_bytes: u64) -> Self {
        Self { name: name.to_string(), size_bytes, used_bytes, left_bytes: size_bytes.saturating_sub(used_bytes) }
    }
}

/// What belongs to one layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerMemory {
    /// Name in the model.
    pub name: String,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Bytes of weights.
    pub weights_bytes: u64,
    /// Bytes of its other constants.
    pub tables_bytes: u64,
    /// Bytes of code that would go with it: its function, and kernels that no other layer runs. `null` if nothing is known.
    pub code_bytes: Option<u64>,
    /// Bytes of the arena that hold something while it runs: tensors and scratch memory.
    pub arena_bytes: u64,
}

impl LayerMemory {
    /// Bytes of flash that would go with it.
    pub fn flash_bytes(&self) -> u64 {
        self.weights_bytes + self.tables_bytes + self.code_bytes.unwrap_or(0)
    }

    /// Its share of the flash, in words.
    pub fn blame(&self, total: u64) -> String {
        let percent = 100.0 * self.flash_bytes() as f64 / total.max(1) as f64;
        format!(
            "layer `{}` takes most: {} of {total} bytes ({percent:.0} %), {} of them weights",
            self.name,
            self.flash_bytes(),
            self.weights_bytes
        )
    }
}

/// The table of `layers`, and what they share.
pub(super) fn write_layers(f: &mut fmt::Formatter<'_>, layers: &[LayerMemory], shared: Option<u64>) -> fmt::Result {
    let wide = layers.iter().map(|layer| layer.name.chars().count()).max().unwrap_or(0).max(11);
    writeln!(
        f,
        "  {:wide$}  {:>12}  {:>9}  {:>9}  {:>9}  {:>9}",
        "layer", "MACs", "weights B", "tables B", "code B", "arena B"
    )?;
    let known = |bytes: Option<u64>| bytes.map_or_else(|| "-".into(), grouped);
    for layer in layers {
        writeln!(
            f,
            "  {:wide$}  {:>12}  {:>9}  {:>9}  {:>9}  {:>9}",
            layer.name,
            grouped(layer.macs),
            grouped(layer.weights_bytes),
            grouped(layer.tables_bytes),
            known(layer.code_bytes),
            grouped(layer.arena_bytes)
        )?;
    }
    writeln!(f, "  {:wide$}  {:>12}  {:>9}  {:>9}  {:>9}", "shared code", "", "", "", known(shared))
}

/// A line for each memory.
pub(super) fn write_regions(f: &mut fmt::Formatter<'_>, regions: &[Region]) -> fmt::Result {
    for Region { name, size_bytes, used_bytes, left_bytes } in regions {
        let (used, size, left) = (grouped(*used_bytes), grouped(*size_bytes), grouped(*left_bytes));
        writeln!(f, "  {name:12} {used:>11} of {size:>11} B used, {left:>11} left")?;
    }
    Ok(())
}
