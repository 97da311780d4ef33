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
        let text = without_tests(text);
        let text = if let Some(folder) = file.strip_suffix("/mod.rs") {
            let _ = writeln!(index, "pub(crate) mod {folder};");
            without_modules(text, folder, &wanted)
        } else {
            if !file.contains('/') {
                let _ = writeln!(index, "pub(crate) mod {};", file.trim_end_matches(".rs"));
            }
            text.to_string()
        };
        files.push(EmittedFile::text(&format!("src/kernels/{file}"), header() + &text));
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

/// The text of `folder/mod.rs` without the modules that are not `wanted`.
fn without_modules(text: &str, folder: &str, wanted: &BTreeSet<String>) -> String {
    let kept = text.lines().filter(|line| {
        let module = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';'));
        module.is_none_or(|module| wanted.contains(&format!("{folder}/{module}.rs")))
    });
    kept.fold(String::new(), |text, line| text + line + "\n")
}

/// The text up to its unit tests.
fn without_tests(text: &str) -> &str {
    match text.find("\n#[cfg(test)]") {
        Some(end) => &text[..end],
        None => text,
    }
}
