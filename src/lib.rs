//! `fratc` turns a trained CNN classifier into a verified int8 `no_std` crate that holds only what a chosen
//! set of classes needs.
//!
//! The folder listing follows the data: a model is loaded into the float graph of [`ir`], run by [`exec`],
//! attributed, routed, assembled and refitted, lowered to the int8 program of [`qir`], planned, emitted and
//! verified. `ARCHITECTURE.md` holds the map and which module may import which.

pub mod assemble;
pub mod attribute;
pub mod bench;
pub mod cli;
pub mod data;
pub mod demo;
pub mod device;
pub mod diag;
pub mod emit;
pub mod exec;
pub mod finetune;
pub mod firmware;
pub mod flash;
pub mod heads;
pub mod ir;
pub mod library;
pub mod load;
pub mod output;
pub mod pipeline;
pub mod plan;
pub mod qir;
pub mod quantize;
pub mod refit;
pub mod report;
pub mod route;
pub mod search;
pub mod sim;
pub mod study;
pub mod target;
pub mod verify;
