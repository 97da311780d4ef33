//! The boards fratc knows.

use serde::Serialize;

use crate::diag::Result;
use crate::report::SCHEMA;
use crate::target::Target;

/// What `targets --json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct Targets {
    /// Layout version.
    pub schema: u32,
    /// Every shipped target, by name.
    pub targets: Vec<TargetRow>,
}

/// One row of `fratc targets`.
#[derive(Debug, Clone, Serialize)]
pub struct TargetRow {
    /// Name for `--target`.
    pub name: String,
    /// What it is.
    pub description: String,
    /// Rust target triple.
    pub rust_target: String,
    /// Flash bytes for the program.
    pub flash_bytes: u64,
    /// RAM bytes for the program.
    pub ram_bytes: u64,
    /// QEMU machine that runs its code.
    pub qemu: Option<String>,
}

/// Every shipped target, by name.
pub fn targets() -> Result<Targets> {
    let row = |t: Target| TargetRow {
        flash_bytes: t.flash_bytes(),
        ram_bytes: t.ram_bytes(),
        qemu: t.qemu.as_ref().map(|q| q.machine.clone()),
        name: t.name,
        description: t.description,
        rust_target: t.rust_target.triple().to_string(),
    };
    Ok(Targets { schema: SCHEMA, targets: Target::list()?.into_iter().map(row).collect() })
}
