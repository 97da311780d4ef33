//! One integration binary for the whole tool; one module per stage.

mod arrows;
mod assemble;
mod attribute;
mod cli;
mod data;
mod demo;
mod emit;
mod exec;
mod finetune;
mod groups;
mod load;
mod load_damaged;
mod load_operators;
mod programs;
mod qir;
mod quantize;
mod quantize_models;
mod random_graph;
mod refit;
mod route;
mod runtime;
mod runtime_firmware;
mod shared;
mod sim;
mod target;
mod verify;
