//! Reading whole files, gzipped or not.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::diag::{Diag, Result};

/// Largest file after unpacking, in bytes. Samples are held in memory, so more would not be of use; it also
/// bounds what a damaged or hostile gzip file can unpack to.
pub(super) const MAX_BYTES: u64 = 2 << 30;

/// First bytes of gzip data.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The bytes of `path`, unpacked if they are gzipped.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = read_plain(path)?;
    if !bytes.starts_with(&GZIP) {
        return Ok(bytes);
    }
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(&bytes[..]).take(MAX_BYTES + 1).read_to_end(&mut unpacked).map_err(|e| {
        Box::new(
            Diag::new("data/gzip", format!("gzip data is damaged or cut off ({e})"))
                .at(path.display())
                .expected("a complete gzip file", format!("{} bytes", bytes.len()))
                .help("fetch or pack the file again"),
        )
    })?;
    check_size(unpacked, path)
}

/// The bytes of `path` as they are.
pub(super) fn read_plain(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|e| unreadable(path, &e))?;
    check_size(bytes, path)
}

/// Opens `path` to read from it.
pub(super) fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|e| unreadable(path, &e))
}

/// Whether `path` begins as gzip data does.
pub(super) fn is_gzipped(path: &Path) -> Result<bool> {
    let mut head = Vec::new();
    open(path)?.take(2).read_to_end(&mut head).map_err(|e| unreadable(path, &e))?;
    Ok(head == GZIP)
}

/// Why `path` cannot be read.
pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Box<Diag> {
    let diag = match error.kind() {
        ErrorKind::NotFound => Diag::new("data/not-found", "file does not exist")
            .help("check the path; paths in a case file are relative to that file"),
        ErrorKind::IsADirectory => Diag::new("data/not-a-file", "a folder stands where a file is wanted")
            .help("for a folder of images use format = \"folder\""),
        _ => Diag::new("data/read", format!("file cannot be read ({error})")),
    };
    Box::new(diag.at(path.display()))
}

/// Fails on an empty file and on one above [`MAX_BYTES`].
fn check_size(bytes: Vec<u8>, path: &Path) -> Result<Vec<u8>> {
    if bytes.is_empty() {
        return Diag::new("data/empty", "file is empty").at(path.display()).err();
    }
    if bytes.len() as u64 > MAX_BYTES {
        return Diag::new("data/too-large", "file is too large to hold in memory")
            .at(path.display())
            .expected(format!("at most {MAX_BYTES} bytes unpacked"), "more")
            .help("split it, or cut it to fewer samples")
            .err();
    }
    Ok(bytes)
}
