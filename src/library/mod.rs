//! Relevance tables: what attribution finds and routing reads.

mod relevance;

pub use relevance::{GroupScores, LayerLinks, Relevance};
