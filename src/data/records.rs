//! Fixed-size records without a header: label bytes, then one sample.

use std::path::Path;

use crate::data::{InputContract, InputKind, Layout, Placeless, Samples, file, labels};
use crate::diag::{Diag, Result};

/// The layout of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    /// Bytes before the sample.
    pub label_bytes: usize,
    /// Which of them is the label.
    pub label_byte: usize,
    /// Type of a value.
    pub dtype: InputKind,
    /// `[C, H, W]` or `[H, W, C]`, as `layout` says.
    pub shape: [usize; 3],
    /// Order of the values.
    pub layout: Layout,
}

/// Reads all records of `path`.
pub(super) fn read(path: &Path, record: Record, contract: &InputContract, names: usize) -> Result<Samples> {
    let place = path.display();
    record.layout.check_shape(record.shape, contract).map_err(|d| Box::new(d.at(&place)))?;
    contract_kind(record.dtype, contract).map_err(|d| Box::new(d.at(&place)))?;
    let bytes = file::read(path)?;
    let size = record.label_bytes + contract.len();
    if !bytes.len().is_multiple_of(size) {
        return Diag::new("data/truncated", "file does not end with a whole record")
            .at(format!("{place}, byte {}", bytes.len() / size * size))
            .expected(
                format!("a multiple of {size} bytes ({} of label, {} of data)", record.label_bytes, contract.len()),
                format!("{} bytes", bytes.len()),
            )
            .help("fetch the file again, or correct `shape` and `label_bytes`")
            .err();
    }
    let mut samples = Samples::empty(contract);
    samples.raw.reserve_exact(bytes.len() / size * contract.len());
    let values = bytes.chunks_exact(size).map(|one| i128::from(one[record.label_byte]));
    samples.labels = labels::checked(values, names, "record").map_err(|d| Box::new(d.at(&place)))?;
    for one in bytes.chunks_exact(size) {
        record.layout.append_hwc(&one[record.label_bytes..], contract.shape, &mut samples.raw);
    }
    Ok(samples)
}

/// Fails unless values of `dtype` are what the contract promises the device.
pub(super) fn contract_kind(dtype: InputKind, contract: &InputContract) -> Placeless<()> {
    if dtype == contract.kind {
        return Ok(());
    }
    Err(Diag::new("data/kind", "the data's type is not the input's")
        .expected(contract.kind.name(), dtype.name())
        .help("[input] kind = \"image\" takes u8, kind = \"features\" takes i8"))
}
