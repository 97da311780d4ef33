//! The int8 program: what fratc emits.
//!
//! A [`Program`] is a straight line of layers over `i8` tensors of shape `[H, W, C]`. Every layer corresponds
//! to one kernel of `fratc-runtime` and owns exactly the numbers that kernel takes, so the simulation and
//! the emitted crate cannot differ in more than code generation. `program.rs` holds the types, `verify.rs` the
//! invariants, `text.rs` the readable form, `file.rs` the versioned, checksummed file form (postcard), `pass` exact
//! simplifications.

mod file;
pub mod pass;
mod program;
mod reject;
mod text;
mod verify;

pub use file::{from_bytes, load, save, to_bytes};
pub use program::*;
pub use reject::Reject;
pub use verify::{MAX_LEN, is_crate_name};
