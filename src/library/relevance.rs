//! The relevance table.

use serde::{Deserialize, Serialize};

use crate::diag::{Diag, Result};
use crate::ir::groups::ChannelRef;

/// Scores of one channel group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupScores {
    /// The group's name.
    pub name: String,
    /// Channels.
    pub channels: u32,
    /// Names of the tensors whose scores were added up; empty for the input and the head.
    pub points: Vec<String>,
    /// `[class][channel]`, finite and not negative; larger is more relevant. Comparable within a group, not
    /// between groups.
    pub scores: Vec<Vec<f64>>,
}

/// How much each input channel of one parameter layer contributes to each of its output channels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerLinks {
    /// The layer's name.
    pub layer: String,
    /// The channels it reads, each once (a flattened channel counts once), in order of first occurrence.
    pub from: Vec<ChannelRef>,
    /// The channels it makes, each once, in order of first occurrence.
    pub to: Vec<ChannelRef>,
    /// Per class, `[to, from]`: the share of an output's positive contribution that comes from an input,
    /// 0..=1. A row sums to 1, or is all 0 where nothing contributes. Empty for a class that was not attributed.
    pub shares: Vec<Vec<f32>>,
}

impl LayerLinks {
    /// The share of input channel `from` (a position in [`LayerLinks::from`]) in output channel `to`.
    pub fn share(&self, class: usize, to: usize, from: usize) -> f32 {
        self.shares[class].get(to * self.from.len() + from).copied().unwrap_or(0.0)
    }
}

/// What one attribution found, and what it was made from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Relevance {
    /// Version of fratc that made it.
    pub tool_version: String,
    /// File name of the model, without folders.
    pub model: String,
    /// SHA-256 of the model file, lower-case hex.
    pub model_sha256: String,
    /// SHA-256 of the calibration samples, lower-case hex.
    pub data_sha256: String,
    /// Class names, in the source model's order. A class that was not attributed has no samples and zero scores.
    pub classes: Vec<String>,
    /// The method's name, as on the command line.
    pub method: String,
    /// Its options, as text.
    pub options: String,
    /// Samples that each attributed class's scores are made of.
    pub samples_per_class: u32,
    /// Per class, the selected calibration samples, ascending.
    pub selected: Vec<Vec<u32>>,
    /// Per class, how many of them the model gets wrong: not 0 only where it gets too few right.
    pub wrong: Vec<u32>,
    /// One entry per channel group, in group order.
    pub groups: Vec<GroupScores>,
    /// One entry per layer that makes channels of its own, in graph order; empty if links were not measured.
    pub links: Vec<LayerLinks>,
}

impl Relevance {
    /// Refuses a table that was made from another model or other samples.
    pub fn check_fresh(&self, model_sha256: &str, data_sha256: &str) -> Result<()> {
        for (what, made_from, now) in
            [("model", &self.model_sha256, model_sha256), ("calibration data", &self.data_sha256, data_sha256)]
        {
            if made_from != now {
                return Diag::new("library/stale", format!("the route library was made from another {what}"))
                    .expected(format!("sha256 {now}"), made_from)
                    .help("run `fratc attribute` again, or leave the library out")
                    .err();
            }
        }
        Ok(())
    }

    /// Refuses a table in which one of `classes` was not attributed.
    pub fn check_classes(&self, classes: &[usize]) -> Result<()> {
        let missing = |&&class: &&usize| self.selected.get(class).is_none_or(Vec::is_empty);
        let Some(&class) = classes.iter().find(missing) else { return Ok(()) };
        let name = self.classes.get(class).map_or_else(|| format!("number {class}"), Clone::clone);
        Diag::new("library/class", format!("class {name} was not attributed in the route library"))
            .help("run `fratc attribute` again with it among --classes, or leave the library out")
            .err()
    }

    /// Checks that every table has the sizes that the others say, and every number its range.
    pub fn verify(&self) -> Result<()> {
        let classes = self.classes.len();
        let rows = [self.selected.len(), self.wrong.len()];
        if rows.iter().any(|&n| n != classes) {
            return inconsistent("a list does not have one entry per class", "classes");
        }
        for group in &self.groups {
            let fits =
                group.scores.len() == classes && group.scores.iter().all(|row| row.len() == group.channels as usize);
            if !fits || group.scores.iter().flatten().any(|s| !s.is_finite() || *s < 0.0) {
                return inconsistent("scores have the wrong length or are not finite and positive", &group.name);
            }
        }
        let known = |c: &ChannelRef| self.groups.get(c.group.index()).is_some_and(|g| c.index < g.channels);
        for link in &self.links {
            let cells = link.from.len() * link.to.len();
            let fits =
                |(row, selected): (&Vec<f32>, &Vec<u32>)| row.len() == cells || row.is_empty() && selected.is_empty();
            let fits = link.shares.len() == classes && link.shares.iter().zip(&self.selected).all(fits);
            if !fits || link.shares.iter().flatten().any(|s| !(0.0..=1.0).contains(s)) {
                return inconsistent("shares have the wrong length or are not between 0 and 1", &link.layer);
            }
            if !link.from.iter().chain(&link.to).all(known) {
                return inconsistent("a link names a channel that does not exist", &link.layer);
            }
        }
        Ok(())
    }
}

fn inconsistent(what: &str, place: &str) -> Result<()> {
    Diag::new("library/inconsistent", what).at(place).err()
}
