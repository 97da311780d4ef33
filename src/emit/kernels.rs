//! `src/kernels/`: the runtime's kernels that the program uses, as they are, under a header.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::EmittedFile;
use fratc_runtime::sources::{SOURCES, requirements};

/// The files of the modules `named` by the schedule, of `argmax`, and of all that these use.
pub(super) fn kernels(named: &BTreeSet<&'static str>) -> Vec<EmittedFile> {
    let mut wanted: BTreeSet<String> = named.iter().map(|name| format!("{name}.rs")).collect();
    wanted.insert("argmax.rs".into());
    let mut open: Vec<String> = wanted.iter().cloned().collect();
    while let Some(file) = open.pop() {
        for &needed in requirements(&file) {
            if wanted.insert(needed.to_string()) {
                open.push(needed.to_string());
            }
        }
    }
    let mut index = format!(
        "//! int8 kernels, copied from fratc-runtime {}: only those that the network uses.\n//!\n//! Tensors are `i8`, `[H, W, C]`, channel fastest. No kernel allocates or panics, whatever its arguments.\n\n",
        fratc_runtime::VERSION
    );
    let mut files = Vec::new();
    for (file, text) in SOURCES.iter().filter(|(file, _)| wanted.contains(*file)) {
        let _ = writeln!(index, "pub(crate) mod {};", file.trim_end_matches(".rs"));
        files.push(EmittedFile::text(&format!("src/kernels/{file}"), format!("{}{}", header(), without_tests(text))));
    }
    files.push(EmittedFile::text("src/kernels/mod.rs", index));
    files
}

fn header() -> String {
    format!(
        "// Copied from fratc-runtime {}. SPDX-License-Identifier: MIT OR Apache-2.0\n// Do not edit: `fratc` writes this file anew.\n\n",
        fratc_runtime::VERSION
    )
}

/// The text up to its unit tests.
fn without_tests(text: &str) -> &str {
    match text.find("\n#[cfg(test)]") {
        Some(end) => &text[..end],
        None => text,
    }
}
