//! Case files and sample data: from files on disk to raw bytes, labels and the input contract.
//!
//! In: a case file (`fratc.toml`, see [`Case`]) or a folder of images. Out: [`Samples`], the raw bytes that the
//! device will get (`u8` pixels or `i8` features, each sample `[H, W, C]`) with one label each, and the
//! [`InputContract`] that says what number of the float network a raw byte stands for.
//!
//! Guaranteed: the order of samples depends on the files only (folders are read in sorted order); every label
//! is below the number of label names; every sample has the contract's shape. No reader panics on any input,
//! and none allocates by what a header claims before comparing that with the bytes that are there. Every file
//! may be gzipped, which is seen by its first two bytes.

mod amount;
mod case;
mod case_file;
mod case_options;
mod classes;
mod contract;
mod file;
mod folder;
mod idx;
mod labels;
mod npy;
mod npz;
mod random;
mod records;
mod sample_set;
mod samples;
mod source;

pub use amount::Amount;
pub use case::Case;
pub use case_options::BuildOptions;
pub use classes::resolve_classes;
pub use contract::{InputContract, InputKind};
pub use folder::{FolderPart, Part, check_folder, class_folders, unlabelled_images};
pub use records::Record;
pub use sample_set::{SampleSet, Stream};
pub use samples::Samples;
pub use source::{DataSource, Layout};

/// A result whose diagnostic has no place yet; the caller that knows the file adds it.
type Placeless<T> = std::result::Result<T, crate::diag::Diag>;
