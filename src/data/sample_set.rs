//! Samples that are fetched by index, whether they lie in memory or in files.

use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use crate::data::records::Record;
use crate::data::samples::{digest, hex};
use crate::data::{DataSource, InputContract, Samples, file, folder, labels, records};
use crate::diag::{Diag, Result};

/// Samples in a fixed order, each with its label.
pub trait SampleSet: Sync {
    /// `[H, W, C]` of each sample.
    fn shape(&self) -> [usize; 3];
    /// One class index per sample.
    fn labels(&self) -> &[u32];
    /// The samples of `indices`, in that order.
    fn fetch(&self, indices: &[usize]) -> Result<Samples>;
    /// SHA-256 of all samples as of [`Samples::sha256`], in lower-case hex. Reads every sample.
    fn sha256(&self) -> Result<String>;

    /// Indices of the samples of one class, in order.
    fn of_class(&self, class: usize) -> Vec<usize> {
        let labels = self.labels();
        (0..labels.len()).filter(|&i| labels[i] as usize == class).collect()
    }
}

impl SampleSet for Samples {
    fn shape(&self) -> [usize; 3] {
        self.shape
    }

    fn labels(&self) -> &[u32] {
        &self.labels
    }

    fn fetch(&self, indices: &[usize]) -> Result<Samples> {
        Ok(self.select(indices))
    }

    fn sha256(&self) -> Result<String> {
        Ok(Samples::sha256(self))
    }
}

/// Samples read at one time while all of them are hashed.
const BLOCK: usize = 256;

/// One split of a case. Of records and of folders only the labels and the places are held: what they take in memory
/// does not grow with the samples' size. Gzipped records and the other formats are read whole.
#[derive(Debug)]
pub struct Stream {
    contract: InputContract,
    labels: Vec<u32>,
    places: Places,
}

#[derive(Debug)]
enum Places {
    /// All samples.
    Memory(Samples),
    /// One image file each.
    Files(Vec<PathBuf>),
    /// One record each, in order.
    Records(PathBuf, Record),
}

impl Stream {
    /// Reads the labels of `source`, and of the samples no more than is needed.
    pub fn open(source: &DataSource, contract: &InputContract, label_names: &[String]) -> Result<Self> {
        let (labels, places) = match source {
            DataSource::Folder { path, part } => {
                let (files, labels) = folder::list(path, *part, contract, label_names)?.into_iter().unzip();
                (labels, Places::Files(files))
            }
            DataSource::Records { path, record } if !file::is_gzipped(path)? => {
                record.check(path, contract)?;
                (record_labels(path, *record, contract, label_names.len())?, Places::Records(path.clone(), *record))
            }
            _ => {
                let samples = source.read(contract, label_names)?;
                (samples.labels.clone(), Places::Memory(samples))
            }
        };
        Ok(Self { contract: contract.clone(), labels, places })
    }
}

impl SampleSet for Stream {
    fn shape(&self) -> [usize; 3] {
        self.contract.shape
    }

    fn labels(&self) -> &[u32] {
        &self.labels
    }

    fn fetch(&self, indices: &[usize]) -> Result<Samples> {
        let mut samples = Samples::empty(&self.contract);
        samples.raw.reserve_exact(indices.len() * self.contract.len());
        match &self.places {
            Places::Memory(all) => return Ok(all.select(indices)),
            Places::Files(files) => {
                let images: Vec<Result<Vec<u8>>> =
                    indices.par_iter().map(|&i| folder::decode(&files[i], &self.contract)).collect();
                for image in images {
                    samples.raw.extend(image?);
                }
            }
            Places::Records(path, record) => {
                let mut file = file::open(path)?;
                let mut bytes = vec![0; record.bytes(&self.contract)];
                for &i in indices {
                    file.seek(SeekFrom::Start(i as u64 * bytes.len() as u64))
                        .and_then(|_| file.read_exact(&mut bytes))
                        .map_err(|e| file::unreadable(path, &e))?;
                    record.append(&bytes, &self.contract, &mut samples.raw);
                }
            }
        }
        samples.labels.extend(indices.iter().map(|&i| self.labels[i]));
        Ok(samples)
    }

    fn sha256(&self) -> Result<String> {
        let mut hash: Sha256 = digest(self.contract.kind, self.contract.shape, &self.labels);
        for first in (0..self.labels.len()).step_by(BLOCK) {
            let block: Vec<usize> = (first..self.labels.len().min(first + BLOCK)).collect();
            hash.update(&self.fetch(&block)?.raw);
        }
        Ok(hex(&hash.finalize()))
    }
}

/// The labels of a file of records, which is read through once.
fn record_labels(path: &Path, record: Record, contract: &InputContract, names: usize) -> Result<Vec<u32>> {
    let place = path.display();
    let file = file::open(path)?;
    let length = file.metadata().map_err(|e| file::unreadable(path, &e))?.len();
    let size = record.bytes(contract) as u64;
    if length == 0 {
        return Diag::new("data/empty", "file is empty").at(place).err();
    }
    records::check_length(path, length, record, contract)?;
    let mut reader = BufReader::new(file);
    let mut found: Vec<u8> = Vec::new();
    let mut head = vec![0; record.label_bytes];
    for _ in 0..length / size {
        reader
            .read_exact(&mut head)
            .and_then(|()| reader.seek_relative((size - record.label_bytes as u64) as i64))
            .map_err(|e| file::unreadable(path, &e))?;
        found.push(head[record.label_byte]);
    }
    labels::checked(found.into_iter().map(i128::from), names, "record").map_err(|d| Box::new(d.at(&place)))
}
