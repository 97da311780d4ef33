//! What a command reads is never what it writes.

use std::path::Path;

use crate::data::Case;
use crate::diag::{Diag, Result};

/// Refuses to write to `out` where that is one of `read`, or a file that a case file among them names.
pub(super) fn spare<'a>(out: &Path, read: impl IntoIterator<Item = &'a Path>) -> Result<()> {
    let file = out.canonicalize().ok();
    let same = |path: &Path| path == out || (file.is_some() && path.canonicalize().ok() == file);
    for path in read {
        let is_case = path.is_file() && path.extension().is_some_and(|e| e == "toml");
        // What is wrong with a case file is said where it is opened.
        let case = is_case.then(|| Case::load(path).ok()).flatten();
        let lost = same(path) || case.is_some_and(|case| case.files().into_iter().any(same));
        if lost {
            return Diag::new("output/is-input", "the file to write is one that is read")
                .at(out.display())
                .help("choose another name: the file would be lost")
                .err();
        }
    }
    Ok(())
}
