//! Access to the optional pack of real networks and images beside the repository, and loud skipping.

use std::io::Write as _;
use std::path::PathBuf;

/// Says that a test, or a part of it, did not run. The harness captures what `eprintln!` prints in a test that
/// passes; this it does not.
pub fn skipped(why: &str) {
    tell(&format!("SKIPPED: {why}"));
}

/// Prints a line of a measurement, or of what a passing test should say all the same.
pub fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The path of `name` in the pack, or `None` with a loud line on stderr when there is no pack.
///
/// The pack is looked for in `FRATC_SHARED`, else in `shared` beside the repository.
pub fn shared(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("FRATC_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join("shared"), PathBuf::from);
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    skipped(&format!("{} is not there; this test needs the pack of real networks and images", path.display()));
    None
}
