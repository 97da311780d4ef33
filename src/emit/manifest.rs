//! `Cargo.toml`.

use super::text::fill;
use super::{EmittedFile, Options, VERSION};
use crate::qir::Program;

pub(super) fn manifest(program: &Program, options: &Options) -> EmittedFile {
    let text = fill(
        include_str!("templates/Cargo.toml"),
        &[("version", VERSION), ("name", &program.name), ("classes", &program.classes.len().to_string())],
    );
    let workspace =
        if options.workspace { "\n# Stands alone, even below another workspace.\n[workspace]\n" } else { "" };
    EmittedFile::text("Cargo.toml", text + workspace)
}
