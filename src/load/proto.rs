//! Decodes the protobuf and checks everything that later steps rely on.
//!
//! Guaranteed afterwards: one float input of rank 4 with known sizes, one output, nodes in topological order
//! with every tensor defined once, and every initialiser as long as its dimensions say.

use std::collections::BTreeSet;

use prost::Message;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dim;
use tract_onnx::pb::type_proto::Value as Type;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto};

use crate::diag::{Diag, Result};

/// Operator sets whose meanings the importer follows.
const OPSETS: std::ops::RangeInclusive<i64> = 11..=20;
/// Values of one tensor and sizes of one dimension stay below this, so that no product can overflow.
pub(super) const MAX_VALUES: usize = 1 << 28;

/// A model that passed the checks.
pub(super) struct Checked {
    pub model: ModelProto,
    pub input: Input,
    pub output: String,
    pub opset: i64,
}

/// The model's only input.
pub(super) struct Input {
    pub name: String,
    /// Four dimensions; `None` is the batch's.
    pub dims: Vec<Option<usize>>,
}

impl Checked {
    pub fn graph(&self) -> &GraphProto {
        self.model.graph.as_ref().expect("check() refuses models without a graph")
    }
}

/// A node's name, or its first output's where the exporter gave none.
pub(super) fn node_name(node: &NodeProto) -> &str {
    if node.name.is_empty() { node.output.first().map_or("(unnamed)", String::as_str) } else { &node.name }
}

pub(super) fn check(bytes: &[u8]) -> Result<Checked> {
    if bytes.is_empty() {
        return Diag::new("load/empty", "the model file is empty").help("export or download it again").err();
    }
    check_framing(bytes)?;
    let model = ModelProto::decode(bytes).map_err(|e| {
        Diag::new("load/damaged", format!("the model's protobuf cannot be decoded ({e})"))
            .help("export or download it again")
    })?;
    let Some(graph) = &model.graph else {
        return Diag::new("load/not-onnx", "there is no network in the file")
            .help("fratc reads ONNX models; export to ONNX first, or download the file again")
            .err();
    };
    let opset = check_opset(&model)?;
    let initializers = check_initializers(graph)?;
    let input = check_input(graph, &initializers)?;
    check_nodes(graph, &initializers, &input)?;
    let output = check_output(graph)?;
    Ok(Checked { model, input, output, opset })
}

/// Walks the top-level fields, so that a file cut short is told apart from one that is no ONNX at all.
fn check_framing(bytes: &[u8]) -> Result<()> {
    let not_onnx = |at: usize| {
        Diag::new("load/not-onnx", "the file is not an ONNX model")
            .at(format!("byte {at}"))
            .help("fratc reads ONNX models; export to ONNX first")
    };
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let truncated = |missing: usize| {
            Diag::new("load/truncated", "the model file ends too early")
                .at(format!("byte {start}"))
                .expected(format!("{missing} more bytes"), format!("the end of the file after {} bytes", bytes.len()))
                .help("export or download it again")
        };
        let tag = match varint(bytes, &mut at) {
            Varint::Value(tag) => tag,
            Varint::End => return truncated(1).err(),
            Varint::Bad => return not_onnx(start).err(),
        };
        let skip = match (tag >> 3, tag & 7) {
            (0, _) => return not_onnx(start).err(),
            (_, 0) => match varint(bytes, &mut at) {
                Varint::Value(_) => 0,
                Varint::End => return truncated(1).err(),
                Varint::Bad => return not_onnx(start).err(),
            },
            (_, 1) => 8,
            (_, 5) => 4,
            (field, 2) => match varint(bytes, &mut at) {
                // Fields of a model have numbers up to 25: a larger one with a length past the end is no model.
                Varint::Value(n) if n > (bytes.len() - at) as u64 && (field > 25 || start == 0) => {
                    return not_onnx(start).err();
                }
                Varint::Value(n) => usize::try_from(n).unwrap_or(usize::MAX),
                Varint::End => return truncated(1).err(),
                Varint::Bad => return not_onnx(start).err(),
            },
            _ => return not_onnx(start).err(),
        };
        if skip > bytes.len() - at {
            return truncated(skip - (bytes.len() - at)).err();
        }
        at += skip;
    }
    Ok(())
}

enum Varint {
    Value(u64),
    End,
    Bad,
}

fn varint(bytes: &[u8], at: &mut usize) -> Varint {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let Some(&byte) = bytes.get(*at) else { return Varint::End };
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Varint::Value(value);
        }
    }
    Varint::Bad
}

fn check_opset(model: &ModelProto) -> Result<i64> {
    let version = model.opset_import.iter().find(|o| matches!(o.domain.as_str(), "" | "ai.onnx")).map(|o| o.version);
    match version {
        Some(version) if OPSETS.contains(&version) => Ok(version),
        other => Diag::new("load/opset", "the operator set is not supported")
            .expected(
                format!("opset {} to {}", OPSETS.start(), OPSETS.end()),
                other.map_or_else(|| "none".to_string(), |v| v.to_string()),
            )
            .help("export with opset_version=17, or convert with onnx.version_converter.convert_version")
            .err(),
    }
}

/// Checks the initialisers' sizes and returns their names.
fn check_initializers(graph: &GraphProto) -> Result<BTreeSet<&str>> {
    let mut names = BTreeSet::new();
    if !graph.sparse_initializer.is_empty() {
        return Diag::new("load/unsupported-use", "the model holds sparse weights")
            .help("export it with dense weights")
            .err();
    }
    for tensor in &graph.initializer {
        check_tensor(tensor)?;
        if !names.insert(tensor.name.as_str()) {
            return Diag::new("load/damaged", "a tensor is defined twice")
                .at(format!("tensor `{}`", tensor.name))
                .err();
        }
    }
    Ok(names)
}

fn check_tensor(tensor: &TensorProto) -> Result<()> {
    let at = format!("tensor `{}`", tensor.name);
    if tensor.data_location == Some(DataLocation::External as i32) || !tensor.external_data.is_empty() {
        return Diag::new("load/external-data", "weights lie in a file beside the model")
            .at(at)
            .help("save the model as one file: onnx.save_model(onnx.load(path), out, save_as_external_data=False)")
            .err();
    }
    let mut count = 1usize;
    for &dim in &tensor.dims {
        count = usize::try_from(dim)
            .ok()
            .and_then(|d| count.checked_mul(d))
            .filter(|&n| n < MAX_VALUES)
            .ok_or_else(|| Diag::new("load/damaged", "a tensor has impossible dimensions").at(&at))?;
    }
    let Ok(kind) = DataType::try_from(tensor.data_type) else {
        return Diag::new("load/damaged", "a tensor has an unknown element type").at(at).err();
    };
    let (bytes, typed) = match kind {
        DataType::Float => (4, tensor.float_data.len()),
        DataType::Double => (8, tensor.double_data.len()),
        DataType::Int64 => (8, tensor.int64_data.len()),
        DataType::Int32 => (4, tensor.int32_data.len()),
        DataType::Float16 | DataType::Int16 | DataType::Uint16 => (2, tensor.int32_data.len()),
        DataType::Int8 | DataType::Uint8 | DataType::Bool => (1, tensor.int32_data.len()),
        other => {
            return Diag::new("load/unsupported-use", "a tensor has an unsupported element type")
                .at(at)
                .expected("float, float16, double or an integer type", other.as_str_name())
                .help("export the float32 model; fratc quantizes it itself")
                .err();
        }
    };
    let found = if tensor.raw_data.is_empty() { typed * bytes } else { tensor.raw_data.len() };
    if found != count * bytes {
        return Diag::new("load/damaged", "a tensor's data does not match its dimensions")
            .at(at)
            .expected(format!("{} bytes", count * bytes), format!("{found} bytes"))
            .err();
    }
    Ok(())
}

fn check_input(graph: &GraphProto, initializers: &BTreeSet<&str>) -> Result<Input> {
    let inputs: Vec<_> = graph.input.iter().filter(|i| !initializers.contains(i.name.as_str())).collect();
    let [input] = inputs.as_slice() else {
        let names: Vec<&str> = inputs.iter().map(|i| i.name.as_str()).collect();
        return Diag::new("load/inputs", "the model does not have exactly one input")
            .expected("1 input", format!("{} ({})", inputs.len(), names.join(", ")))
            .help("fratc compiles image and feature classifiers: cut the model with onnx.utils.extract_model")
            .err();
    };
    let at = format!("input `{}`", input.name);
    let Some(Type::TensorType(tensor)) = input.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        return Diag::new("load/input-shape", "the input has no tensor type").at(at).err();
    };
    if tensor.elem_type != DataType::Float as i32 {
        let found = DataType::try_from(tensor.elem_type).map_or("an unknown type", |t| t.as_str_name());
        return Diag::new("load/input-shape", "the input is not float32")
            .at(at)
            .expected("FLOAT", found)
            .help("export the float32 model; fratc quantizes it itself")
            .err();
    }
    let dims: Vec<Option<usize>> = tensor.shape.iter().flat_map(|s| &s.dim).map(|d| known(d.value.as_ref())).collect();
    let text: Vec<String> = dims.iter().map(|d| d.map_or_else(|| "?".to_string(), |n| n.to_string())).collect();
    let sizes: Option<usize> =
        dims.iter().skip(1).try_fold(1usize, |n, d| n.checked_mul((*d)?).filter(|&n| n < MAX_VALUES));
    if dims.len() != 4 || sizes.is_none() || !matches!(dims[0], None | Some(1)) {
        return Diag::new("load/input-shape", "the input is not one image or feature map per sample")
            .at(at)
            .expected("4 dimensions, the first symbolic or 1, the others fixed", format!("[{}]", text.join(", ")))
            .help("export with a fixed image size; only the batch may be dynamic")
            .err();
    }
    Ok(Input { name: input.name.clone(), dims })
}

fn known(dim: Option<&Dim>) -> Option<usize> {
    match dim {
        Some(Dim::DimValue(n)) if *n > 0 => usize::try_from(*n).ok(),
        Some(Dim::DimValue(_) | Dim::DimParam(_)) | None => None,
    }
}

fn check_nodes(graph: &GraphProto, initializers: &BTreeSet<&str>, input: &Input) -> Result<()> {
    let mut defined = initializers.clone();
    defined.insert(&input.name);
    for node in &graph.node {
        let at = format!("node `{}`", node_name(node));
        for name in node.input.iter().filter(|n| !n.is_empty()) {
            if !defined.contains(name.as_str()) {
                return Diag::new(
                    "load/damaged",
                    format!("a node reads the tensor `{name}` that nothing makes before"),
                )
                .at(at)
                .help("check the model with onnx.checker.check_model")
                .err();
            }
        }
        if node.output.iter().all(String::is_empty) {
            return Diag::new("load/damaged", "a node has no output").at(at).err();
        }
        for name in node.output.iter().filter(|n| !n.is_empty()) {
            if !defined.insert(name) {
                return Diag::new("load/damaged", format!("the tensor `{name}` is defined twice")).at(at).err();
            }
        }
        for attribute in &node.attribute {
            if let Some(tensor) = &attribute.t {
                check_tensor(tensor).map_err(|d| Box::new(d.at(&at)))?;
            }
        }
    }
    match graph.output.iter().find(|o| !defined.contains(o.name.as_str())) {
        Some(output) => Diag::new("load/damaged", format!("nothing makes the model's output `{}`", output.name)).err(),
        None => Ok(()),
    }
}

fn check_output(graph: &GraphProto) -> Result<String> {
    if let [output] = graph.output.as_slice() {
        return Ok(output.name.clone());
    }
    let names: Vec<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
    Diag::new("load/outputs", "the model does not have exactly one output")
        .expected("1 output", format!("{} ({})", names.len(), names.join(", ")))
        .help("keep the class scores only: onnx.utils.extract_model(path, out, [input], [scores])")
        .err()
}
