//! Label names, one a line.

use std::collections::BTreeMap;
use std::path::Path;

use crate::data::{Placeless, file};
use crate::diag::{Diag, Result};

/// The names in `path`; the line number, from 0, is the label. Blank lines at the end are ignored.
pub(super) fn read(path: &Path) -> Result<Vec<String>> {
    let bytes = file::read(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|e| {
        Box::new(Diag::new("data/labels", "labels file is not UTF-8 text").at(format!(
            "{}, byte {}",
            path.display(),
            e.valid_up_to()
        )))
    })?;
    let names: Vec<String> =
        text.trim_start_matches('\u{feff}').trim_end().lines().map(|line| line.trim().to_owned()).collect();
    check(&names).map_err(|d| Box::new(d.at(path.display())))?;
    Ok(names)
}

/// Names must be there, not blank, on one line and all different.
pub(super) fn check(names: &[String]) -> Placeless<()> {
    if names.is_empty() || (names.len() == 1 && names[0].is_empty()) {
        return Err(Diag::new("data/labels", "there are no label names"));
    }
    let mut seen = BTreeMap::new();
    for (i, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(Diag::new("data/labels", format!("label {i} has no name"))
                .help("write one name a line without blank lines between"));
        }
        if name.contains(char::is_control) {
            return Err(Diag::new("data/labels", format!("label {i} is more than one line of text"))
                .expected("a name without control characters", format!("{name:?}")));
        }
        if let Some(first) = seen.insert(name, i) {
            return Err(Diag::new("data/labels", format!("labels {first} and {i} are both named `{name}`")));
        }
    }
    Ok(())
}

/// The `values` as labels; fails unless every one has a name. `item` is what a label belongs to, for the error.
pub(super) fn checked(values: impl IntoIterator<Item = i128>, names: usize, item: &str) -> Placeless<Vec<u32>> {
    let check = |(i, value): (usize, i128)| {
        let label = u32::try_from(value).ok().filter(|&label| (label as usize) < names);
        label.ok_or_else(|| {
            Diag::new("data/label-range", format!("{item} {i} has a label without a name"))
                .expected(format!("a label from 0 to {}, one for each label name", names.saturating_sub(1)), value)
                .help("check the labels file, and that the data belongs to this model")
        })
    };
    values.into_iter().enumerate().map(check).collect()
}
