//! `fratc components`.

use std::path::PathBuf;

use crate::cli::Shell;
use crate::diag::Result;
use crate::pipeline::{self, ComponentsOptions};

/// List the classes of a source as parts: size alone, overlap, what adding one to a set costs; routes as a figure
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: fratc components signs.toml --to stop,left --svg routes.svg")]
pub struct Cmd {
    /// Case file: model, input contract and data
    case: PathBuf,
    /// Classes to list: names or indices, comma-separated [default: the case's, else all]
    #[arg(long, value_delimiter = ',', value_name = "A,B,C")]
    classes: Vec<String>,
    /// A channel is on a class's route if its score is at least this share of the largest in its group, 0 to 1
    #[arg(long, default_value_t = 0.2, value_name = "SHARE")]
    threshold: f64,
    /// Say what each class would add to this set
    #[arg(long, value_delimiter = ',', value_name = "A,B,C")]
    to: Vec<String>,
    /// Use this route library (`fratc attribute`) instead of attributing again
    #[arg(long, value_name = "FILE.frat")]
    library: Option<PathBuf>,
    /// Draw the routes, classes × layers × channels, into this file
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
}

impl Cmd {
    pub fn run(&self, shell: &Shell) -> Result<()> {
        let options = ComponentsOptions {
            classes: self.classes.clone(),
            threshold: self.threshold,
            to: self.to.clone(),
            library: self.library.clone(),
            svg: self.svg.clone(),
        };
        let components = pipeline::components(&self.case, &options, shell)?;
        shell.print(&components, ToString::to_string)
    }
}
