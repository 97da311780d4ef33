//! NumPy arrays: one file of images, one of labels.
//!
//! The header is a Python dictionary in a fixed form; it is read by hand, so that no header can make the
//! reader allocate, recurse or overflow.

use std::path::Path;

use crate::data::records::contract_kind;
use crate::data::{InputContract, InputKind, Layout, Placeless, Samples, file, labels};
use crate::diag::{Diag, Result};

/// One array; `data` is exactly as long as `shape` and `width` say.
#[derive(Debug)]
pub(super) struct Array<'a> {
    /// Signed (`i`) or unsigned (`u`).
    signed: bool,
    /// Bytes of a value.
    width: usize,
    big_endian: bool,
    shape: Vec<usize>,
    data: &'a [u8],
}

/// Reads two files.
pub(super) fn read(
    images: &Path,
    label_file: &Path,
    layout: Layout,
    contract: &InputContract,
    names: usize,
) -> Result<Samples> {
    let (image_bytes, label_bytes) = (file::read(images)?, file::read(label_file)?);
    let x = parse(&image_bytes).map_err(|d| Box::new(d.at(images.display())))?;
    let y = parse(&label_bytes).map_err(|d| Box::new(d.at(label_file.display())))?;
    samples(&x, &y, layout, contract, names)
        .map_err(|d| Box::new(d.at(format!("{} and {}", images.display(), label_file.display()))))
}

/// Images and labels to samples.
pub(super) fn samples(
    images: &Array<'_>,
    label_array: &Array<'_>,
    layout: Layout,
    contract: &InputContract,
    names: usize,
) -> Placeless<Samples> {
    if images.width != 1 {
        return Err(Diag::new("data/kind", "images are wider than a byte")
            .expected(format!("an array of {}", contract.kind.name()), format!("{} bytes a value", images.width))
            .help("fratc takes the raw bytes that the device will get; save them as uint8 or int8"));
    }
    contract_kind(if images.signed { InputKind::I8 } else { InputKind::U8 }, contract)?;
    let (count, stored) = match images.shape[..] {
        [n, h, w] if layout == Layout::Chw => (n, [1, h, w]),
        [n, h, w] => (n, [h, w, 1]),
        [n, a, b, c] => (n, [a, b, c]),
        _ => {
            return Err(Diag::new("data/wrong-size", "array does not hold images")
                .expected("3 dimensions, or 4", format!("{:?}", images.shape)));
        }
    };
    layout.check_shape(stored, contract)?;
    let ([label_count] | [label_count, 1]) = label_array.shape[..] else {
        return Err(Diag::new("data/wrong-size", "array does not hold labels")
            .expected("[N]", format!("{:?}", label_array.shape)));
    };
    if label_count != count {
        return Err(Diag::new("data/count-mismatch", "the number of labels is not the number of images")
            .expected(format!("{count} labels"), label_count));
    }
    if count == 0 {
        return Err(Diag::new("data/empty", "the arrays hold no samples"));
    }
    let mut samples = Samples::empty(contract);
    samples.labels = labels::checked(label_array.values(), names, "image")?;
    samples.raw.reserve_exact(images.data.len());
    for one in images.data.chunks_exact(contract.len()) {
        layout.append_hwc(one, contract.shape, &mut samples.raw);
    }
    Ok(samples)
}

impl Array<'_> {
    /// The values, whatever their width.
    fn values(&self) -> impl Iterator<Item = i128> {
        self.data.chunks_exact(self.width).map(|bytes| {
            let fold = |value: i128, byte: &u8| value << 8 | i128::from(*byte);
            let value = if self.big_endian { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) };
            let range = 1 << (8 * self.width);
            if self.signed && value >= range / 2 { value - range } else { value }
        })
    }
}

/// Reads the header and checks it against the length of `bytes`.
pub(super) fn parse(bytes: &[u8]) -> Placeless<Array<'_>> {
    let bad = |what: &str| Diag::new("data/npy", format!("not a NumPy array file: {what}"));
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or_else(|| bad("the file does not begin with \\x93NUMPY"))?;
    let (length, rest) = match rest {
        [1, _, a, b, rest @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        _ => return Err(bad("unknown version or cut-off header")),
    };
    let header = rest.get(..length).ok_or_else(|| bad("the header is cut off"))?;
    let header = std::str::from_utf8(header).map_err(|_| bad("the header is not text"))?;
    let data = &rest[length..];
    let descr = value(header, "descr").and_then(quoted).ok_or_else(|| bad("no plain `descr` in the header"))?;
    let (big_endian, code) = match descr.as_bytes() {
        [b'>', code @ ..] => (true, code),
        [b'<' | b'|' | b'=', code @ ..] | code => (false, code),
    };
    let (signed, width) = match code {
        [b'u', digit @ (b'1' | b'2' | b'4' | b'8')] => (false, usize::from(digit - b'0')),
        [b'i', digit @ (b'1' | b'2' | b'4' | b'8')] => (true, usize::from(digit - b'0')),
        _ => {
            return Err(Diag::new("data/kind", "NumPy array does not hold integers")
                .expected("uint8 or int8 for images, any integer for labels", descr)
                .help("fratc takes the raw bytes that the device will get; convert with .astype(\"uint8\")"));
        }
    };
    let shape = value(header, "shape").and_then(tuple).ok_or_else(|| bad("no `shape` in the header"))?;
    let order = value(header, "fortran_order").ok_or_else(|| bad("no `fortran_order` in the header"))?;
    if !order.starts_with("False") && shape.len() > 1 {
        return Err(Diag::new("data/npy", "NumPy array is in Fortran order")
            .help("save it with numpy.save(path, numpy.ascontiguousarray(array))"));
    }
    let total = shape.iter().try_fold(width, |n, &d| n.checked_mul(d));
    if total != Some(data.len()) {
        return Err(Diag::new("data/truncated", "NumPy data is not as long as its header says").expected(
            total.map_or_else(|| format!("{shape:?} values"), |n| format!("{n} bytes ({shape:?})")),
            format!("{} bytes", data.len()),
        ));
    }
    Ok(Array { signed, width, big_endian, shape, data })
}

/// The text after `'key':`.
fn value<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let after = ['\'', '"'].iter().find_map(|q| header.split_once(&format!("{q}{key}{q}")))?.1;
    Some(after.trim_start().strip_prefix(':')?.trim_start())
}

/// The string literal that `text` begins with.
fn quoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote).map(|(inside, _)| inside)
}

/// The tuple of integers that `text` begins with.
fn tuple(text: &str) -> Option<Vec<usize>> {
    let inside = text.strip_prefix('(')?.split_once(')')?.0.trim().trim_end_matches(',');
    if inside.is_empty() {
        return Some(Vec::new());
    }
    inside.split(',').map(|n| n.trim().trim_end_matches('L').parse().ok()).collect()
}
