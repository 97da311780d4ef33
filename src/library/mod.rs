//! Relevance tables and the `.frat` file that keeps them.
//!
//! In: what `attribute` measured. Out: the same, read back by later commands. A [`Relevance`] says for every
//! class and every channel of every channel group how much the class needs it, and how much each channel of a
//! parameter layer's input contributes to each output. It holds no weights and no samples, only hashes of
//! both, so that a stale file is refused.
//!
//! Guaranteed: [`save`] leaves a whole file or none; [`load`] returns exactly what was saved, or one error
//! that says whether the file is something else, of another version, cut short or damaged.

mod file;
mod frame;
mod relevance;

pub use file::{load, save};
pub use frame::Frame;
pub use relevance::{GroupScores, LayerLinks, Relevance};
