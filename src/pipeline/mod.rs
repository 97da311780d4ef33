//! One function per command, joining the stages.
//!
//! In: options as plain structs. Out: plain data ([`crate::report`]) or files written whole through
//! [`crate::output`]. What is going on is told to a [`Progress`]; nothing here prints or reads the clock.

mod accuracy;
mod adapt;
mod add_class;
mod assemble;
mod assembly;
pub(crate) mod attribute;
mod bench;
mod build;
pub(crate) mod calibration;
mod command;
mod components;
pub(crate) mod cutter;
mod demo;
mod device;
mod emit;
pub(crate) mod finetune;
mod firmware;
mod flash;
mod held_out;
mod inputs;
mod inspect;
mod joint;
mod judge;
pub(crate) mod lesson;
mod libraries;
mod limits;
mod memory;
mod meter;
mod part;
mod plan;
mod progress;
pub(crate) mod quantize;
mod readout;
mod reject;
mod route;
pub(crate) mod score;
pub(crate) mod scratch;
mod simplify;
mod source;
mod subject;
mod targets;
mod together;
mod transfer;
mod verify;
mod views;
pub(crate) mod widths;

pub use crate::attribute::{Links, Method, Shard};
pub use crate::device::Place;
pub use crate::plan::{Optimize, Options as PlanChoice};
pub use adapt::Fit;
pub use add_class::{AddClassOptions, AddClassSummary, AddedAccuracy, add_class};
pub use assemble::{AssembleOptions, Summary as AssembleSummary, assemble, assemble_from};
pub use attribute::{AttributeOptions, AttributeSummary, attribute, merge};
pub use bench::{BenchOptions, Benched, bench};
pub use build::{BuildOptions, Outcome, build, build_from, build_source};
pub use components::{ComponentsOptions, components};
pub use demo::{DemoOptions, demo};
pub use device::{DeviceSummary, DeviceVerifyOptions, verify_device};
pub use emit::{EmitOptions, emit};
pub use finetune::{FinetuneOptions, finetune};
pub use flash::{FlashOptions, FlashSummary, flash};
pub use inspect::inspect;
pub use joint::open as open_joint;
pub use limits::{ByteLimit, Limits, MacLimit};
pub use part::{From, HeadScale, Part};
pub use plan::{PlanOptions, Planned, plan};
pub use progress::{Progress, Silent};
pub use quantize::{QuantizeOptions, quantize};
pub use reject::{Point, RejectOptions, Share};
pub use route::{Cut, RouteOptions, Wanted, cut};
pub use source::Source;
pub use subject::SubjectOptions;
pub use targets::{TargetRow, Targets, targets};
pub use transfer::{TransferOptions, transfer};
pub use verify::{VerifyOptions, verify};

pub use crate::firmware::Style as FirmwareStyle;

/// Ends the programs that were started and removes everything half-written, right before the process ends.
pub fn abandon() {
    crate::verify::stop_all();
    crate::output::abandon();
}
