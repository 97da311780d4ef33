//! Files of every format, made from known samples.

use std::io::{Cursor, Write};
use std::path::Path;

use fratc::data::{InputContract, InputKind, Samples};
use image::{ExtendedColorType, ImageFormat};
use npyz::WriterBuilder;

/// `n` samples of `shape` `[H, W, C]` whose bytes all differ from their neighbours; labels count up modulo 3.
pub fn samples(kind: InputKind, shape: [usize; 3], n: usize) -> (InputContract, Samples) {
    let contract = InputContract::new(kind, shape, 1.0);
    let bytes = n * contract.len();
    let raw = (0..bytes).map(|i| (i * 7 + i / 256 * 3) as u8).collect();
    let labels = (0..n as u32).map(|i| i % 3).collect();
    (contract.clone(), Samples { raw, labels, ..Samples::empty(&contract) })
}

/// Label names for [`samples`].
pub fn names() -> Vec<String> {
    ["ant", "bee", "cow"].map(String::from).to_vec()
}

/// Writes `bytes` to `path`, gzipped if asked to.
pub fn write(path: &Path, bytes: &[u8], gzip: bool) {
    let packed = if gzip { gz(bytes) } else { bytes.to_vec() };
    std::fs::write(path, packed).expect("temporary folder is writable");
}

/// `bytes` as a gzip file.
pub fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// Records with `label` bytes before each sample, channels last or first.
pub fn records(samples: &Samples, chw: bool) -> Vec<u8> {
    (0..samples.len())
        .flat_map(|i| {
            let mut record = vec![samples.labels[i] as u8];
            record.extend(stored(samples, i, chw));
            record
        })
        .collect()
}

/// One sample's bytes, channels last or first.
pub fn stored(samples: &Samples, i: usize, chw: bool) -> Vec<u8> {
    let [h, w, c] = samples.shape;
    let sample = samples.sample(i);
    if chw { (0..c * h * w).map(|j| sample[j % (h * w) * c + j / (h * w)]).collect() } else { sample.to_vec() }
}

/// An IDX file of bytes.
pub fn idx(dims: &[usize], data: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 0, 8, dims.len() as u8];
    for &d in dims {
        out.extend((d as u32).to_be_bytes());
    }
    out.extend(data);
    out
}

/// A NumPy file, written by another crate than the reader's.
pub fn npy<T: npyz::AutoSerialize + Copy>(dims: &[usize], data: &[T]) -> Vec<u8> {
    let shape: Vec<u64> = dims.iter().map(|&d| d as u64).collect();
    let mut out = Vec::new();
    let mut writer =
        npyz::WriteOptions::new().default_dtype().shape(&shape).writer(&mut out).begin_nd().expect("plain array");
    writer.extend(data.iter().copied()).expect("memory");
    writer.finish().expect("all values written");
    out
}

/// A NumPy archive of `(name, file)`.
#[allow(clippy::default_trait_access, reason = "the options' type belongs to a crate that is no dependency of ours")]
pub fn npz(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut writer = npyz::npz::NpzWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in arrays {
        writer.zip_writer().start_file(format!("{name}.npy"), Default::default()).expect("memory");
        writer.zip_writer().write_all(bytes).expect("memory");
    }
    writer.zip_writer().finish().expect("memory").into_inner()
}

/// An image file; `shape` is `[H, W, C]` with 1 or 3 channels.
pub fn image(shape: [usize; 3], pixels: &[u8], format: ImageFormat) -> Vec<u8> {
    let color = if shape[2] == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    let mut out = Cursor::new(Vec::new());
    image::write_buffer_with_format(&mut out, pixels, shape[1] as u32, shape[0] as u32, color, format)
        .expect("plain image");
    out.into_inner()
}
