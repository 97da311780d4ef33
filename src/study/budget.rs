//! How large networks may be, and what is done to their weights.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::diag::{Diag, Result};

/// The size of a network.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Budget {
    /// This share of the channels of every group, above 0 to 1.
    Keep(f64),
    /// At most this share of the source's multiply-accumulates, above 0 to 1.
    Macs(f64),
}

impl Budget {
    /// The share.
    pub fn share(self) -> f64 {
        match self {
            Self::Keep(share) | Self::Macs(share) => share,
        }
    }

    /// Largest first; ratios before shares of multiply-accumulates.
    pub(super) fn order(self, other: Self) -> Ordering {
        let kind = |budget: Self| matches!(budget, Self::Macs(_));
        kind(self).cmp(&kind(other)).then(other.share().total_cmp(&self.share()))
    }

    /// Fails unless the share is above 0 and at most 1.
    pub(super) fn check(self) -> Result<()> {
        if self.share() > 0.0 && self.share() <= 1.0 {
            return Ok(());
        }
        Diag::new("study/budget", "a budget is out of range")
            .expected("more than 0, at most 1 (or 100%)", self.share())
            .help("for example --keep 0.25,0.5 or --macs 15%,30%")
            .err()
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep(share) => write!(f, "keep {share}"),
            Self::Macs(share) => write!(f, "MACs {} %", (share * 1e6).round() / 1e4),
        }
    }
}

/// What is done to a network's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weights {
    /// As sliced.
    Sliced,
    /// Refitted in closed form.
    Refit,
    /// Refitted, then trained toward labels.
    Epoch,
    /// Refitted, then trained half toward the source's masked scores.
    Distill,
    /// Random weights trained toward labels, in the architecture that the first method chose.
    Scratch,
}

impl Weights {
    const ALL: [Self; 5] = [Self::Sliced, Self::Refit, Self::Epoch, Self::Distill, Self::Scratch];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sliced => "sliced",
            Self::Refit => "refit",
            Self::Epoch => "epoch",
            Self::Distill => "distill",
            Self::Scratch => "scratch",
        }
    }

    /// Whether gradients are followed.
    pub(super) fn trained(self) -> bool {
        matches!(self, Self::Epoch | Self::Distill | Self::Scratch)
    }
}

impl FromStr for Weights {
    type Err = Box<Diag>;

    fn from_str(text: &str) -> Result<Self> {
        if let Some(weights) = Self::ALL.into_iter().find(|w| w.name() == text) {
            return Ok(weights);
        }
        Diag::new("study/weights", "unknown treatment of the weights")
            .expected(Self::ALL.map(Self::name).join(", "), text)
            .err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_budgets_are_checked() {
        for weights in Weights::ALL {
            assert_eq!(weights.name().parse::<Weights>().expect("a name"), weights);
        }
        assert!("both".parse::<Weights>().is_err());
        for share in [0.0, -1.0, 1.5, f64::NAN] {
            assert!(Budget::Macs(share).check().is_err() && Budget::Keep(share).check().is_err());
        }
        assert_eq!(Budget::Macs(0.15).to_string(), "MACs 15 %");
    }
}
