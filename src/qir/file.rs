//! The file form: magic, format version, length and SHA-256 of the rest, postcard.
//!
//! In: bytes from anywhere. Out: a verified program, or one error; never a panic.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::diag::{Diag, Result};
use crate::output;
use crate::qir::Program;

/// First bytes of every program file.
const MAGIC: &[u8; 8] = b"FRATCQIR";

/// Changes whenever the types of a program do.
const VERSION: u32 = 2;

/// Bytes of a SHA-256.
const DIGEST: usize = 32;

/// Bytes before the program: magic, version, length, digest.
const HEADER: usize = MAGIC.len() + 4 + 8 + DIGEST;

/// The bytes of a program file.
pub fn to_bytes(program: &Program) -> Result<Vec<u8>> {
    let body = postcard::to_stdvec(program)
        .map_err(|e| Diag::new("qir/not-serializable", format!("the program cannot be written: {e}")))?;
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&Sha256::digest(&body));
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// The verified program in the bytes of a file.
pub fn from_bytes(bytes: &[u8]) -> Result<Program> {
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return Diag::new("qir/not-a-program", "this is not an int8 program of fratc")
            .expected(format!("a file that starts with {:?}", String::from_utf8_lossy(MAGIC)), found_start(bytes))
            .help("write one with `fratc quantize`")
            .err();
    };
    let Some((version, rest)) = rest.split_first_chunk::<4>() else { return truncated(HEADER as u64, bytes) };
    let version = u32::from_le_bytes(*version);
    if version != VERSION {
        return Diag::new("qir/wrong-version", "this int8 program has another format version")
            .expected(VERSION, version)
            .help("run `fratc quantize` again with this version of fratc")
            .err();
    }
    let Some((length, rest)) = rest.split_first_chunk::<8>() else { return truncated(HEADER as u64, bytes) };
    let Some((digest, body)) = rest.split_first_chunk::<DIGEST>() else { return truncated(HEADER as u64, bytes) };
    let length = u64::from_le_bytes(*length);
    if (body.len() as u64) < length {
        return truncated(length.saturating_add(HEADER as u64), bytes);
    }
    if Sha256::digest(body).as_slice() != digest {
        return damaged("its checksum is wrong");
    }
    match postcard::take_from_bytes::<Program>(body) {
        Ok((program, [])) => {
            program.verify()?;
            Ok(program)
        }
        Ok(_) => damaged("bytes follow the program"),
        Err(e) => damaged(&format!("it cannot be read: {e}")),
    }
}

/// Writes a program file, whole or not at all.
pub fn save(program: &Program, path: &Path) -> Result<()> {
    output::write_file(path, &to_bytes(program)?)
}

/// Reads a program file.
pub fn load(path: &Path) -> Result<Program> {
    let bytes = std::fs::read(path)
        .map_err(|e| Diag::new("qir/unreadable", format!("cannot read the file: {e}")).at(path.display()))?;
    from_bytes(&bytes).map_err(|mut e| {
        let place = path.display().to_string();
        e.place = Some(e.place.take().map_or_else(|| place.clone(), |inner| format!("{place}, {inner}")));
        e
    })
}

fn found_start(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "an empty file".into();
    }
    format!("{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(MAGIC.len())]))
}

fn truncated<T>(expected: u64, bytes: &[u8]) -> Result<T> {
    Diag::new("qir/truncated", "this int8 program is cut short")
        .expected(format!("{expected} bytes"), format!("{} bytes", bytes.len()))
        .help("copy it again, or run `fratc quantize` again")
        .err()
}

fn damaged<T>(how: &str) -> Result<T> {
    Diag::new("qir/damaged", format!("this int8 program is damaged: {how}"))
        .help("copy it again, or run `fratc quantize` again")
        .err()
}
