//! The crate: what a user adds to firmware.
//!
//! In: a verified [`Program`], its [`Plan`] and a [`Target`]. Out: a list of files, the whole of a `no_std` crate
//! without dependencies, allocation, build script or `unsafe` (but for the DSP kernels of the runtime, where the plan
//! has chosen them). Guaranteed: the same arguments give the same
//! bytes everywhere, since nothing but them is read; text is as `rustfmt` leaves it and free of warnings from
//! `rustc` and clippy. Nothing is written: `output` does that.
//!
//! - `names`: identifiers for layers
//! - `text`: literals and the line breaks of `rustfmt`
//! - `layer`: one function per layer, one file per operator
//! - `schedule`: `src/layers.rs`; `bands`: layers that run some rows at a time; `strips`: layers that do so
//!   together
//! - `library`: `src/lib.rs`
//! - `kernels`: `src/kernels/`, copied from the runtime
//! - `bare_metal`: the example, `memory.x` and `.cargo/config.toml`
//! - `manifest`, `readme`, `golden`: the rest
//!
//! Everything that does not depend on the program is a file under `templates/`.

mod bands;
pub mod bare_metal;
mod golden;
mod kernels;
mod layer;
mod library;
mod manifest;
mod names;
mod readme;
mod schedule;
mod strips;
mod text;

pub use golden::Sample;
pub use readme::{Accuracy, Facts, OperatingPoint};

use crate::diag::{Diag, Result};
use crate::plan::Plan;
use crate::qir::Program;
use crate::target::Target;

/// The version that generated files name.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// One file of the crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmittedFile {
    /// Path inside the crate, with `/`.
    pub path: String,
    /// Content.
    pub bytes: Vec<u8>,
}

impl EmittedFile {
    fn text(path: &str, text: impl Into<String>) -> Self {
        Self { path: path.into(), bytes: text.into().into_bytes() }
    }
}

/// What the user may choose about the crate, and what is known about it beside the program.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Adds an empty `[workspace]` table to the manifest: needed below another workspace, wrong inside one.
    pub workspace: bool,
    /// Inputs with the scores of the simulation, for the crate's own tests and example; at least one.
    pub samples: Vec<Sample>,
    /// Measured numbers for the README.
    pub facts: Facts,
}

/// The name of each layer's function in `src/layers.rs`.
pub fn layer_functions(program: &Program) -> Vec<String> {
    names::layer_names(program)
}

/// Emits the crate of `program`, sorted by path.
///
/// # Errors
/// Those of [`Program::verify`]; `plan/invalid` if `plan` is not a plan of `program`; `emit/name` if a target of
/// the crate has the program's name; `emit/sample` if there is no golden sample or one has not the program's sizes.
pub fn emit(program: &Program, plan: &Plan, target: &Target, options: &Options) -> Result<Vec<EmittedFile>> {
    program.verify()?;
    plan.verify(program)?;
    check(program, options)?;
    let names = names::layer_names(program);
    let schedule = schedule::schedule(program, plan, &names);
    let mut files = vec![
        manifest::manifest(program, plan, options),
        readme::readme(program, plan, target, &options.facts),
        library::library(program, plan),
        EmittedFile::text("src/layers.rs", schedule.text),
        EmittedFile::text("examples/infer.rs", bare_metal::infer_rs(&program.name)),
        EmittedFile::text("examples/infer/bare_metal.rs", bare_metal::bare_metal_rs()),
        EmittedFile::text("memory.x", bare_metal::memory_x(target)),
        EmittedFile::text(".cargo/config.toml", bare_metal::cargo_config(target)),
    ];
    files.extend(schedule.tables);
    files.extend(kernels::kernels(&schedule.kernels));
    files.extend(golden::golden(program, &options.samples));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Refuses names that a crate cannot have.
pub fn check_name(name: &str) -> Result<()> {
    if names::is_taken(name) {
        return Diag::new("emit/name", format!("a crate cannot be called `{name}`"))
            .help("a target of the crate or of Rust has this name; choose another --out")
            .err();
    }
    Ok(())
}

/// What the emitter asks beyond the program's own invariants.
fn check(program: &Program, options: &Options) -> Result<()> {
    let place = format!("program `{}`", program.name);
    check_name(&program.name)?;
    let scores = program.tensor(program.output).shape.len();
    if options.samples.is_empty() {
        return Diag::new("emit/sample", "there is no golden sample").at(place).expected("at least 1", 0).err();
    }
    let input = program.tensor(program.input()).shape.len();
    for (index, sample) in options.samples.iter().enumerate() {
        if sample.input.len() != input || sample.scores.len() != scores {
            return Diag::new("emit/sample", "a golden sample has not the program's sizes")
                .at(format!("sample {index}"))
                .expected(
                    format!("{input} bytes of input and {scores} scores"),
                    format!("{} and {}", sample.input.len(), sample.scores.len()),
                )
                .err();
        }
    }
    Ok(())
}
