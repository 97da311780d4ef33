//! A folder per class, with PNG, JPEG or BMP files in it.
//!
//! Files count by their ending (`.png`, `.jpg`, `.jpeg`, `.bmp`, also followed by `.gz`), others and hidden
//! ones are passed over; what a file holds is seen by its content. Class folders and files are taken in sorted
//! order. An image is never scaled or converted: its size must be the input's, and its channels too.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{ColorType, DynamicImage, ImageDecoder, ImageReader};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;

use crate::data::{InputContract, InputKind, Placeless, Samples, classes, file};
use crate::diag::{Diag, Result};

/// Share of every class that a split tree gives to the test part: one file in this many.
const TEST_SHARE: usize = 5;

/// Which side of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Four fifths of every class.
    Calibration,
    /// The other fifth.
    Test,
}

/// One side of a tree that is split by a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FolderPart {
    /// Which side.
    pub part: Part,
    /// Same seed, same split.
    pub seed: u64,
}

/// Every image file below `path`, or a part of them, with the class of its folder.
pub(super) fn list(
    path: &Path,
    part: Option<FolderPart>,
    contract: &InputContract,
    label_names: &[String],
) -> Result<Vec<(PathBuf, u32)>> {
    if contract.kind != InputKind::U8 {
        return Diag::new("data/kind", "a folder of images cannot feed an input of features")
            .at(path.display())
            .expected("kind = \"image\"", "kind = \"features\"")
            .help("use records, npy or npz for i8 features")
            .err();
    }
    let mut files: Vec<(PathBuf, u32)> = Vec::new();
    for name in class_folders(path)? {
        let folder = path.join(&name);
        let class =
            classes::resolve(label_names, &name).map_err(|d| Box::new(d.at(format!("folder {}", folder.display()))))?;
        let mut images = image_files(&folder)?;
        if let Some(part) = part {
            images = split(&images, part, class);
        }
        files.extend(images.into_iter().map(|file| (file, class as u32)));
    }
    if files.is_empty() {
        return Diag::new("data/empty", "no image in any class folder")
            .at(path.display())
            .help("put PNG, JPEG or BMP files into one folder per class")
            .err();
    }
    Ok(files)
}

/// Reads every image below `path`, or a part of them.
pub(super) fn read(
    path: &Path,
    part: Option<FolderPart>,
    contract: &InputContract,
    label_names: &[String],
) -> Result<Samples> {
    let files = list(path, part, contract, label_names)?;
    let images: Vec<Result<Vec<u8>>> = files.par_iter().map(|(file, _)| decode(file, contract)).collect();
    let bad = images.iter().filter(|image| image.is_err()).count();
    let mut samples = Samples::empty(contract);
    samples.raw.reserve_exact(files.len() * contract.len());
    for (image, (_, label)) in images.into_iter().zip(&files) {
        let image = image.map_err(|mut d| {
            if bad > 1 {
                d.what = format!("{} (and {} more of {} files)", d.what, bad - 1, files.len());
            }
            d
        })?;
        samples.raw.extend_from_slice(&image);
        samples.labels.push(*label);
    }
    Ok(samples)
}

/// The images that lie in `path` itself, sorted by name. Their labels are all 0 and mean nothing.
pub fn unlabelled_images(path: &Path, contract: &InputContract) -> Result<Samples> {
    let files = image_files(path)?;
    if files.is_empty() {
        return Diag::new("data/empty", "no image in the data folder")
            .at(path.display())
            .help("put PNG, JPEG or BMP files into it, or into one folder per class")
            .err();
    }
    let images: Vec<Result<Vec<u8>>> = files.par_iter().map(|file| decode(file, contract)).collect();
    let mut samples = Samples::empty(contract);
    for image in images {
        samples.raw.extend(image?);
        samples.labels.push(0);
    }
    Ok(samples)
}

/// Names of the class folders in `path`: numbers in their order if all are, else sorted.
pub fn class_folders(path: &Path) -> Result<Vec<String>> {
    let mut names: Vec<String> = entries(path)?
        .into_iter()
        .filter(|entry| entry.is_dir())
        .map(|entry| name_of(&entry))
        .filter(|name| !name.starts_with('.'))
        .collect();
    if names.is_empty() {
        return Diag::new("data/empty", "no class folder in the data folder")
            .at(path.display())
            .help("put the images of each class into a folder of the class's name")
            .err();
    }
    names.sort();
    if names.iter().all(|name| name.parse::<u32>().is_ok()) {
        names.sort_by_key(|name| name.parse::<u32>().unwrap_or(0));
    }
    Ok(names)
}

/// The files of one class that count as images, sorted.
fn image_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = entries(folder)?
        .into_iter()
        .filter(|entry| {
            let name = name_of(entry).to_lowercase();
            let name = name.strip_suffix(".gz").unwrap_or(&name);
            let image = [".png", ".jpg", ".jpeg", ".bmp"].iter().any(|end| name.ends_with(end));
            image && !name.starts_with('.') && entry.is_file()
        })
        .collect();
    files.sort();
    Ok(files)
}

/// Fails unless `path` is a folder that can be read.
///
/// # Errors
/// `data/not-found`, `data/not-a-folder`, `data/read`.
pub fn check_folder(path: &Path) -> Result<()> {
    entries(path).map(drop)
}

fn entries(path: &Path) -> Result<Vec<PathBuf>> {
    let fail = |e: std::io::Error| {
        let (code, what) = match e.kind() {
            std::io::ErrorKind::NotFound => ("data/not-found", "folder does not exist".to_owned()),
            std::io::ErrorKind::NotADirectory => {
                ("data/not-a-folder", "a file stands where a folder is wanted".to_owned())
            }
            _ => ("data/read", format!("folder cannot be read ({e})")),
        };
        Box::new(Diag::new(code, what).at(path.display()))
    };
    std::fs::read_dir(path).map_err(fail)?.map(|entry| entry.map(|e| e.path()).map_err(fail)).collect()
}

fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// One side of a class's files, in sorted order again.
fn split(files: &[PathBuf], part: FolderPart, class: usize) -> Vec<PathBuf> {
    let mut rng = ChaCha8Rng::seed_from_u64(part.seed);
    rng.set_stream(class as u64);
    let mut order: Vec<usize> = (0..files.len()).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, (rng.next_u64() % (i as u64 + 1)) as usize);
    }
    let tests = files.len() / TEST_SHARE;
    let mut chosen = match part.part {
        Part::Test => order[..tests].to_vec(),
        Part::Calibration => order[tests..].to_vec(),
    };
    chosen.sort_unstable();
    chosen.into_iter().map(|i| files[i].clone()).collect()
}

/// The pixels of one image, `[H, W, C]`.
pub(super) fn decode(path: &Path, contract: &InputContract) -> Result<Vec<u8>> {
    let bytes = file::read(path)?;
    decode_bytes(&bytes, contract).map_err(|d| Box::new(d.at(path.display())))
}

/// The size is compared before any pixel is unpacked, so that a small file cannot ask for much memory.
fn decode_bytes(bytes: &[u8], contract: &InputContract) -> Placeless<Vec<u8>> {
    let corrupt = |e: &dyn std::fmt::Display| {
        Diag::new("data/corrupt-image", format!("image is damaged or of an unknown kind ({e})"))
            .help("only PNG, JPEG and BMP can be read; take the file out or save it again")
    };
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| corrupt(&e))?;
    let decoder = reader.into_decoder().map_err(|e| corrupt(&e))?;
    let [h, w, c] = contract.shape;
    let (width, height) = decoder.dimensions();
    if (height as usize, width as usize) != (h, w) {
        return Err(Diag::new("data/wrong-size", "image does not have the input's size")
            .expected(format!("{h} rows of {w} pixels"), format!("{height} rows of {width}"))
            .help("scale the images to the input's size first"));
    }
    let color = decoder.color_type();
    let image = DynamicImage::from_decoder(decoder).map_err(|e| corrupt(&e))?;
    match (image, c) {
        (DynamicImage::ImageLuma8(pixels), 1) => Ok(pixels.into_raw()),
        (DynamicImage::ImageLumaA8(pixels), 2) => Ok(pixels.into_raw()),
        (DynamicImage::ImageRgb8(pixels), 3) => Ok(pixels.into_raw()),
        (DynamicImage::ImageRgba8(pixels), 4) => Ok(pixels.into_raw()),
        _ => Err(Diag::new("data/channels", "image does not have the input's channels")
            .expected(format!("{c} channels of 8 bits{}", kind(c)), describe(color))
            .help("convert the images first; fratc does not guess how")),
    }
}

fn kind(channels: usize) -> &'static str {
    match channels {
        1 => " (grey)",
        3 => " (RGB)",
        _ => "",
    }
}

fn describe(color: ColorType) -> String {
    let channels = color.channel_count();
    format!("{channels} of {} bits", color.bits_per_pixel() / u16::from(channels))
}
