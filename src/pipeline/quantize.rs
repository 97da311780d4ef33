//! `fratc quantize`, and the lowering that `build` shares.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::data::Samples;
use crate::diag::{Diag, Result};
use crate::ir::{Graph, pass};
use crate::pipeline::inputs::spare;
use crate::pipeline::{Progress, Source, calibration};
use crate::qir::{self, Program, Provenance};
use crate::report::SCHEMA;
use crate::{load, plan, quantize};

/// What the user wants.
#[derive(Debug, Clone)]
pub struct QuantizeOptions {
    /// Network to lower instead of the case's.
    pub model: Option<PathBuf>,
    /// Its classes, in output order.
    pub classes: Vec<String>,
    /// The program file to write.
    pub out: PathBuf,
    /// Calibrate on this many random inputs.
    pub random_calibration: Option<usize>,
    /// Seed of the random inputs.
    pub seed: u64,
}

/// What `quantize --json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Layout version.
    pub schema: u32,
    /// The file written.
    pub path: String,
    /// Class names in output order.
    pub classes: Vec<String>,
    /// Kernel calls of one inference.
    pub layers: usize,
    /// Multiply-accumulates of one inference.
    pub macs: u64,
    /// Bytes of int8 weights.
    pub weights_bytes: usize,
}

/// Lowers a network with the case's input contract and calibration samples.
pub fn quantize(case: &Path, options: &QuantizeOptions, progress: &dyn Progress) -> Result<Summary> {
    spare(&options.out, [Some(case), options.model.as_deref()].into_iter().flatten())?;
    progress.stage("load");
    let source = Source::open(case)?;
    let classes = source.classes(&options.classes)?;
    let graph = match &options.model {
        Some(path) => pass::simplify(load::load(path)?.graph)?,
        None => source.graph.clone(),
    };
    if graph.classes() != classes.len() {
        return Diag::new("quantize/classes", "the network's outputs do not match --classes")
            .expected(format!("{} classes", graph.classes()), classes.len())
            .help("name the classes in the order of the network's outputs, as given to `fratc assemble`")
            .err();
    }
    progress.stage("quantize");
    let samples = samples(&source, &classes, options.random_calibration, options.seed)?;
    let name = crate_name(&options.out)?;
    let words = vec![format!("--classes {}", source.names(&classes).join(","))];
    let program = lower(&source, &graph, &classes, &samples, &name, words)?;
    progress.stage("write");
    qir::save(&program, &options.out)?;
    Ok(Summary {
        schema: SCHEMA,
        path: options.out.display().to_string(),
        classes: program.classes.clone(),
        layers: program.layers.len(),
        macs: program.macs(),
        weights_bytes: plan::plan(&program)?.sizes.weights_bytes,
    })
}

/// The samples that ranges are measured on: the wanted classes' calibration samples, or random ones if asked for.
pub fn samples(source: &Source, classes: &[usize], random: Option<usize>, seed: u64) -> Result<Samples> {
    if let Some(n) = random {
        return Ok(Samples::random(&source.case.input, n, seed));
    }
    let all = source.calibration()?;
    all.require_classes(classes, &source.case.label_names)?;
    Ok(all.select(&calibration::of_classes(all, classes)))
}

/// `graph` as an int8 program for `classes` (indices into the source's) of `source`.
pub fn lower(
    source: &Source,
    graph: &Graph,
    classes: &[usize],
    samples: &Samples,
    name: &str,
    options: Vec<String>,
) -> Result<Program> {
    let provenance = Provenance { models: source.models(), options };
    quantize::quantize(
        graph,
        &source.case.input,
        samples,
        name,
        &source.names(classes),
        provenance,
        &quantize::Options::default(),
    )
}

/// A crate name from the last component of an output path: lower case, digits, `-` and `_`.
pub fn crate_name(out: &Path) -> Result<String> {
    let whole = std::path::absolute(out).unwrap_or_else(|_| out.to_owned());
    let stem = whole.file_stem().map_or_else(String::new, |n| n.to_string_lossy().to_lowercase());
    let name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
    let name = name.trim_matches('-').to_string();
    if qir::is_crate_name(&name) {
        return Ok(name);
    }
    Diag::new("cli/crate-name", "no crate name can be made of the output's name")
        .at(out.display())
        .expected("a name that starts with a letter and is no keyword of Rust", format!("\"{name}\""))
        .help("choose another --out")
        .err()
}
