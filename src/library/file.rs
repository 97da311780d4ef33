//! The `.frat` file.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `fratlib` and a zero byte |
//! | 2 | format version, little-endian |
//! | 8 | length of the payload, little-endian |
//! | 32 | SHA-256 of the payload |
//! | rest | the [`Relevance`] in postcard's format |

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::diag::{Diag, Result};
use crate::library::Relevance;

/// First bytes of every `.frat` file.
const MAGIC: [u8; 8] = *b"fratlib\0";

/// Version of the payload's layout; raised by every change of [`Relevance`].
const VERSION: u16 = 1;

/// Bytes before the payload.
const HEADER: usize = MAGIC.len() + 2 + 8 + 32;

/// Writes `relevance` to `path`, whole or not at all.
pub fn save(relevance: &Relevance, path: &Path) -> Result<()> {
    crate::output::write_file(path, &to_bytes(relevance)?)
}

/// Reads the file `path`.
pub fn load(path: &Path) -> Result<Relevance> {
    let bytes = std::fs::read(path).map_err(|e| {
        Diag::new("library/read", format!("cannot read the route library: {e}"))
            .at(path.display())
            .help("write one with `fratc attribute`")
    })?;
    from_bytes(&bytes).map_err(|d| Box::new(d.at(path.display())))
}

fn to_bytes(relevance: &Relevance) -> Result<Vec<u8>> {
    relevance.verify()?;
    let payload = postcard::to_stdvec(relevance)
        .map_err(|e| Diag::new("library/encode", format!("cannot encode the relevance table: {e}")))?;
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend((payload.len() as u64).to_le_bytes());
    bytes.extend(Sha256::digest(&payload));
    bytes.extend(payload);
    Ok(bytes)
}

fn from_bytes(bytes: &[u8]) -> std::result::Result<Relevance, Diag> {
    const AGAIN: &str = "write it again with `fratc attribute`";
    let rest = bytes.strip_prefix(&MAGIC).ok_or_else(|| {
        if MAGIC.starts_with(bytes) {
            truncated(HEADER as u64, bytes.len())
        } else {
            Diag::new("library/not-a-frat", "not a route library").help("give a file that `fratc attribute` wrote")
        }
    })?;
    let (version, rest) = rest.split_first_chunk::<2>().ok_or_else(|| truncated(HEADER as u64, bytes.len()))?;
    let version = u16::from_le_bytes(*version);
    if version != VERSION {
        let age = if version < VERSION { "an older" } else { "a newer" };
        return Err(Diag::new("library/version", format!("the route library was written by {age} fratc"))
            .expected(format!("format {VERSION}"), format!("format {version}"))
            .help(AGAIN));
    }
    let (length, rest) = rest.split_first_chunk::<8>().ok_or_else(|| truncated(HEADER as u64, bytes.len()))?;
    let (checksum, payload) = rest.split_first_chunk::<32>().ok_or_else(|| truncated(HEADER as u64, bytes.len()))?;
    let length = u64::from_le_bytes(*length);
    if (payload.len() as u64) < length {
        return Err(truncated(length.saturating_add(HEADER as u64), bytes.len()));
    }
    let damaged =
        |what: &str| Diag::new("library/damaged", format!("the route library is damaged: {what}")).help(AGAIN);
    if payload.len() as u64 > length {
        return Err(damaged("it is longer than it says"));
    }
    if Sha256::digest(payload)[..] != checksum[..] {
        return Err(damaged("its checksum does not match"));
    }
    let relevance: Relevance =
        postcard::from_bytes(payload).map_err(|e| damaged(&format!("its table cannot be decoded ({e})")))?;
    relevance.verify().map_err(|d| damaged(&d.to_string()))?;
    Ok(relevance)
}

fn truncated(expected: u64, found: usize) -> Diag {
    Diag::new("library/truncated", "the route library is cut short")
        .expected(format!("{expected} bytes"), format!("{found} bytes"))
        .help("copy it again, or write it again with `fratc attribute`")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ir::groups::{ChannelRef, GroupId};
    use crate::library::{GroupScores, LayerLinks};

    fn sample() -> Relevance {
        let channel = |group, index| ChannelRef { group: GroupId(group), index };
        let group = |name: &str, channels: u32, scores: Vec<Vec<f64>>| GroupScores {
            name: name.into(),
            channels,
            points: vec![format!("{name}/relu")],
            scores,
        };
        Relevance {
            tool_version: "0.1.0".into(),
            model: "net.onnx".into(),
            model_sha256: "00".repeat(32),
            data_sha256: "11".repeat(32),
            classes: vec!["cat".into(), "dog".into()],
            method: "frat".into(),
            options: "target=margin".into(),
            samples_per_class: 2,
            selected: vec![vec![0, 7], vec![1, 2]],
            wrong: vec![0, 1],
            groups: vec![
                group("conv1", 2, vec![vec![0.5, 1.0], vec![0.0, 2.0]]),
                group("head", 1, vec![vec![1.0], vec![0.0]]),
            ],
            links: vec![LayerLinks {
                layer: "head".into(),
                from: vec![channel(0, 0), channel(0, 1)],
                to: vec![channel(1, 0)],
                shares: vec![vec![0.25, 0.75], vec![0.0, 0.0]],
            }],
        }
    }

    fn code(bytes: &[u8]) -> &'static str {
        from_bytes(bytes).expect_err("must be refused").code
    }

    #[test]
    fn a_saved_library_reads_back_equal() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let path = dir.path().join("net.frat");
        save(&sample(), &path).expect("saves");
        assert_eq!(load(&path).expect("loads"), sample());
        assert_eq!(std::fs::read_dir(dir.path()).expect("folder").count(), 1, "no temporary file is left");
        let missing = load(&dir.path().join("other.frat")).expect_err("not there");
        assert_eq!(missing.code, "library/read");
        assert!(missing.place.as_deref().is_some_and(|p| p.ends_with("other.frat")));
    }

    #[test]
    fn each_kind_of_bad_file_has_its_own_error() {
        let good = to_bytes(&sample()).expect("encodes");
        assert_eq!(code(b"PK\x03\x04 something else"), "library/not-a-frat");
        assert_eq!(code(b""), "library/truncated");
        assert_eq!(code(&good[..HEADER - 1]), "library/truncated");
        assert_eq!(code(&good[..good.len() - 1]), "library/truncated");
        let mut longer = good.clone();
        longer.push(0);
        assert_eq!(code(&longer), "library/damaged");
        for (version, age) in [(0u16, "older"), (2, "newer")] {
            let mut other = good.clone();
            other[8..10].copy_from_slice(&version.to_le_bytes());
            let error = from_bytes(&other).expect_err("other version");
            assert_eq!(error.code, "library/version");
            assert!(error.what.contains(age));
        }
    }

    #[test]
    fn a_wrong_table_under_a_right_checksum_is_refused() {
        let mut wrong = sample();
        wrong.groups[0].scores[0].pop();
        let payload = postcard::to_stdvec(&wrong).expect("encodes");
        let mut bytes = to_bytes(&sample()).expect("encodes")[..10].to_vec();
        bytes.extend((payload.len() as u64).to_le_bytes());
        bytes.extend(Sha256::digest(&payload));
        bytes.extend(payload);
        assert_eq!(code(&bytes), "library/damaged");
        assert_eq!(to_bytes(&wrong).expect_err("not saved either").code, "library/inconsistent");
    }

    #[test]
    fn a_stale_library_is_refused() {
        let table = sample();
        assert!(table.check_fresh(&"00".repeat(32), &"11".repeat(32)).is_ok());
        assert_eq!(table.check_fresh(&"00".repeat(32), "22").expect_err("other data").code, "library/stale");
        assert_eq!(table.check_fresh("22", &"11".repeat(32)).expect_err("other model").code, "library/stale");
    }

    proptest! {
        #[test]
        fn any_cut_is_refused(at in 0..10_000usize) {
            let good = to_bytes(&sample()).expect("encodes");
            prop_assert!(from_bytes(&good[..at % good.len()]).is_err());
        }

        #[test]
        fn any_changed_byte_is_refused(at in 0..10_000usize, flip in 1..=255u8) {
            let mut bytes = to_bytes(&sample()).expect("encodes");
            let at = at % bytes.len();
            bytes[at] ^= flip;
            prop_assert!(from_bytes(&bytes).is_err());
        }

        #[test]
        fn random_bytes_never_panic(tail in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = MAGIC.to_vec();
            bytes.extend(tail);
            prop_assert!(from_bytes(&bytes).is_err());
        }
    }
}
