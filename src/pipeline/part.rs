//! One of several components: how a user names it, and what is known of it.

use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::data::{Case, InputContract, Samples};
use crate::ir::op::{Affine, Op};
use crate::pipeline::adapt::Fit;

/// One component as a user names it: `CASE.toml:A,B`, or `CASE.toml` for the case's own classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    /// The case file.
    pub case: PathBuf,
    /// Class tokens; empty for the case's classes, else all.
    pub classes: Vec<String>,
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        // A colon before a path separator belongs to the path: `C:\cases\a.toml`.
        let (case, classes) = match text.rsplit_once(':') {
            Some((case, classes)) if !classes.contains(['/', '\\']) => (case, classes),
            _ => (text, ""),
        };
        let classes: Vec<String> = classes.split(',').map(str::trim).map(String::from).collect();
        let classes = if classes == [""] { Vec::new() } else { classes };
        if case.is_empty() || classes.iter().any(String::is_empty) {
            return Err("expected CASE.toml:CLASS,CLASS".into());
        }
        Ok(Self { case: case.into(), classes })
    }
}

/// How the components' scores are brought to one scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum HeadScale {
    /// One scale and offset per component, likeliest on calibration samples of all classes.
    #[default]
    Fit,
    /// The paper's: equal mean magnitudes, no offsets.
    Level,
    /// As the sources have them.
    Off,
    /// As [`HeadScale::Fit`]; where there is training, one last layer that reads the features of all components, which
    /// learns to use them.
    Joint,
}

impl HeadScale {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fit => "fit",
            Self::Level => "level",
            Self::Off => "off",
            Self::Joint => "joint",
        }
    }
}

/// One component of a joint source.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its name: the case file's, without folder and ending.
    pub name: String,
    /// Its case; without data where a saved assembly's case file is gone.
    pub case: Case,
    /// The model's path as the case gives it.
    pub model_path: String,
    /// The model's file name without its folder.
    pub model_name: String,
    /// SHA-256 of the model's bytes, hexadecimal.
    pub sha256: String,
    /// Its classes, by index into its case's.
    pub classes: Vec<usize>,
    /// Where these are among the joint classes.
    pub outputs: Range<usize>,
    /// Whether it was asked for; else it is there to reject by.
    pub wanted: bool,
    /// How its input lies in the common one, from its own outwards; empty until that is known.
    pub fits: Vec<Fit>,
    /// Components of one network have one number, and one scale.
    pub network: usize,
    /// Whether it stays to the bit as it is.
    pub fixed: bool,
}

impl Part {
    /// What its branch makes of the common input.
    pub(super) fn input(&self) -> Vec<Op> {
        let pixels = self.fits.first().and_then(Fit::op);
        pixels.into_iter().chain([Op::Affine(normalisation(&self.case.input))]).collect()
    }

    /// A sample of its case as one of the common input.
    fn enlarge(&self, sample: &[u8]) -> Vec<u8> {
        self.fits.iter().fold(sample.to_vec(), |sample, fit| fit.enlarge(&sample))
    }

    /// Adds the samples of this component's classes among `samples`, which are of the case of `owner`.
    pub(super) fn collect(&self, owner: &Part, samples: &Samples, all: &mut Samples) {
        for i in 0..samples.len() {
            if let Some(place) = self.classes.iter().position(|&c| c == samples.labels[i] as usize) {
                all.raw.extend(owner.enlarge(samples.sample(i)));
                all.labels.push((self.outputs.start + place) as u32);
            }
        }
    }

    /// As on a command line, without folders.
    pub(super) fn word(&self) -> String {
        let names: Vec<&str> = self.classes.iter().map(|&c| self.case.label_names[c].as_str()).collect();
        let file = self.case.path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        format!("--from {file}:{}", names.join(","))
    }
}

/// A contract as a map of raw bytes.
fn normalisation(contract: &InputContract) -> Affine {
    let scale: Vec<f64> = contract.std.iter().map(|std| contract.scale / std).collect();
    let shift = contract.mean.iter().zip(&contract.std);
    let shift = shift.map(|(mean, std)| (-contract.zero_point * contract.scale - mean) / std).collect();
    Affine { scale, shift }
}

/// The classes' own names; with their component's where two are equal.
pub(super) fn label_names(parts: &[Part]) -> Vec<String> {
    let own = |part: &Part| -> Vec<String> { part.classes.iter().map(|&c| part.case.label_names[c].clone()).collect() };
    let all: Vec<String> = parts.iter().flat_map(own).collect();
    let name = |part: &Part, label: String| {
        if all.iter().filter(|l| **l == label).count() > 1 { format!("{}:{label}", part.name) } else { label }
    };
    parts.iter().flat_map(|part| own(part).into_iter().map(|label| name(part, label))).collect()
}

/// The samples of each component's classes from every component's samples where their cases agree on all class names: then all hold
/// images of all classes, and a class is not known by the look of one case's images.
pub(super) fn pooled(contract: &InputContract, parts: &[Part], samples: &[&Samples]) -> Samples {
    let mut all = Samples::empty(contract);
    for part in parts {
        let mut used: Vec<usize> = Vec::new();
        for (other, own) in parts.iter().zip(samples) {
            if other.case.label_names == part.case.label_names && !used.contains(&other.network) {
                used.push(other.network);
                part.collect(other, own, &mut all);
            }
        }
    }
    all
}

/// The samples of each component's classes from its own samples, labelled by joint class.
pub(super) fn union<'a>(contract: &InputContract, samples: impl Iterator<Item = (&'a Part, &'a Samples)>) -> Samples {
    let mut all = Samples::empty(contract);
    for (part, own) in samples {
        part.collect(part, own, &mut all);
    }
    all
}
