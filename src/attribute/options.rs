//! What to attribute, how, and from how many samples.

use std::fmt::Write as _;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::diag::{Diag, Result};

/// How channels are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Method {
    /// Positive gradients of the class's score.
    #[default]
    Frat,
    /// Positive contributions between layers, walked back from the head.
    Contribution,
    /// Absolute gradient × activation.
    Taylor,
    /// Mean absolute activation.
    Activation,
    /// L1 norm of each channel's weights.
    L1,
    /// Seeded random numbers.
    Random,
}

impl Method {
    /// Every method, in the order of the command line's help.
    pub const ALL: [Self; 6] = [Self::Frat, Self::Contribution, Self::Taylor, Self::Activation, Self::L1, Self::Random];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Frat => "frat",
            Self::Contribution => "contribution",
            Self::Taylor => "taylor",
            Self::Activation => "activation",
            Self::L1 => "l1",
            Self::Random => "random",
        }
    }
}

impl FromStr for Method {
    type Err = Box<Diag>;

    fn from_str(text: &str) -> Result<Self> {
        named(text, "attribution method", &Self::ALL, Self::name)
    }
}

/// The score of a class whose gradient is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Target {
    /// The class's probability: the paper's form. Its gradient vanishes on confident samples.
    Probability,
    /// The logarithm of the probability. Its gradient shrinks by one factor less, and still vanishes.
    LogProbability,
    /// The class's logit minus the largest other one. Its gradient never vanishes, so confident samples, which
    /// are the typical ones, count as much as doubtful ones: the default.
    #[default]
    Margin,
}

impl Target {
    /// Every target.
    pub const ALL: [Self; 3] = [Self::Probability, Self::LogProbability, Self::Margin];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Probability => "probability",
            Self::LogProbability => "log-probability",
            Self::Margin => "margin",
        }
    }
}

impl FromStr for Target {
    type Err = Box<Diag>;

    fn from_str(text: &str) -> Result<Self> {
        named(text, "gradient target", &Self::ALL, Self::name)
    }
}

/// Whether the table holds the links between layers, which take 4 bytes × links × classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Links {
    /// If they take a gibibyte at most.
    #[default]
    Bounded,
    /// In any case.
    Always,
    /// In no case: routes are then made from scores alone.
    Never,
}

impl Links {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Bounded, Self::Always, Self::Never];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bounded => "bounded",
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}

impl FromStr for Links {
    type Err = Box<Diag>;

    fn from_str(text: &str) -> Result<Self> {
        named(text, "choice of links", &Self::ALL, Self::name)
    }
}

/// Options of one attribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// How channels are scored.
    pub method: Method,
    /// The score whose gradient is taken (frat, taylor).
    pub target: Target,
    /// Whether FRAT multiplies each positive gradient by the activation: without it, a channel that is always
    /// zero for a class can still score high.
    pub weighted: bool,
    /// Most samples per class; every class gets as many as the smallest has.
    pub samples_per_class: usize,
    /// Classes to attribute; `None` is all.
    pub classes: Option<Vec<usize>>,
    /// Classes that the target contrasts with; `None` is all. The class itself always takes part.
    pub within: Option<Vec<usize>>,
    /// Seed of the sample choice and of the random method.
    pub seed: u64,
    /// Whether links are kept.
    pub links: Links,
}

impl Default for Options {
    /// FRAT by logit margin, weighted, up to 100 samples of every class.
    fn default() -> Self {
        Self {
            method: Method::default(),
            target: Target::default(),
            weighted: true,
            samples_per_class: 100,
            classes: None,
            within: None,
            seed: 0,
            links: Links::default(),
        }
    }
}

impl Options {
    /// The classes to attribute, ascending.
    pub(super) fn wanted(&self, classes: usize) -> Result<Vec<usize>> {
        let mut wanted = self.classes.clone().unwrap_or_else(|| (0..classes).collect());
        wanted.sort_unstable();
        wanted.dedup();
        let named = wanted.iter().chain(self.within.iter().flatten());
        if let Some(class) = named.copied().find(|&c| c >= classes) {
            return Diag::new("attribute/no-class", "class index out of range")
                .expected(format!("0 to {}", classes.saturating_sub(1)), class)
                .err();
        }
        Ok(wanted)
    }

    /// The options that the scores depend on, for the library file.
    pub(super) fn text(&self) -> String {
        let mut text = format!("samples={} seed={}", self.samples_per_class, self.seed);
        let _ = match self.method {
            Method::Frat => write!(text, " target={} weighted={}", self.target.name(), self.weighted),
            Method::Taylor => write!(text, " target={}", self.target.name()),
            Method::Contribution | Method::Activation | Method::L1 | Method::Random => Ok(()),
        };
        if let Some(within) = &self.within {
            let _ = write!(text, " within={within:?}");
        }
        if self.links != Links::default() {
            let _ = write!(text, " links={}", self.links.name());
        }
        text
    }
}

fn named<T: Copy>(text: &str, what: &str, all: &[T], name: impl Fn(T) -> &'static str) -> Result<T> {
    all.iter().copied().find(|&v| name(v) == text).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|&v| name(v)).collect();
        Box::new(Diag::new("attribute/name", format!("unknown {what}")).expected(names.join(", "), text))
    })
}
