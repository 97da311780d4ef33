//! Nodes that do nothing at inference: the output is another name of the input.

use tract_onnx::pb::tensor_proto::DataType;

use crate::diag::Result;
use crate::load::attributes::Source;
use crate::load::importer::{Importer, Operand};

pub(crate) fn convert(node: Source, importer: &mut Importer) -> Result<()> {
    let x = importer.activation(node, 0)?;
    if node.op() == "Cast" && node.int("to", 0)? != i64::from(DataType::Float as i32) {
        return node.unsupported("a cast of a feature map to something else than float").err();
    }
    if node.op() == "Dropout" && node.input(2).is_some() {
        let training = match importer.operand(node, 2)? {
            Operand::Constant(_) => importer.ints(node, 2)?.is_some_and(|v| v.iter().any(|&b| b != 0)),
            Operand::Activation(_) => true,
        };
        if training {
            return node
                .unsupported("dropout in training form")
                .help("export the model in evaluation mode: model.eval() before torch.onnx.export")
                .err();
        }
    }
    importer.bind(node, x);
    Ok(())
}
