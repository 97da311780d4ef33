//! `Cargo.toml`.

use super::text::fill;
use super::{EmittedFile, Options, VERSION};
use crate::plan::Plan;
use crate::qir::Program;

pub(super) fn manifest(program: &Program, plan: &Plan, options: &Options) -> EmittedFile {
    let text = fill(
        include_str!("templates/Cargo.toml"),
        &[
            ("version", VERSION),
            ("name", &program.name),
            ("classes", &program.classes.len().to_string()),
            ("features", if plan.uses_dsp() { include_str!("templates/features.toml") } else { "" }),
        ],
    );
    let workspace =
        if options.workspace { "\n# Stands alone, even below another workspace.\n[workspace]\n" } else { "" };
    EmittedFile::text("Cargo.toml", text + workspace)
}
