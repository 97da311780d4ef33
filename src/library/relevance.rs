//! Relevance of every channel of every group to every class, and the links between layers.

use serde::{Deserialize, Serialize};

use crate::ir::groups::ChannelRef;

/// What attribution found: one score per group, class and channel, and how strongly channels feed each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Relevance {
    /// SHA-256 of the model file, hex.
    pub model_sha256: String,
    /// SHA-256 of the calibration data, hex.
    pub data_sha256: String,
    /// Name of the attribution method.
    pub method: String,
    /// Class names, in the source model's order.
    pub classes: Vec<String>,
    /// Samples that each class's scores are made of.
    pub samples_per_class: u32,
    /// For each class, the selected samples (indices into the calibration split).
    pub selected: Vec<Vec<u32>>,
    /// One table per channel group, in the order of the graph's groups.
    pub groups: Vec<GroupScores>,
    /// One table per layer that makes channels of its own, in graph order; empty if links were not measured.
    pub links: Vec<LayerLinks>,
}

/// Scores of one channel group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupScores {
    /// The group's name.
    pub name: String,
    /// Channels in the group.
    pub channels: u32,
    /// `[class][channel]`; larger is more relevant, comparable within one class and group only.
    pub scores: Vec<Vec<f64>>,
}

/// How much each channel that a layer reads contributes to each channel that it makes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerLinks {
    /// The layer's name.
    pub layer: String,
    /// The channels it reads, each once (a flattened channel counts once), in order of first occurrence.
    pub from: Vec<ChannelRef>,
    /// The channels it makes, each once, in order of first occurrence.
    pub to: Vec<ChannelRef>,
    /// `[class][to · from.len() + from]`: share of `to`'s positive contribution that comes from `from`, 0 to 1.
    pub shares: Vec<Vec<f32>>,
}
