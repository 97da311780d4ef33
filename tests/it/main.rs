//! One integration binary for the whole tool; one module per stage.

mod arrows;
mod assemble;
mod attribute;
mod cli;
mod data;
mod emit;
mod exec;
mod groups;
mod load;
mod quantize;
mod refit;
mod route;
mod runtime;
mod shared;
mod target;
mod verify;
