//! Shares of an attribution: partial results that any number of machines make, and adding them up.
//!
//! Shard i of n runs the chunks i − 1, i − 1 + n, … of the manifest and writes one f64 partial sum for each into a
//! [`Journal`], whose head names the work. [`merge`] adds the partial sums in the order of the chunks, so the table has
//! the same bytes for every n, and for every shard that was killed and taken up again.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::attribute::{Attribution, Manifest};
use crate::diag::{Diag, Result};
use crate::library::Relevance;
use crate::output::Journal;

/// Which share of the work: `i/n`, from `1/n` to `n/n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// From 1.
    pub index: u32,
    /// At least 1.
    pub count: u32,
}

impl Shard {
    /// The whole work.
    pub const WHOLE: Self = Self { index: 1, count: 1 };

    /// The chunks of this shard, of `chunks` in all.
    fn numbers(self, chunks: usize) -> Vec<usize> {
        (self.index as usize - 1..chunks).step_by(self.count as usize).collect()
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match parts {
            Some((index, count)) if (1..=count).contains(&index) => Ok(Self { index, count }),
            _ => Err("expected i/n with i from 1 to n, as in 3/16".into()),
        }
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// What a partial result says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    manifest: Manifest,
    shard: Shard,
    /// What ran it, as on the command line: sums of different engines are rounded differently.
    device: String,
}

impl Head {
    /// Fails unless `device` ran the shard; which of several alike does not matter.
    fn check_device(&self, device: &str, path: &Path) -> Result<()> {
        let kind = |name: &str| name.split(':').next().unwrap_or_default().to_owned();
        if kind(&self.device) == kind(device) {
            return Ok(());
        }
        Diag::new("attribute/other-device", "the partial result was made on another kind of device")
            .at(path.display())
            .expected(device, &self.device)
            .help("give all shards the same --device: their sums are rounded differently")
            .err()
    }
}

/// Runs a shard and keeps its partial sums in `path`; `resume` goes on with what is there, if anything is.
/// `done` hears the samples of every chunk that is in the file.
///
/// Errors: `output/exists`, `attribute/other-work`, `output/damaged`, and those of [`Attribution::run`].
pub fn run_shard(
    attribution: &Attribution<'_>,
    manifest: &Manifest,
    shard: Shard,
    path: &Path,
    resume: bool,
    done: &mut dyn FnMut(usize),
) -> Result<()> {
    let chunks = manifest.chunks();
    let numbers = shard.numbers(chunks.len());
    let mut journal = if resume && path.exists() {
        let (journal, head) = open(path)?;
        manifest.check_same(&head.manifest).map_err(|d| Box::new(d.at(path.display())))?;
        head.check_device(&attribution.place().to_string(), path)?;
        if head.shard != shard {
            return Diag::new("attribute/other-shard", "the partial result is another shard's")
                .at(path.display())
                .expected(shard, head.shard)
                .help("give every shard a file of its own")
                .err();
        }
        journal
    } else {
        let head =
            postcard::to_stdvec(&Head { manifest: manifest.clone(), shard, device: attribution.place().to_string() })
                .map_err(|e| Diag::new("attribute/encode", format!("cannot encode the partial result: {e}")))?;
        Journal::create(path, &head, attribution.part_len(manifest) * size_of::<f64>())?
    };
    let finished = numbers.len().min(journal.len() as usize);
    for &number in &numbers[..finished] {
        done(chunks[number].samples.len());
    }
    attribution.run(manifest, &numbers[finished..], &mut |number, part| {
        journal.append(&part.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())?;
        done(chunks[number].samples.len());
        Ok(())
    })
}

/// The manifest that the partial result `path` belongs to.
pub fn manifest_of(path: &Path) -> Result<Manifest> {
    Ok(open(path)?.1.manifest)
}

/// Adds up the partial results `paths`, all shards of one work in any order.
///
/// Errors: `attribute/other-work` and `attribute/shards` where they do not belong together or some are missing or
/// unfinished, `output/damaged`.
pub fn merge(attribution: &Attribution<'_>, paths: &[PathBuf]) -> Result<Relevance> {
    let mut parts: Vec<(Journal, Head, &PathBuf)> = Vec::new();
    for path in paths {
        let (journal, head) = open(path)?;
        parts.push((journal, head, path));
    }
    parts.sort_by_key(|(_, head, _)| head.shard.index);
    let Some((_, first, _)) = parts.first() else {
        return shards("no partial results were given", "at least one".into(), "none".into()).err();
    };
    let (manifest, count, device) = (first.manifest.clone(), first.shard.count, first.device.clone());
    let chunks = manifest.chunks();
    for (_, head, path) in &parts {
        manifest.check_same(&head.manifest).map_err(|d| Box::new(d.at(path.display())))?;
        head.check_device(&device, path)?;
    }
    let found: Vec<String> = parts.iter().map(|(_, head, _)| head.shard.to_string()).collect();
    let wanted: Vec<String> = (1..=count).map(|index| Shard { index, count }.to_string()).collect();
    if found != wanted {
        return shards(
            "the partial results are not all shards of the work, each once",
            wanted.join(", "),
            found.join(", "),
        )
        .err();
    }
    for (journal, head, path) in &parts {
        let (have, need) = (journal.len(), head.shard.numbers(chunks.len()).len());
        if journal.record_bytes() != attribution.part_len(&manifest) * size_of::<f64>() {
            let (need, have) = (attribution.part_len(&manifest), journal.record_bytes() / size_of::<f64>());
            return shards("the partial result does not fit the model", format!("{need} sums"), format!("{have} sums"))
                .at(path.display())
                .err();
        }
        if (have as usize) < need {
            return Diag::new("attribute/shards", format!("shard {} is not finished", head.shard))
                .at(path.display())
                .expected(format!("{need} chunks"), have)
                .help("run it again with --resume")
                .err();
        }
    }
    let mut totals = attribution.totals(&manifest);
    for (number, chunk) in chunks.iter().enumerate() {
        let (round, turn) = (number / count as usize, number % count as usize);
        let bytes = parts[turn].0.read(round as u64)?;
        let values = bytes.as_chunks::<8>().0.iter().map(|v| f64::from_le_bytes(*v));
        attribution.add(&mut totals, &manifest, chunk, &values.collect::<Vec<f64>>());
    }
    attribution.finish(&manifest, totals)
}

fn open(path: &Path) -> Result<(Journal, Head)> {
    let journal = Journal::open(path)?;
    match postcard::from_bytes(journal.head()) {
        Ok(head) => Ok((journal, head)),
        Err(e) => Diag::new("attribute/not-a-shard", format!("not a partial result of `fratc attribute` ({e})"))
            .at(path.display())
            .err(),
    }
}

fn shards(what: &str, expected: String, found: String) -> Diag {
    Diag::new("attribute/shards", what).expected(expected, found).help("give every shard's file, each once")
}
