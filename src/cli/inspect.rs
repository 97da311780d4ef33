//! `fratc inspect`.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::cli::Shell;
use crate::diag::Result;
use crate::pipeline;

/// Show a model's layers, channel groups and size
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: fratc inspect signs.onnx")]
pub struct Cmd {
    /// ONNX model
    model: PathBuf,
}

impl Cmd {
    pub fn run(&self, shell: &Shell) -> Result<()> {
        shell.print(&pipeline::inspect(&self.model)?, |i| {
            let mut out = String::new();
            let [h, w, c] = i.input;
            let _ = writeln!(
                out,
                "{}: input [{h}, {w}, {c}], {} classes, {} params, {} MACs",
                i.path, i.classes, i.params, i.macs
            );
            let _ = writeln!(
                out,
                "sha256 {}\n\n{:<14} {:>14} {:>9} {:>11}  name",
                i.sha256, "op", "output", "params", "MACs"
            );
            for layer in &i.layers {
                let [h, w, c] = layer.output;
                let shape = format!("[{h}, {w}, {c}]");
                let _ = writeln!(
                    out,
                    "{:<14} {:>14} {:>9} {:>11}  {}",
                    layer.op, shape, layer.params, layer.macs, layer.name
                );
            }
            let _ = writeln!(out, "\n{:<9} channel group (kept or dropped together)", "channels");
            for group in &i.groups {
                let _ = writeln!(out, "{:<9} {}  <- {}", group.channels, group.name, group.producers.join(", "));
            }
            out
        })
    }
}
