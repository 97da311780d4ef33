//! SHA-256 of a model file, the way it is named in case files and libraries.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::diag::{Diag, Result};

/// SHA-256 of `bytes`, lower-case hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// Compares a file's hash with the one that `what` (a case file, a library) recorded; case does not matter.
///
/// Error: `load/hash-mismatch`.
pub fn check_sha256(what: &str, expected: &str, found: &str) -> Result<()> {
    if expected.trim().eq_ignore_ascii_case(found) {
        return Ok(());
    }
    Diag::new("load/hash-mismatch", "the model is not the one that was recorded")
        .at(what)
        .expected(format!("sha256 {}", expected.trim()), found)
        .help("use the recorded file, or change the recorded hash if the new model is wanted")
        .err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_of_abc() {
        let hash = sha256_hex(b"abc");
        assert_eq!(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        check_sha256("case", &hash.to_uppercase(), &hash).expect("case does not matter");
        let error = check_sha256("fratc.toml", "00", &hash).expect_err("another hash");
        assert_eq!(error.code, "load/hash-mismatch");
    }
}
