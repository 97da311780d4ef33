//! How wide the small network has to be.
//!
//! In: closures that say what a network of given widths costs and what it loses on calibration samples. Out:
//! the networks worth having. Nothing here knows of graphs or samples, so every search is tested on curves.
//!
//! - [`keep`]: one ratio for every channel group, the smallest that holds a figure of merit;
//! - [`widths`]: a width for each channel group, from everything downwards, each step where it costs least;
//! - [`tolerance`]: from divergence to points of accuracy, and the smallest network of a path within a tolerance.

pub mod keep;
pub mod tolerance;
pub mod widths;

pub use keep::{Found, STEPS, smallest_keep};
pub use tolerance::{Seen, drop_per_nat, smallest_within};
pub use widths::{Step, between, choices, choices_to_one, descend, widen};
