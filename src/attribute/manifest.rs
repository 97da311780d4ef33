//! Which samples an attribution takes, and everything else that its result depends on.
//!
//! The choice is a pass of its own, so that machines that share the work make it once. A manifest is saved in the
//! frame of the route library (see `library`) with its own first bytes.

use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::attribute::Options;
use crate::data::Samples;
use crate::diag::{Diag, Result};
use crate::exec::CHUNK;
use crate::library::Frame;

const FRAME: Frame = Frame {
    magic: *b"fratsel\0",
    version: 2,
    what: "selection of samples",
    help: "delete it",
    made_by: "`fratc attribute`",
};

/// The work of one attribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of fratc that chose.
    pub tool_version: String,
    /// SHA-256 of the model file, lower-case hex.
    pub model_sha256: String,
    /// SHA-256 of all samples, lower-case hex.
    pub data_sha256: String,
    /// How to attribute.
    pub options: Options,
    /// Samples of each attributed class.
    pub per_class: usize,
    /// Per class of the model, indices of its samples, ascending; empty for classes that are not attributed.
    pub selected: Vec<Vec<u32>>,
    /// Per class, how many of them the model gets wrong.
    pub wrong: Vec<u32>,
    /// Of each of [`Manifest::chunks`], the SHA-256 of its samples, lower-case hex.
    pub chunk_sha256: Vec<String>,
}

/// Samples of one class that are run together: the unit of work, of sums and of shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The class.
    pub class: usize,
    /// Which of the class's selected samples.
    pub samples: Range<usize>,
}

impl Manifest {
    /// All chunks in the order in which their sums are added: by class, then by sample.
    pub fn chunks(&self) -> Vec<Chunk> {
        let of_class = |(class, selected): (usize, &Vec<u32>)| {
            let count = selected.len();
            (0..count).step_by(CHUNK).map(move |first| Chunk { class, samples: first..count.min(first + CHUNK) })
        };
        self.selected.iter().enumerate().flat_map(of_class).collect()
    }

    /// Indices of a chunk's samples.
    pub(super) fn indices(&self, chunk: &Chunk) -> Vec<usize> {
        self.selected[chunk.class][chunk.samples.clone()].iter().map(|&i| i as usize).collect()
    }

    /// Fails unless `samples` are those that chunk number `index` was chosen with.
    pub(super) fn check_samples(&self, index: usize, samples: &Samples) -> Result<()> {
        let (want, found) = (&self.chunk_sha256[index], samples.sha256());
        if *want == found {
            return Ok(());
        }
        Diag::new("attribute/other-data", "the calibration samples are not those that were selected")
            .expected(format!("sha256 {want} for chunk {index}"), found)
            .help("use the data that the selection was made with, or select again")
            .err()
    }

    /// Fails, and says where they differ, unless `other` is the same work.
    pub fn check_same(&self, other: &Self) -> Result<()> {
        let texts = |m: &Self| {
            [
                ("version of fratc", m.tool_version.clone()),
                ("model", format!("sha256 {}", m.model_sha256)),
                ("calibration data", format!("sha256 {}", m.data_sha256)),
                ("method", m.options.method.name().to_owned()),
                ("options", m.options.text()),
            ]
        };
        let differs = texts(self).into_iter().zip(texts(other)).find(|(a, b)| a != b);
        let (what, mine, theirs) = match differs {
            Some(((what, mine), (_, theirs))) => (what, mine, theirs),
            None if self != other => ("selection of samples", "the same samples".into(), "others".into()),
            None => return Ok(()),
        };
        Diag::new("attribute/other-work", format!("this belongs to an attribution with another {what}"))
            .expected(mine, theirs)
            .help("give the same case, options and version of fratc to all parts, or start anew")
            .err()
    }

    /// Writes the manifest to `path`, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<()> {
        FRAME.save(self, path)
    }

    /// Reads the manifest `path`.
    pub fn load(path: &Path) -> Result<Self> {
        FRAME.load(path, |manifest: &Self| {
            if manifest.chunk_sha256.len() == manifest.chunks().len() && manifest.wrong.len() == manifest.selected.len()
            {
                return Ok(());
            }
            Diag::new("attribute/inconsistent", "its lists do not fit each other").err()
        })
    }
}
