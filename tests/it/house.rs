//! House rules that no lint knows, held by reading the repository's own files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Longer files are two things.
const MOST_LINES: usize = 600;

/// Folders of the repository whose text files must not name a place on one machine.
const SOURCES: [&str; 5] = ["src", "runtime", "examples", "targets", "tests"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn collect(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("folder of the repository") {
        let path = entry.expect("entry").path();
        let hidden = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.') || n == "target");
        if path.is_dir() && !hidden {
            collect(&path, out);
        } else if path.is_file() {
            out.push(path);
        }
    }
}

/// Path from the root and text of every text file below `folders`, in order of path.
fn texts(folders: &[&str]) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for folder in folders {
        collect(&root().join(folder), &mut files);
    }
    files.sort();
    let name = |path: &Path| path.strip_prefix(root()).expect("inside").to_string_lossy().replace('\\', "/");
    files.iter().filter_map(|path| Some((name(path), fs::read_to_string(path).ok()?))).collect()
}

fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|e| e == "rs")
}

/// Asserts that no file breaks the rule; `broken` says where, if it does.
fn hold(rule: &str, files: &[(String, String)], broken: impl Fn(&str, &str) -> Option<String>) {
    assert!(!files.is_empty(), "{rule}: no files were read");
    let wrong: Vec<String> =
        files.iter().filter_map(|(path, text)| Some(format!("{path}: {}", broken(path, text)?))).collect();
    assert!(wrong.is_empty(), "{rule}:\n{}", wrong.join("\n"));
}

/// The first line of `text` that holds one of `words`.
fn line_with(text: &str, words: &[String]) -> Option<String> {
    let found = |line: &str| words.iter().any(|word| line.contains(word.as_str()));
    let (i, line) = text.lines().enumerate().find(|(_, line)| found(line))?;
    Some(format!("line {}: {}", i + 1, line.trim()))
}

#[test]
fn no_file_is_two_things() {
    hold("files are short", &texts(&["src", "runtime/src"]), |path, text| {
        let lines = text.lines().count();
        (is_rust(path) && lines > MOST_LINES).then(|| format!("{lines} lines, at most {MOST_LINES}"))
    });
}

#[test]
fn every_module_says_what_it_is_for() {
    hold("modules open with their documentation", &texts(&["src", "runtime/src"]), |path, text| {
        let module = is_rust(path) && !path.contains("/templates/");
        (module && !text.starts_with("//!")).then(|| "does not open with `//!`".into())
    });
}

/// The repository builds and is published without the pack of real networks.
#[test]
fn only_tests_know_the_pack_beside_the_repository() {
    let mut files = texts(&["src", "runtime", "examples", "targets"]);
    files.push(("Cargo.toml".into(), fs::read_to_string(root().join("Cargo.toml")).expect("manifest")));
    hold("no path leaves the repository", &files, |_, text| line_with(text, &["../shared".into()]));
}

#[test]
fn no_file_names_a_machine() {
    // Put together here, so that this file does not break its own rule.
    let places = ["home", "root", "work", "Users", "mnt"]
        .map(|dir| [" ", "\"", "`", "'", "=", "("].map(|before| format!("{before}/{dir}/")));
    hold("no file names a place on one machine", &texts(&SOURCES), |_, text| line_with(text, places.as_flattened()));
}

/// A snapshot is named by the test that writes it, or by the emitted program and file that it holds.
#[test]
fn every_snapshot_is_compared_with() {
    let tests = texts(&["tests/it"]);
    let programs: BTreeSet<String> = crate::programs::all().into_iter().map(|program| program.name).collect();
    hold("every snapshot has its test", &texts(&["tests/snapshots"]), |path, _| {
        let name = path.rsplit('/').next().and_then(|file| file.strip_suffix(".snap"));
        let Some(name) = name else { return Some("not a snapshot".into()) };
        let of_program = |rest: &str| programs.iter().any(|program| rest.starts_with(&format!("{program}_")));
        let used = match name.strip_prefix("emit__") {
            Some(rest) => of_program(rest),
            None => name.rsplit("__").next().is_some_and(|last| tests.iter().any(|(_, text)| text.contains(last))),
        };
        (!used).then(|| "no test names it".into())
    });
}

#[test]
fn a_broken_rule_is_seen() {
    assert_eq!(line_with("a\n  b c\n", &["b".into()]).as_deref(), Some("line 2: b c"));
    assert_eq!(line_with("a\n", &["b".into()]), None);
}
