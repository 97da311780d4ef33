//! Softmax over the classes.

use crate::diag::Result;
use crate::ir::op::Op;
use crate::load::attributes::Source;
use crate::load::importer::Importer;
use crate::load::layout::Axis;

pub(crate) fn convert(node: Source, importer: &mut Importer) -> Result<()> {
    let x = importer.activation(node, 0)?;
    // Before opset 13 the axis is where the tensor is flattened from.
    let flattens = importer.opset < 13;
    let axis = node.int("axis", if flattens { 1 } else { -1 })?;
    let over_classes = match x.axis(axis) {
        Some(at) if flattens => x.axes[at..].contains(&Axis::Channel),
        Some(at) => x.axes[at] == Axis::Channel,
        None => false,
    };
    if !over_classes || x.shape.plane() != 1 {
        return node.unsupported("a softmax over something else than the classes").err();
    }
    importer.emit(node, Op::Softmax, &[x.id], &x.axes, x.order)
}
