//! The built-in example: a small network that tells floor markers for robots apart.
//!
//! In: a class and a seed. Out: grey images that this module draws itself ([`draw`], [`samples`]), and
//! everything `fratc demo` needs without any file ([`case`], [`model_bytes`], [`default_classes`]).
//!
//! A marker is a bright symbol painted on a dark floor, seen by a camera that looks down at a slant. Guaranteed:
//! the same class and seed give the same bytes on every machine, because nothing but IEEE arithmetic and square
//! roots is used. `examples/floor_markers` trains the network on such drawings.
//!
//! Steps, one file each: `symbol` says which points are paint, `view` where the camera sees them, `picture`
//! makes pixels of it with light, blur and noise, `set` makes samples.

mod picture;
mod set;
mod symbol;
mod view;

pub use picture::{SIZE, draw};
pub use set::{DemoCase, TRAIN_SEED, case, contract, default_classes, label_names, model_bytes, samples};
pub use symbol::CLASSES;
