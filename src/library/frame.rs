//! What fratc's own files have around their table: a name, a version, a length and a checksum.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | what the file is |
//! | 2 | format version, little-endian |
//! | 8 | length of the payload, little-endian |
//! | 32 | SHA-256 of the payload |
//! | rest | the table in postcard's format |

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::diag::{Diag, Result};

/// Bytes before the payload.
const HEADER: usize = 8 + 2 + 8 + 32;

/// One kind of file.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// Its first bytes.
    pub magic: [u8; 8],
    /// Version of the table's layout.
    pub version: u16,
    /// What to call it.
    pub what: &'static str,
    /// What to do about a bad one.
    pub help: &'static str,
    /// The command that writes one.
    pub made_by: &'static str,
}

impl Frame {
    /// Writes `table` to `path`, whole or not at all.
    pub fn save<T: Serialize>(&self, table: &T, path: &Path) -> Result<()> {
        crate::output::write_file(path, &self.seal(table)?)
    }

    /// Reads the table of `path`; one that `check` refuses is damaged.
    pub fn load<T: DeserializeOwned>(&self, path: &Path, check: impl Fn(&T) -> Result<()>) -> Result<T> {
        let bytes = std::fs::read(path).map_err(|e| {
            Diag::new("library/read", format!("cannot read the {}: {e}", self.what))
                .at(path.display())
                .help(format!("write one with {}", self.made_by))
        })?;
        self.unseal(&bytes, check).map_err(|d| Box::new(d.at(path.display())))
    }

    pub(super) fn seal<T: Serialize>(&self, table: &T) -> Result<Vec<u8>> {
        let payload = postcard::to_stdvec(table)
            .map_err(|e| Diag::new("library/encode", format!("cannot encode the {}: {e}", self.what)))?;
        let mut bytes = Vec::with_capacity(HEADER + payload.len());
        bytes.extend(self.magic);
        bytes.extend(self.version.to_le_bytes());
        bytes.extend((payload.len() as u64).to_le_bytes());
        bytes.extend(Sha256::digest(&payload));
        bytes.extend(payload);
        Ok(bytes)
    }

    pub(super) fn unseal<T: DeserializeOwned>(
        &self,
        bytes: &[u8],
        check: impl Fn(&T) -> Result<()>,
    ) -> std::result::Result<T, Diag> {
        let header = || self.truncated(HEADER as u64, bytes.len());
        let rest = bytes.strip_prefix(&self.magic).ok_or_else(|| {
            if self.magic.starts_with(bytes) {
                header()
            } else {
                Diag::new("library/not-a-frat", format!("not a {}", self.what))
                    .help(format!("give a file that {} wrote", self.made_by))
            }
        })?;
        let (version, rest) = rest.split_first_chunk::<2>().ok_or_else(header)?;
        let version = u16::from_le_bytes(*version);
        if version != self.version {
            let age = if version < self.version { "an older" } else { "a newer" };
            return Err(Diag::new("library/version", format!("the {} was written by {age} fratc", self.what))
                .expected(format!("format {}", self.version), format!("format {version}"))
                .help(self.help));
        }
        let (length, rest) = rest.split_first_chunk::<8>().ok_or_else(header)?;
        let (checksum, payload) = rest.split_first_chunk::<32>().ok_or_else(header)?;
        let length = u64::from_le_bytes(*length);
        if (payload.len() as u64) < length {
            return Err(self.truncated(length.saturating_add(HEADER as u64), bytes.len()));
        }
        if payload.len() as u64 > length {
            return Err(self.damaged("it is longer than it says"));
        }
        if Sha256::digest(payload)[..] != checksum[..] {
            return Err(self.damaged("its checksum does not match"));
        }
        let table: T =
            postcard::from_bytes(payload).map_err(|e| self.damaged(&format!("its table cannot be decoded ({e})")))?;
        check(&table).map_err(|d| self.damaged(&d.to_string()))?;
        Ok(table)
    }

    fn damaged(&self, what: &str) -> Diag {
        Diag::new("library/damaged", format!("the {} is damaged: {what}", self.what)).help(self.help)
    }

    fn truncated(&self, expected: u64, found: usize) -> Diag {
        Diag::new("library/truncated", format!("the {} is cut short", self.what))
            .expected(format!("{expected} bytes"), format!("{found} bytes"))
            .help(format!("copy it again, or {}", self.help))
    }
}
