//! The `.frat` file: a [`Relevance`] in the frame of `frame`.

use std::path::Path;

use crate::diag::Result;
use crate::library::{Frame, Relevance};

/// The version is raised by every change of [`Relevance`].
const FRAME: Frame = Frame {
    magic: *b"fratlib\0",
    version: 1,
    what: "route library",
    help: "write it again with `fratc attribute`",
    made_by: "`fratc attribute`",
};

/// Writes `relevance` to `path`, whole or not at all.
pub fn save(relevance: &Relevance, path: &Path) -> Result<()> {
    relevance.verify()?;
    FRAME.save(relevance, path)
}

/// Reads the file `path`.
pub fn load(path: &Path) -> Result<Relevance> {
    FRAME.load(path, Relevance::verify)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::diag::Diag;
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

    fn to_bytes(relevance: &Relevance) -> Vec<u8> {
        FRAME.seal(relevance).expect("encodes")
    }

    fn from_bytes(bytes: &[u8]) -> std::result::Result<Relevance, Diag> {
        FRAME.unseal(bytes, Relevance::verify)
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
        let good = to_bytes(&sample());
        assert_eq!(code(b"PK\x03\x04 something else"), "library/not-a-frat");
        assert_eq!(code(b""), "library/truncated");
        assert_eq!(code(&good[..49]), "library/truncated");
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
        assert_eq!(code(&to_bytes(&wrong)), "library/damaged");
        let nowhere = Path::new("/nowhere/net.frat");
        assert_eq!(save(&wrong, nowhere).expect_err("not saved either").code, "library/inconsistent");
    }

    #[test]
    fn a_stale_library_is_refused() {
        let table = sample();
        assert!(table.check_fresh(&"00".repeat(32), &"11".repeat(32)).is_ok());
        assert_eq!(table.check_fresh(&"00".repeat(32), "22").expect_err("other data").code, "library/stale");
        assert_eq!(table.check_fresh("22", &"11".repeat(32)).expect_err("other model").code, "library/stale");
    }

    #[test]
    fn a_class_that_was_not_attributed_is_named() {
        let mut table = sample();
        assert!(table.check_classes(&[1, 0]).is_ok());
        table.selected[1].clear();
        let error = table.check_classes(&[0, 1]).expect_err("dog is missing");
        assert!(error.code == "library/class" && error.what.contains("dog"), "{error}");
        assert_eq!(table.check_classes(&[2]).expect_err("no such class").code, "library/class");
    }

    proptest! {
        #[test]
        fn any_cut_is_refused(at in 0..10_000usize) {
            let good = to_bytes(&sample());
            prop_assert!(from_bytes(&good[..at % good.len()]).is_err());
        }

        #[test]
        fn any_changed_byte_is_refused(at in 0..10_000usize, flip in 1..=255u8) {
            let mut bytes = to_bytes(&sample());
            let at = at % bytes.len();
            bytes[at] ^= flip;
            prop_assert!(from_bytes(&bytes).is_err());
        }

        #[test]
        fn random_bytes_never_panic(tail in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = FRAME.magic.to_vec();
            bytes.extend(tail);
            prop_assert!(from_bytes(&bytes).is_err());
        }
    }
}
