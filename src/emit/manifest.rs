//! `Cargo.toml`.

use super::text::fill;
use super::{EmittedFile, Options, VERSION};
use crate::plan::{Family, Plan};
use crate::qir::Program;

/// The feature that turns a family's assembly on.
fn features(family: Family) -> String {
    let what = match family {
        Family::Dsp => "DSP instructions",
        Family::Mve => "Vector instructions",
        Family::V7m | Family::V6m => "Assembly",
    };
    let text = fill(include_str!("templates/features.toml"), &[("family", family.feature()), ("what", what)]);
    match family {
        Family::V7m | Family::V6m => text + include_str!("templates/lints_scalar.toml"),
        Family::Dsp | Family::Mve => text,
    }
}

pub(super) fn manifest(program: &Program, plan: &Plan, options: &Options) -> EmittedFile {
    let text = fill(
        include_str!("templates/Cargo.toml"),
        &[
            ("version", VERSION),
            ("name", &program.name),
            ("classes", &program.classes.len().to_string()),
            ("features", &plan.family().map_or_else(String::new, features)),
        ],
    );
    let workspace =
        if options.workspace { "\n# Stands alone, even below another workspace.\n[workspace]\n" } else { "" };
    EmittedFile::text("Cargo.toml", text + workspace)
}
