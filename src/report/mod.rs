//! Everything measured, as plain data: the JSON of `--json` (schema 1) and the text for people.
//!
//! A part that was not run is `null`, never a made-up number. Accuracies are fractions 0..1, sizes are bytes.

mod bench;
mod build;
mod components;
mod memory;
mod plan;
mod text;
mod transfer;

pub use bench::{Bench, BenchCompared, BenchLayer, Change, LayerChange};
pub use build::*;
pub use components::*;
pub use memory::{LayerMemory, Region};
pub use plan::{PlanCandidate, PlanLayer, PlanReport, PlanStrip, PlanTensor};
pub use transfer::{Scratch, Transfer, TransferReport};
