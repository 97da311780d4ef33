//! Where samples come from, and the one door to all readers.

use std::path::{Path, PathBuf};

use crate::data::{FolderPart, InputContract, Placeless, Record, Samples, folder, idx, npy, npz, records};
use crate::diag::{Diag, Result};

/// Order of the values of a stored sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Channels fastest, as the device gets them.
    Hwc,
    /// One plane after the other.
    Chw,
}

impl Layout {
    /// Fails unless `stored`, in this layout, is the contract's `[H, W, C]`.
    pub(super) fn check_shape(self, stored: [usize; 3], contract: &InputContract) -> Placeless<()> {
        let [h, w, c] = contract.shape;
        let (want, names) = match self {
            Self::Hwc => ([h, w, c], "height, width, channels"),
            Self::Chw => ([c, h, w], "channels, height, width"),
        };
        if stored == want {
            return Ok(());
        }
        Err(Diag::new("data/wrong-size", "samples do not have the input's size")
            .expected(format!("{want:?} ({names})"), format!("{stored:?}"))
            .help("correct `shape` of [input] or of the data, or its `layout`"))
    }

    /// Appends one sample to `out` with channels fastest. `shape` is `[H, W, C]`.
    pub(super) fn append_hwc(self, sample: &[u8], shape: [usize; 3], out: &mut Vec<u8>) {
        let [h, w, c] = shape;
        match self {
            Self::Hwc => out.extend_from_slice(sample),
            Self::Chw => out.extend((0..h * w).flat_map(|p| (0..c).map(move |c| sample[c * h * w + p]))),
        }
    }
}

/// One split of the data.
#[derive(Debug, Clone, PartialEq)]
pub enum DataSource {
    /// Fixed-size records without a header.
    Records {
        /// The file.
        path: PathBuf,
        /// The layout of each.
        record: Record,
    },
    /// MNIST family.
    Idx {
        /// `[N, H, W]` or `[N, H, W, C]`.
        images: PathBuf,
        /// `[N]`.
        labels: PathBuf,
    },
    /// One folder of PNG, JPEG or BMP files per class.
    Folder {
        /// The folder of class folders.
        path: PathBuf,
        /// Only a part of every class, where one tree serves calibration and test.
        part: Option<FolderPart>,
    },
    /// Two NumPy files.
    Npy {
        /// `[N, H, W]`, or `[N, …]` in the order of `layout`.
        images: PathBuf,
        /// `[N]`, any integer type.
        labels: PathBuf,
        /// Order of a sample's axes.
        layout: Layout,
    },
    /// One NumPy archive.
    Npz {
        /// The file.
        path: PathBuf,
        /// Names of the arrays of images and labels; without them `x` and `y`, else `images` and `labels`.
        arrays: Option<(String, String)>,
        /// Order of a sample's axes.
        layout: Layout,
    },
}

impl DataSource {
    /// Its files; a folder of images is none.
    pub fn files(&self) -> Vec<&Path> {
        match self {
            Self::Records { path, .. } | Self::Npz { path, .. } => vec![path],
            Self::Idx { images, labels } | Self::Npy { images, labels, .. } => vec![images, labels],
            Self::Folder { .. } => Vec::new(),
        }
    }

    /// All samples of the source, in the order of the files.
    pub fn read(&self, contract: &InputContract, label_names: &[String]) -> Result<Samples> {
        let names = label_names.len();
        let samples = match self {
            Self::Records { path, record } => records::read(path, *record, contract, names),
            Self::Idx { images, labels } => idx::read(images, labels, contract, names),
            Self::Folder { path, part } => folder::read(path, *part, contract, label_names),
            Self::Npy { images, labels, layout } => npy::read(images, labels, *layout, contract, names),
            Self::Npz { path, arrays, layout } => npz::read(path, arrays.as_ref(), *layout, contract, names),
        }?;
        debug_assert_eq!(samples.raw.len(), samples.len() * contract.len());
        Ok(samples)
    }
}
