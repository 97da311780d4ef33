//! The program without some channels and tensors: every table sliced once.

use super::taps::Layout;
use crate::qir::{Bias, Conv, Dense, Layer, Op, PadValue, Program, TensorId};

/// `program` with the `kept` channels of the `needed` tensors, and without the layers of the others.
///
/// Every needed tensor keeps a channel, and what a needed layer reads is needed (of a concatenation at least one part).
pub(super) fn cut(program: &Program, kept: &[Vec<bool>], needed: &[bool]) -> Program {
    let mut ids: Vec<Option<TensorId>> = Vec::with_capacity(needed.len());
    let mut tensors = Vec::new();
    for ((tensor, kept), &needed) in program.tensors.iter().zip(kept).zip(needed) {
        ids.push(needed.then_some(TensorId(tensors.len() as u32)));
        if needed {
            let mut tensor = tensor.clone();
            tensor.shape.c = kept.iter().filter(|k| **k).count();
            tensors.push(tensor);
        }
    }
    let layers = program.layers.iter().filter_map(|layer| {
        let output = ids[layer.output.index()]?;
        let inputs = layer.inputs.iter().filter_map(|id| ids[id.index()]).collect();
        Some(Layer { name: layer.name.clone(), op: cut_op(program, layer, kept), inputs, output })
    });
    Program {
        name: program.name.clone(),
        input_kind: program.input_kind,
        layers: layers.collect(),
        tensors,
        output: ids[program.output.index()].unwrap_or(program.output),
        classes: program.classes.clone(),
        reject: program.reject,
        provenance: program.provenance.clone(),
    }
}

fn cut_op(program: &Program, layer: &Layer, kept: &[Vec<bool>]) -> Op {
    let (inputs, outputs) = (&kept[layer.inputs[0].index()], &kept[layer.output.index()]);
    match &layer.op {
        Op::Conv(conv) => Op::Conv(cut_conv(program, layer, conv, inputs, outputs)),
        Op::Depthwise(conv) => Op::Depthwise(cut_conv(program, layer, conv, inputs, outputs)),
        Op::Dense(dense) => {
            let features = dense.weights.len() / dense.bias.len();
            let rows = kept_of(dense.weights.chunks_exact(features), outputs);
            Op::Dense(Dense {
                weights: rows.flat_map(|row| kept_of(row.iter().copied(), inputs)).collect(),
                bias: kept_of(dense.bias.iter().copied(), outputs).collect(),
                requant: crate::qir::Requant {
                    multipliers: kept_of(dense.requant.multipliers.iter().copied(), outputs).collect(),
                    ..dense.requant.clone()
                },
            })
        }
        // Groups and flattened maps keep all their channels, see `unread`.
        op @ (Op::Grouped(_)
        | Op::Add(_)
        | Op::Gate(_)
        | Op::MaxPool(_)
        | Op::AvgPool(_)
        | Op::Concat
        | Op::Flatten
        | Op::Adapt(_)
        | Op::Lookup(_)) => op.clone(),
    }
}

fn cut_conv(program: &Program, layer: &Layer, conv: &Conv, inputs: &[bool], outputs: &[bool]) -> Conv {
    let depthwise = matches!(layer.op, Op::Depthwise(_));
    let layout =
        Layout::new(conv, depthwise, program.tensor(layer.inputs[0]).shape, program.tensor(layer.output).shape);
    let weights = if depthwise {
        kept_of(conv.weights.iter().copied(), outputs).collect()
    } else {
        let filters = kept_of(conv.weights.chunks_exact(layout.taps * layout.inputs), outputs);
        filters.flat_map(|filter| kept_of(filter.iter().copied(), inputs)).collect()
    };
    let mut cut = Conv { weights, ..conv.clone() };
    match &mut cut.bias {
        Bias::Channel(table) | Bias::Border { table, .. } => {
            *table = kept_of(table.iter().copied(), outputs).collect();
        }
    }
    if let PadValue::Channel(values) = &mut cut.pad {
        *values = kept_of(values.iter().copied(), inputs).collect();
    }
    cut.requant.multipliers = kept_of(conv.requant.multipliers.iter().copied(), outputs).collect();
    cut
}

/// Of values that run through the channels again and again, those of kept channels.
fn kept_of<T>(values: impl Iterator<Item = T>, kept: &[bool]) -> impl Iterator<Item = T> {
    values.zip(kept.iter().cycle()).filter(|(_, kept)| **kept).map(|(value, _)| value)
}
