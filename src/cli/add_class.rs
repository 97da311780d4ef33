//! `fratc add-class`.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::cli::Shell;
use crate::cli::args::SizeArgs;
use crate::diag::Result;
use crate::pipeline::{self, AddClassOptions, From};

/// Put classes from other sources into a saved assembly without touching what it holds
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: fratc assemble --from clothes.toml:Bag,Boot --out set.assembly && fratc add-class set.assembly --from letters.toml:A --out more.assembly"
)]
pub struct Cmd {
    /// The assembly to add to: what `fratc assemble --out FILE.assembly` or this command wrote
    assembly: PathBuf,
    /// Classes to add, for example letters.toml:A,B; may be given several times
    #[arg(long, value_name = "CASE.toml:A,B", required = true)]
    from: Vec<From>,
    /// The assembly to write; may be the same file
    #[arg(long, short, value_name = "FILE.assembly")]
    out: PathBuf,
    #[command(flatten)]
    size: SizeArgs,
}

impl Cmd {
    pub fn run(&self, shell: &Shell) -> Result<()> {
        let options = AddClassOptions { from: self.from.clone(), route: self.size.options(), out: self.out.clone() };
        let summary = pipeline::add_class(&self.assembly, &options, shell)?;
        shell.print(&summary, |s| {
            let mut text = format!(
                "{}: {} added to {} classes, {} → {} MACs, {} → {} params\n",
                s.path,
                s.added.join(", "),
                s.classes.len() - s.added.len(),
                s.macs[0],
                s.macs[1],
                s.params[0],
                s.params[1]
            );
            if let Some(a) = &s.accuracy {
                let _ = writeln!(
                    text,
                    "test, mean over classes, float: former classes {:.2} % before, {:.2} % among all; new {:.2} %; all {:.2} %",
                    a.before * 100.0,
                    a.former * 100.0,
                    a.added * 100.0,
                    a.all * 100.0
                );
            }
            text
        })
    }
}
