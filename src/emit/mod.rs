//! (in progress)

pub mod bare_metal;
