//! Puts the scores of networks that were trained apart on one scale.
//!
//! In: scores of every component for calibration samples of all wanted classes. Out: one scale and offset per
//! component, and a network with these in its last layers. Guaranteed: within a component nothing changes places,
//! since a scale is positive; the same result on every machine, as all sums are in order.
//!
//! [`readout`] makes a new last layer for a network's features, also in closed form.
//!
//! Two classifiers that never saw each other's classes do not agree on what a score of 5 means. [`fit`] finds the
//! scales and offsets under which the probabilities of the joint softmax are likeliest, which is a convex problem
//! of two numbers per component; [`level`] is the paper's way, which only makes the magnitudes equal.

mod fit;
mod readout;
mod scale;

pub use fit::{fit, level};
pub use readout::readout;
pub use scale::{Scale, apply, centre};
