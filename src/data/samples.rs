//! Raw samples with their labels.

use sha2::{Digest, Sha256};

use crate::data::{InputContract, InputKind};
use crate::diag::{Diag, Result};

/// Samples as the device gets them.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Samples {
    /// `[H, W, C]` of each sample.
    pub shape: [usize; 3],
    /// How a byte is read.
    pub kind: InputKind,
    /// One sample after the other, each `[H, W, C]`; signed values as their bits.
    pub raw: Vec<u8>,
    /// One class index per sample.
    pub labels: Vec<u32>,
}

impl Samples {
    /// No samples yet, in the contract's shape.
    pub fn empty(contract: &InputContract) -> Self {
        Self { shape: contract.shape, kind: contract.kind, raw: Vec::new(), labels: Vec::new() }
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Bytes per sample, `H·W·C`.
    pub fn sample_bytes(&self) -> usize {
        self.shape.iter().product()
    }

    /// The bytes of sample `i`, `[H, W, C]`.
    pub fn sample(&self, i: usize) -> &[u8] {
        let bytes = self.sample_bytes();
        &self.raw[i * bytes..(i + 1) * bytes]
    }

    /// The samples of `indices`, in that order.
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        Self {
            shape: self.shape,
            kind: self.kind,
            raw: indices.iter().flat_map(|&i| self.sample(i)).copied().collect(),
            labels: indices.iter().map(|&i| self.labels[i]).collect(),
        }
    }

    /// Indices of the samples of one class, in order.
    pub fn of_class(&self, class: usize) -> Vec<usize> {
        (0..self.len()).filter(|&i| self.labels[i] as usize == class).collect()
    }

    /// Samples per class, for `classes` classes.
    pub fn per_class(&self, classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        for &label in &self.labels {
            if let Some(count) = counts.get_mut(label as usize) {
                *count += 1;
            }
        }
        counts
    }

    /// Fails unless each of `classes` has a sample; names every class that has none.
    pub fn require_classes(&self, classes: &[usize], label_names: &[String]) -> Result<()> {
        let counts = self.per_class(label_names.len());
        let missing: Vec<&str> = classes
            .iter()
            .filter(|&&class| counts.get(class).is_none_or(|&n| n == 0))
            .map(|&class| label_names.get(class).map_or("?", String::as_str))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Diag::new("data/class-without-samples", format!("no samples of class {}", missing.join(", ")))
            .expected("at least one sample of every wanted class", format!("none among {} samples", self.len()))
            .help("add samples of it to the calibration data, or leave the class out")
            .err()
    }

    /// SHA-256 of shape, kind, labels and bytes, in lower-case hex.
    pub fn sha256(&self) -> String {
        let mut hash = digest(self.kind, self.shape, &self.labels);
        hash.update(&self.raw);
        hex(&hash.finalize())
    }
}

/// The hash of samples before their bytes are added.
pub(super) fn digest(kind: InputKind, shape: [usize; 3], labels: &[u32]) -> Sha256 {
    let mut hash = Sha256::new();
    hash.update(kind.name());
    for d in shape {
        hash.update((d as u64).to_le_bytes());
    }
    for label in labels {
        hash.update(label.to_le_bytes());
    }
    hash
}

/// Lower-case hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [b >> 4, b & 15]).map(|d| char::from(DIGITS[usize::from(d)])).collect()
}
