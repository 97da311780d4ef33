//! Boards and chips: a TOML file → [`Target`].
//!
//! In: the name of a shipped board (`targets/*.toml`, built into the program) or the path of a user's own file
//! of the same schema (`targets/README.md`). Out: a [`Target`] that passed every check of `read.rs`; or one
//! error that lists all problems with line and column. [`check_fit`] answers whether a program fits a target.
//!
//! Guaranteed of every [`Target`]: at least one flash and one RAM region, none empty, none overlapping, none
//! past 4 GiB; exactly one code region and one arena region; a Rust target that the core can run and whose
//! float ABI its FPU has.

mod file;
mod fit;
mod model;
mod read;
mod regions;
mod shipped;

use std::path::Path;

pub use fit::{Needs, check_fit};
pub use model::{BootBlock, Core, Fpu, Image, Qemu, Region, RustTarget, STACK_AND_STATICS, Target};

use crate::diag::{Diag, Result};

impl Target {
    /// The target called `name_or_path`: a shipped board's name, or the path of a TOML file (anything with a
    /// path separator or the ending `.toml`).
    ///
    /// # Errors
    /// `target/unknown` (with the nearest names), `target/read`, and those of [`Target::parse`].
    pub fn load(name_or_path: &str) -> Result<Self> {
        if let Some((file, text)) = shipped::find(name_or_path) {
            return Self::parse(text, file);
        }
        let path = Path::new(name_or_path);
        let looks_like_path = path.components().count() > 1 || path.extension().is_some_and(|e| e == "toml");
        if !looks_like_path {
            return unknown(name_or_path);
        }
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, name_or_path),
            Err(error) => Diag::new("target/read", format!("cannot read the target file: {error}"))
                .at(name_or_path)
                .help("give the name of a shipped board (`fratc targets` lists them) or the path of a TOML file")
                .err(),
        }
    }

    /// Reads a target from the text of a TOML file; `file` is what errors call it.
    ///
    /// # Errors
    /// `target/syntax` (not TOML, unknown or missing field, wrong type) or the code of the first check that
    /// failed, its message listing every one with line and column.
    pub fn parse(text: &str, file: &str) -> Result<Self> {
        read::read(text, file)
    }

    /// All shipped targets, by name.
    ///
    /// # Errors
    /// None for the files in this repository: a test reads each.
    pub fn list() -> Result<Vec<Self>> {
        shipped::FILES.iter().map(|(file, text)| Self::parse(text, file)).collect()
    }

    /// Names of the shipped targets, in order.
    pub fn names() -> impl Iterator<Item = &'static str> {
        shipped::FILES.iter().map(|(file, _)| shipped::name(file))
    }
}

fn unknown<T>(name: &str) -> Result<T> {
    let mut near: Vec<(usize, &str)> =
        Target::names().map(|n| (strsim::damerau_levenshtein(&name.to_lowercase(), n), n)).collect();
    near.sort_unstable();
    let best: Vec<&str> = near
        .iter()
        .filter(|(distance, n)| *distance <= 3 || n.contains(&name.to_lowercase()) && name.len() >= 2)
        .map(|(_, n)| *n)
        .take(3)
        .collect();
    let help = if best.is_empty() {
        "`fratc targets` lists the boards; the path of a TOML file works too".to_string()
    } else {
        format!("did you mean {}? `fratc targets` lists the boards; the path of a TOML file works too", best.join(", "))
    };
    Diag::new("target/unknown", format!("no target is called '{name}'")).help(help).err()
}
