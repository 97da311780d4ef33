//! Fixed-size records without a header: label bytes, then one sample.

use std::path::Path;

use crate::data::{InputContract, InputKind, Layout, Placeless, Samples, file, labels};
use crate::diag::{Diag, Result};

/// The layout of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Bytes before each sample.
    pub label_bytes: usize,
    /// Which of them is the label, from 0; CIFAR-100 has the coarse label at 0 and the fine one at 1.
    pub label_byte: usize,
    /// Type of a value.
    pub dtype: InputKind,
    /// `[C, H, W]` or `[H, W, C]`, as `layout` says.
    pub shape: [usize; 3],
    /// Order of a sample's values.
    pub layout: Layout,
}

impl Record {
    /// Fails unless the records of `path` are samples of `contract`.
    pub(super) fn check(&self, path: &Path, contract: &InputContract) -> Result<()> {
        let shape = self.layout.check_shape(self.shape, contract);
        shape.and_then(|()| contract_kind(self.dtype, contract)).map_err(|d| Box::new(d.at(path.display())))
    }

    /// Bytes of one record.
    pub(super) fn bytes(&self, contract: &InputContract) -> usize {
        self.label_bytes + contract.len()
    }

    /// Appends the sample of the record `bytes` to `out`, channels fastest.
    pub(super) fn append(&self, bytes: &[u8], contract: &InputContract, out: &mut Vec<u8>) {
        self.layout.append_hwc(&bytes[self.label_bytes..], contract.shape, out);
    }
}

/// Reads all records of `path`.
pub(super) fn read(path: &Path, record: Record, contract: &InputContract, names: usize) -> Result<Samples> {
    let place = path.display();
    record.check(path, contract)?;
    let bytes = file::read(path)?;
    check_length(path, bytes.len() as u64, record, contract)?;
    let size = record.bytes(contract);
    let mut samples = Samples::empty(contract);
    samples.raw.reserve_exact(bytes.len() / size * contract.len());
    let values = bytes.chunks_exact(size).map(|one| i128::from(one[record.label_byte]));
    samples.labels = labels::checked(values, names, "record").map_err(|d| Box::new(d.at(&place)))?;
    for one in bytes.chunks_exact(size) {
        record.append(one, contract, &mut samples.raw);
    }
    Ok(samples)
}

/// Fails unless `path`, of `length` bytes, is made of whole records.
pub(super) fn check_length(path: &Path, length: u64, record: Record, contract: &InputContract) -> Result<()> {
    let size = record.bytes(contract) as u64;
    if length.is_multiple_of(size) {
        return Ok(());
    }
    Diag::new("data/truncated", "file does not end with a whole record")
        .at(format!("{}, byte {}", path.display(), length / size * size))
        .expected(
            format!("a multiple of {size} bytes ({} of label, {} of data)", record.label_bytes, contract.len()),
            format!("{length} bytes"),
        )
        .help("fetch the file again, or correct `shape` and `label_bytes`")
        .err()
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
