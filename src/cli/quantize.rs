//! `fratc quantize`.

use std::path::PathBuf;

use crate::cli::Shell;
use crate::diag::Result;
use crate::pipeline::{self, QuantizeOptions};

/// Lower a float network to an int8 program, calibrated on the case's calibration split
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: fratc quantize signs.toml --model stop-sign.onnx --classes left,right,stop --out stop-sign.int8"
)]
pub struct Cmd {
    /// Case file: input contract and data
    case: PathBuf,
    /// Network to lower, as `fratc assemble` writes it [default: the case's model, whole]
    #[arg(long, value_name = "FILE.onnx")]
    model: Option<PathBuf>,
    /// Classes of --model, in the order of its outputs
    #[arg(long, value_delimiter = ',', value_name = "A,B,C")]
    classes: Vec<String>,
    /// The int8 program to write
    #[arg(long, short, value_name = "FILE.int8")]
    out: PathBuf,
    /// Calibrate on N random inputs: for models without data
    #[arg(long, value_name = "N")]
    random_calibration: Option<usize>,
    /// Seed of the random inputs
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
}

impl Cmd {
    pub fn run(&self, shell: &Shell) -> Result<()> {
        let options = QuantizeOptions {
            model: self.model.clone(),
            classes: self.classes.clone(),
            out: self.out.clone(),
            random_calibration: self.random_calibration,
            seed: self.seed,
        };
        let summary = pipeline::quantize(&self.case, &options, shell)?;
        shell.print(&summary, |s| {
            format!("{}: {} layers, {} MACs, {} weight bytes\n", s.path, s.layers, s.macs, s.weights_bytes)
        })
    }
}
