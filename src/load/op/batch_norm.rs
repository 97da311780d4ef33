//! `BatchNormalization` in inference form: `scale · (x − mean) / √(var + ε) + bias`, one affine map per channel.

use crate::diag::Result;
use crate::ir::op::{Affine, Op};
use crate::load::attributes::Source;
use crate::load::importer::Importer;
use crate::load::layout::Axis;

pub(crate) fn convert(node: Source, importer: &mut Importer) -> Result<()> {
    let x = importer.activation(node, 0)?;
    if node.int("training_mode", 0)? != 0 || node.int("spatial", 1)? != 1 {
        return node
            .unsupported("batch norm in training form")
            .help("export the model in evaluation mode: model.eval() before torch.onnx.export")
            .err();
    }
    if x.axes.get(1) != Some(&Axis::Channel) && x.shape.c != 1 {
        return node.unsupported("batch norm over an axis that is not the channels'").err();
    }
    let epsilon = f64::from(node.float("epsilon", 1e-5)?);
    let mut parameters: [&[f32]; 4] = [&[]; 4];
    for (i, slot) in parameters.iter_mut().enumerate() {
        *slot = match importer.floats(node, i + 1)? {
            Some((_, values)) if values.len() == x.shape.c => values,
            other => {
                let found = other.map_or(0, |(_, values)| values.len());
                return node.error("load/types", "wrong number of channels").expected(x.shape.c, found).err();
            }
        };
    }
    let [gain, offset, mean, variance] = parameters;
    let mut affine = Affine { scale: vec![0.0; x.shape.c], shift: vec![0.0; x.shape.c] };
    for i in 0..x.shape.c {
        let scale = f64::from(gain[i]) / (f64::from(variance[i]) + epsilon).sqrt();
        affine.scale[x.channel(i)] = scale;
        affine.shift[x.channel(i)] = f64::from(offset[i]) - f64::from(mean[i]) * scale;
    }
    importer.emit(node, Op::Affine(affine), &[x.id], &x.axes, x.order)
}
