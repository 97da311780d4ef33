//! What fratc wrote into a folder, so that it never replaces anybody else's work there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Result;
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// SHA-256 and path of every other file that fratc wrote into a folder, as `sha256sum --check` reads them.
pub(super) const LIST: &str = "fratc/files.sha256";

/// What cargo leaves behind at the top of a crate: made anew by the next build.
const BUILT: [&str; 2] = ["target", "Cargo.lock"];

/// The text of [`LIST`] for a folder of `files`.
pub(super) fn list(files: &[(String, Vec<u8>)]) -> String {
    let mut lines: Vec<(&str, String)> = files.iter().map(|(path, bytes)| (path.as_str(), sha256(bytes))).collect();
    lines.sort_unstable();
    lines.iter().fold(String::new(), |mut text, (path, sum)| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{sum}  {path}");
        text
    })
}

/// The files in `dir` that fratc did not write, or that were changed since, sorted; `None` if fratc did not make it.
pub(super) fn foreign(dir: &Path) -> Result<Option<Vec<String>>> {
    let Ok(text) = fs::read_to_string(dir.join(LIST)) else { return Ok(None) };
    let ours: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.split_once("  ")).map(|(sum, path)| (path, sum)).collect();
    let mut found = Vec::new();
    walk(dir, "", &ours, &mut found)?;
    found.sort_unstable();
    Ok(Some(found))
}

/// Adds what is not of `ours` in the folder `dir`, which is at `prefix` of the whole.
fn walk(dir: &Path, prefix: &str, ours: &BTreeMap<&str, &str>, found: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        if path == LIST || BUILT.contains(&path.as_str()) {
            continue;
        }
        let kind = entry.file_type()?;
        let inside = format!("{path}/");
        if kind.is_dir() && ours.keys().any(|file| file.starts_with(&inside)) {
            walk(&entry.path(), &inside, ours, found)?;
        } else if kind.is_dir() {
            found.push(inside);
        } else if !kind.is_file() || ours.get(path.as_str()).is_none_or(|&sum| sum != hash(&entry.path())) {
            found.push(path);
        }
    }
    Ok(())
}

/// The hash of a file's bytes; of one that cannot be read, that of no file.
fn hash(path: &Path) -> String {
    fs::read(path).map_or_else(|_| String::new(), |bytes| sha256(&bytes))
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
