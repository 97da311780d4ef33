//! `fratc assemble`.

use std::path::PathBuf;

use crate::cli::Shell;
use crate::cli::args::{RouteArgs, SourceArgs};
use crate::diag::Result;
use crate::pipeline::{self, AssembleOptions};

/// Cut the routes of the wanted classes out of a model and write the small float network as ONNX
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: fratc assemble signs.toml --classes left,right,stop --out stop-sign.onnx")]
pub struct Cmd {
    #[command(flatten)]
    source: SourceArgs,
    /// The file to write: ONNX, or with the ending .assembly one that `fratc build` and `fratc add-class` take
    #[arg(long, short, value_name = "FILE.onnx|FILE.assembly")]
    out: PathBuf,
    #[command(flatten)]
    route: RouteArgs,
}

impl Cmd {
    pub fn run(&self, shell: &Shell) -> Result<()> {
        let options = AssembleOptions { route: self.route.options(), out: self.out.clone() };
        let summary = match &self.source.case {
            Some(case) => pipeline::assemble(case, &options, shell)?,
            None => pipeline::assemble_from(&self.source.from, self.source.heads(), &options, shell)?,
        };
        shell.print(&summary, |s| {
            format!(
                "{}: {} classes, {} params, {} of {} MACs, keep {:.3}\n",
                s.path,
                s.classes.len(),
                s.params,
                s.macs,
                s.source_macs,
                s.keep
            )
        })
    }
}
