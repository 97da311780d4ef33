//! The operators that can be imported, and the search for all others.

use std::collections::{BTreeMap, BTreeSet};

use crate::diag::{Diag, Result};
use crate::load::proto::{Checked, node_name};

/// Every ONNX operator that a network may use, with its limits; constants may be computed with any operator.
pub const SUPPORTED_OPS: &[(&str, &str)] = &[
    ("Add", "two tensors of one shape, or a per-channel constant"),
    ("AveragePool", "2-D"),
    ("BatchNormalization", "inference form"),
    ("Cast", "to float"),
    ("Clip", "constant bounds"),
    ("Concat", "along the channels"),
    ("Conv", "2-D; any stride, padding, dilation and groups; constant weights"),
    ("Div", "by a per-channel constant"),
    ("Dropout", "inference form"),
    ("Flatten", "to one vector per sample"),
    ("Gemm", "constant weights"),
    ("GlobalAveragePool", ""),
    ("GlobalMaxPool", ""),
    ("HardSigmoid", ""),
    ("HardSwish", ""),
    ("Identity", ""),
    ("LeakyRelu", ""),
    ("MatMul", "constant weights on the right"),
    ("Max", "with a constant scalar"),
    ("MaxPool", "2-D, values only"),
    ("Min", "with a constant scalar"),
    ("Mul", "by a per-channel constant or a channel gate"),
    ("Pad", "constant border of rows and columns"),
    ("ReduceMean", "over rows and columns"),
    ("Relu", ""),
    ("Reshape", "that keeps the shape, flattens, or adds and removes dimensions of one"),
    ("Sigmoid", ""),
    ("Softmax", "as the output"),
    ("Squeeze", ""),
    ("Sub", "with a per-channel constant"),
    ("Transpose", "between NCHW and NHWC"),
    ("Unsqueeze", ""),
];

/// The supported operators as one line: `Add, AveragePool, …`.
pub fn supported_ops() -> String {
    let names: Vec<&str> = SUPPORTED_OPS.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

/// Fails with `load/unsupported-op`, naming every node whose operator cannot be imported.
///
/// Nodes that only compute constants are left to tract, whatever their operator.
pub(super) fn check(checked: &Checked) -> Result<()> {
    let constant = constant_tensors(checked);
    let mut by_op: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut count = 0;
    for node in &checked.graph().node {
        if node.output.iter().all(|name| name.is_empty() || constant.contains(name.as_str())) {
            continue;
        }
        let standard = matches!(node.domain.as_str(), "" | "ai.onnx");
        if !standard || SUPPORTED_OPS.binary_search_by_key(&node.op_type.as_str(), |(name, _)| name).is_err() {
            let op = if standard { node.op_type.clone() } else { format!("{}::{}", node.domain, node.op_type) };
            by_op.entry(op).or_default().push(format!("`{}`", node_name(node)));
            count += 1;
        }
    }
    if by_op.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = by_op.iter().map(|(op, nodes)| format!("{op} ({})", nodes.join(", "))).collect();
    let nodes = if count == 1 { "1 node uses an operator" } else { "nodes use operators" };
    let count = if count == 1 { String::new() } else { format!("{count} ") };
    Diag::new("load/unsupported-op", format!("{count}{nodes} that fratc cannot import: {}", list.join("; ")))
        .help(format!(
            "supported are {}; replace the layer before training, export it in terms of these (for example \
             Relu for Gelu, a strided Conv for Resize), or cut the network at the last supported tensor with \
             onnx.utils.extract_model",
            supported_ops()
        ))
        .err()
}

/// Names of tensors whose value does not depend on the input's values: initialisers, results of nodes that read
/// only such tensors, and shapes.
pub(super) fn constant_tensors(checked: &Checked) -> BTreeSet<&str> {
    let mut constant: BTreeSet<&str> = checked.graph().initializer.iter().map(|t| t.name.as_str()).collect();
    for node in &checked.graph().node {
        let random = node.op_type.starts_with("Random") || node.op_type == "Multinomial";
        let all = node.input.iter().filter(|name| !name.is_empty()).all(|name| constant.contains(name.as_str()));
        if (all && !random) || matches!(node.op_type.as_str(), "Shape" | "Size") {
            constant.extend(node.output.iter().filter(|name| !name.is_empty()).map(String::as_str));
        }
    }
    constant
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_for_binary_search() {
        assert!(SUPPORTED_OPS.is_sorted_by(|a, b| a.0 < b.0));
    }
}
