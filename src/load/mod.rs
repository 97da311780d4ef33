//! ONNX to the float graph.
//!
//! In: the bytes of an ONNX model (opset 11 to 20, NCHW or NHWC, batch symbolic or 1). Out: a verified
//! [`crate::ir::Graph`] in channel-first layout plus what [`Loaded`] says about the source. Guaranteed: no input
//! makes this module panic; every node of an unsupported type is named in one error; node names are the
//! source's; every tensor's shape equals what tract's own type inference says of it.
//!
//! The steps, one module each: `proto` decodes and checks the file, `supported` lists the operators and finds
//! every other one, `infer` lets tract type the model at batch 1 and fold its constants, `importer` walks the
//! ONNX nodes and hands each to its family in `op`. Operators are read from the ONNX nodes and not from tract's
//! typed graph, which has already taken clips, hard swishes and poolings apart.

mod attributes;
mod digest;
mod importer;
mod infer;
mod layout;
mod op;
mod proto;
mod supported;

use std::path::Path;

use crate::diag::{Diag, Result};
use crate::ir::Graph;

pub use digest::{check_sha256, sha256_hex};
pub use supported::{SUPPORTED_OPS, supported_ops};

/// A model as fratc edits it, and what is known of the file it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The network, verified, in channel-first layout; batch norms still separate.
    pub graph: Graph,
    /// SHA-256 of the file, lower-case hex.
    pub sha256: String,
    /// The file's name without its folder.
    pub file_name: String,
    /// The input as the file declares it.
    pub source: SourceInput,
    /// ONNX operator set version.
    pub opset: i64,
    /// Name and version of the exporter, as the file says; may be empty.
    pub producer: String,
}

/// The model's input as the ONNX file declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceInput {
    /// Its name.
    pub name: String,
    /// Its dimensions; `None` is the symbolic batch.
    pub dims: Vec<Option<usize>>,
    /// Which dimension is the channels'.
    pub layout: SourceLayout,
}

/// Order of a source model's input dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceLayout {
    /// Batch, channels, rows, columns.
    Nchw,
    /// Batch, rows, columns, channels.
    Nhwc,
}

impl SourceLayout {
    /// `NCHW` or `NHWC`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nchw => "NCHW",
            Self::Nhwc => "NHWC",
        }
    }
}

/// Loads the ONNX model at `path`.
///
/// Errors: `load/no-file`, and those of [`load_bytes`].
pub fn load(path: &Path) -> Result<Loaded> {
    let bytes = std::fs::read(path).map_err(|e| {
        Diag::new("load/no-file", format!("cannot read the model: {e}"))
            .at(path.display())
            .help("check the path; a case file's paths are relative to the case file")
    })?;
    let name = path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
    load_bytes(&bytes, &name)
}

/// Loads an ONNX model from its bytes; `name` stands for it in errors.
///
/// Errors: `load/empty`, `load/truncated`, `load/not-onnx`, `load/damaged`, `load/opset`, `load/inputs`,
/// `load/outputs`, `load/input-shape`, `load/external-data`, `load/unsupported-op` (every such node at once),
/// `load/unsupported-use` (a supported operator used in a way that is not), `load/not-finite`, `load/types`,
/// `load/too-large`, `load/output-shape`.
pub fn load_bytes(bytes: &[u8], name: &str) -> Result<Loaded> {
    let in_file = |mut diag: Box<Diag>| {
        diag.place = Some(diag.place.map_or_else(|| name.to_string(), |place| format!("{name}, {place}")));
        diag
    };
    let checked = proto::check(bytes).map_err(in_file)?;
    supported::check(&checked).map_err(in_file)?;
    let facts = infer::infer(&checked).map_err(in_file)?;
    let (graph, layout) = importer::import(&checked, facts).map_err(in_file)?;
    graph.verify().map_err(in_file)?;
    let producer = format!("{} {}", checked.model.producer_name, checked.model.producer_version).trim().to_string();
    Ok(Loaded {
        graph,
        sha256: sha256_hex(bytes),
        file_name: name.to_string(),
        source: SourceInput { name: checked.input.name.clone(), dims: checked.input.dims.clone(), layout },
        opset: checked.opset,
        producer,
    })
}
