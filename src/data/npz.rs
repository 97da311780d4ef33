//! NumPy archives: a zip file with one array of images and one of labels.

use std::io::{Cursor, Read};
use std::path::Path;

use npyz::npz::NpzArchive;

use crate::data::{InputContract, Layout, Samples, file, npy};
use crate::diag::{Diag, Result};

/// Array names that are looked for when the case file gives none.
const KEYS: [(&str, &str); 2] = [("x", "y"), ("images", "labels")];

/// Reads the arrays `names`, or the first pair of [`KEYS`] that is there.
pub(super) fn read(
    path: &Path,
    arrays: Option<&(String, String)>,
    layout: Layout,
    contract: &InputContract,
    names: usize,
) -> Result<Samples> {
    let place = path.display();
    let bytes = file::read(path)?;
    let mut archive =
        NpzArchive::new(Cursor::new(&bytes[..])).map_err(|e| Box::new(damaged(&e.to_string()).at(&place)))?;
    let mut present: Vec<String> = archive.array_names().map(str::to_owned).collect();
    present.sort();
    let has = |name: &str| present.iter().any(|p| p == name);
    let pair = match arrays {
        Some((x, y)) => has(x).then_some((x.as_str(), y.as_str())).filter(|_| has(y)),
        None => KEYS.into_iter().find(|(x, y)| has(x) && has(y)),
    };
    let Some((x, y)) = pair else {
        let want = arrays
            .map_or_else(|| "`x` and `y`, or `images` and `labels`".to_owned(), |(x, y)| format!("`{x}` and `{y}`"));
        return Diag::new("data/npz-arrays", "archive does not hold the arrays")
            .at(place)
            .expected(want, format!("arrays {}", present.join(", ")))
            .help("name them: images = \"…\", labels = \"…\"")
            .err();
    };
    let mut entry = |name: &str| -> Result<Vec<u8>> {
        let fail = |e: String| Box::new(damaged(&e).at(format!("{place}, array {name}")));
        let file = archive.zip_archive().by_name(&format!("{name}.npy")).map_err(|e| fail(e.to_string()))?;
        let mut out = Vec::new();
        file.take(file::MAX_BYTES).read_to_end(&mut out).map_err(|e| fail(e.to_string()))?;
        Ok(out)
    };
    let (x_bytes, y_bytes) = (entry(x)?, entry(y)?);
    let parsed =
        |name: &str, bytes| npy::parse(bytes).map_err(|d: Diag| Box::new(d.at(format!("{place}, array {name}"))));
    npy::samples(&parsed(x, &x_bytes)?, &parsed(y, &y_bytes)?, layout, contract, names)
        .map_err(|d| Box::new(d.at(place)))
}

fn damaged(why: &str) -> Diag {
    Diag::new("data/npz", format!("NumPy archive is damaged ({why})")).help("save it again with numpy.savez")
}
