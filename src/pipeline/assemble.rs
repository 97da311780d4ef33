//! `fratc assemble`: the small float network as ONNX.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::diag::{Diag, Result};
use crate::ir::onnx;
use crate::output;
use crate::pipeline::assembly::{self, is_assembly};
use crate::pipeline::inputs::spare;
use crate::pipeline::{From, HeadScale, Progress, RouteOptions, Source, finetune, joint, route};
use crate::report::{Finetune, SCHEMA};

/// What the user wants.
#[derive(Debug, Clone)]
pub struct AssembleOptions {
    /// Classes and size.
    pub route: RouteOptions,
    /// The ONNX file to write, or the assembly if it is called `.assembly`.
    pub out: PathBuf,
}

/// What `assemble --json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Layout version.
    pub schema: u32,
    /// The file written.
    pub path: String,
    /// Class names in output order.
    pub classes: Vec<String>,
    /// Share of channels kept.
    pub keep: f64,
    /// Channels at the cut of their group that a tie of scores left to the order of their indices.
    pub ties: usize,
    /// Samples that the weights were refitted to; 0 where they were not.
    pub refit_samples: usize,
    /// Fine-tuning; `null` when not run.
    pub finetune: Option<Finetune>,
    /// Weights and biases.
    pub params: usize,
    /// Multiply-accumulates per sample.
    pub macs: u64,
    /// Those of the source.
    pub source_macs: u64,
}

/// Cuts the wanted classes out of the case's network and writes the result.
pub fn assemble(case: &Path, options: &AssembleOptions, progress: &dyn Progress) -> Result<Summary> {
    spare(&options.out, options.route.libraries.iter().map(PathBuf::as_path).chain([case]))?;
    progress.stage("load");
    if is_assembly(&options.out) && !is_assembly(case) {
        // What may be extended later is a component among others from the start.
        let from = From { case: case.to_owned(), classes: options.route.classes.clone() };
        let route = RouteOptions { classes: Vec::new(), ..options.route.clone() };
        let options = AssembleOptions { route, ..options.clone() };
        return assemble_source(&joint::open(&[from], HeadScale::default(), false)?, &options, progress);
    }
    let source = Source { device: options.route.device, ..Source::open(case)? };
    assemble_source(&source, options, progress)
}

/// Joins components from several sources, cuts them, and writes the result.
pub fn assemble_from(
    from: &[From],
    scale: HeadScale,
    options: &AssembleOptions,
    progress: &dyn Progress,
) -> Result<Summary> {
    if scale == HeadScale::Joint && is_assembly(&options.out) {
        return Diag::new("joint/heads", "components with one last layer cannot be extended, as an assembly is")
            .at(options.out.display())
            .help("leave --heads joint out, or write an ONNX file")
            .err();
    }
    spare(&options.out, from.iter().map(|from| from.case.as_path()))?;
    progress.stage("load");
    let source = Source { device: options.route.device, ..joint::open(from, scale, false)? };
    assemble_source(&source, options, progress)
}

fn assemble_source(source: &Source, options: &AssembleOptions, progress: &dyn Progress) -> Result<Summary> {
    let classes = source.classes(&options.route.classes)?;
    let wanted = options.route.resolve(source)?;
    let mut cut = route::cut(source, &classes, &wanted, progress)?;
    let tuned = finetune::finetune(source, &classes, &mut cut, &wanted.finetune, progress)?;
    progress.stage("write");
    if is_assembly(&options.out) {
        assembly::save(source, &cut.graph, &options.out)?;
    } else {
        output::write_file(&options.out, &onnx::to_onnx(&cut.graph, env!("CARGO_PKG_VERSION")))?;
    }
    Ok(Summary {
        schema: SCHEMA,
        path: options.out.display().to_string(),
        classes: source.names(&classes),
        keep: cut.route.keep,
        ties: cut.route.ties,
        refit_samples: cut.route.refit_samples,
        finetune: tuned,
        params: cut.graph.params(),
        macs: cut.graph.macs(),
        source_macs: source.graph.macs(),
    })
}
