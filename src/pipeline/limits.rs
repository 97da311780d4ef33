//! Limits on what the small network may need: multiply-accumulates, flash, RAM.

use std::fmt;
use std::str::FromStr;

use crate::diag::{Diag, Result};
use crate::pipeline::Source;

/// A limit on multiply-accumulates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MacLimit {
    /// So many per sample.
    Count(u64),
    /// This share of the source's, above 0 to 1.
    Share(f64),
}

impl MacLimit {
    /// As a count, for a source of `whole`.
    pub fn count(self, whole: u64) -> u64 {
        match self {
            Self::Count(n) => n,
            Self::Share(share) => (share * whole as f64 * (1.0 + 1e-12)) as u64,
        }
    }
}

impl FromStr for MacLimit {
    type Err = String;

    /// `1500000`, `1.5M`, `900k` or `30%`.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (number, unit) = match text.char_indices().next_back() {
            Some((at, 'k' | 'K')) => (&text[..at], 1e3),
            Some((at, 'M')) => (&text[..at], 1e6),
            Some((at, 'G')) => (&text[..at], 1e9),
            Some((at, '%')) => (&text[..at], 0.01),
            _ => (text, 1.0),
        };
        match number.parse::<f64>().ok().filter(|v| v.is_finite() && *v > 0.0).map(|v| v * unit) {
            Some(share) if text.ends_with('%') && share <= 1.0 => Ok(Self::Share(share)),
            Some(count) if !text.ends_with('%') && count >= 1.0 => Ok(Self::Count(count as u64)),
            _ => Err("a number of multiply-accumulates like 2M or 900k, or a share like 30%".into()),
        }
    }
}

/// A limit on bytes of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteLimit(pub u64);

impl FromStr for ByteLimit {
    type Err = String;

    /// `65536`, `64k` (of 1024) or `1M` (of 1024 · 1024).
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (number, unit) = match text.char_indices().next_back() {
            Some((at, 'k' | 'K')) => (&text[..at], 1024.0),
            Some((at, 'M')) => (&text[..at], 1024.0 * 1024.0),
            _ => (text, 1.0),
        };
        let bytes = number.parse::<f64>().ok().map(|v| v * unit).filter(|v| (1.0..1e15).contains(v));
        bytes.map(|v| Self(v as u64)).ok_or_else(|| "a number of bytes like 65536, 64k or 1M".into())
    }
}

/// What the small network needs, or may need at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Multiply-accumulates per sample.
    pub macs: Option<u64>,
    /// Bytes of flash: weights, tables and code.
    pub flash: Option<u64>,
    /// Bytes of RAM: arena and input; the stack comes on top.
    pub ram: Option<u64>,
}

impl Limits {
    /// Each with its flag.
    pub fn each(&self) -> [(&'static str, Option<u64>); 3] {
        [("--max-macs", self.macs), ("--max-flash", self.flash), ("--max-ram", self.ram)]
    }

    /// Whether there is any.
    pub fn any(&self) -> bool {
        self.each().iter().any(|(_, limit)| limit.is_some())
    }

    /// Limits that `need` exceeds: flag, limit, need.
    pub fn exceeded(&self, need: &Self) -> Vec<(&'static str, u64, u64)> {
        let pairs = self.each().into_iter().zip(need.each());
        pairs.filter_map(|((flag, limit), (_, need))| Some((flag, limit?, need?)).filter(|(_, l, n)| n > l)).collect()
    }
}

impl fmt::Display for Limits {
    /// The flags of the limits there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags: Vec<&str> = self.each().into_iter().filter_map(|(flag, limit)| limit.map(|_| flag)).collect();
        f.write_str(&flags.join(", "))
    }
}

/// A limit of the case file, read as its flag would be.
pub(super) fn of_case<T: FromStr<Err = String>>(source: &Source, key: &str, text: Option<String>) -> Result<Option<T>> {
    let Some(text) = text else { return Ok(None) };
    text.parse().map(Some).map_err(|expected: String| {
        let diag = Diag::new("route/limit", format!("`{key}` in [build] cannot be read"));
        Box::new(diag.at(source.case.path.display()).expected(expected, text))
    })
}
