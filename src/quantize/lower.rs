//! Stage by stage from the prepared float graph to the layers of an int8 program.

use crate::data::InputKind;
use crate::diag::{Diag, Result};
use crate::ir::op::Op as Float;
use crate::ir::{NodeId, Shape};
use crate::qir::{self, Hwc, Layer, Op, Program, Provenance, Quant, Tensor, TensorId};
use crate::quantize::add::lower_add;
use crate::quantize::fold_input::{InputMap, Reader};
use crate::quantize::fuse::Stage;
use crate::quantize::gate::lower_gate;
use crate::quantize::linear::{Place, lower_conv, lower_dense, lower_window};
use crate::quantize::lookup::{function, table};
use crate::quantize::pad::lower_pad;
use crate::quantize::pool::{global_window, lower_avg_pool};
use crate::quantize::prepare::{Prepared, is_adapted};
use crate::quantize::ranges::Ranges;

/// What a program carries beside its layers.
pub(super) struct Labels<'a> {
    /// Name of the program.
    pub name: &'a str,
    /// Class names.
    pub classes: &'a [String],
    /// Origin.
    pub provenance: Provenance,
    /// Type of the raw input.
    pub kind: InputKind,
}

/// Lowers every stage; layer `i` of the program is stage `i`.
pub(super) fn lower(prepared: &Prepared, stages: &[Stage], ranges: &Ranges, labels: Labels<'_>) -> Result<Program> {
    let graph = &prepared.graph;
    let input = graph.node(graph.input());
    let mut builder = Builder {
        prepared,
        ranges,
        memory: memory_shapes(prepared),
        ids: vec![None; graph.nodes.len()],
        tensors: vec![Tensor {
            name: input.name.clone(),
            shape: hwc(input.shape),
            quant: prepared.input.nearest_quant(),
        }],
    };
    builder.ids[0] = Some(TensorId(0));
    let layers = stages.iter().map(|stage| builder.layer(stage)).collect::<Result<Vec<Layer>>>()?;
    let output = builder.tensor(graph.output)?;
    Ok(Program {
        name: labels.name.into(),
        input_kind: match labels.kind {
            InputKind::U8 => qir::InputKind::U8,
            InputKind::I8 => qir::InputKind::I8,
        },
        tensors: builder.tensors,
        layers,
        output,
        classes: labels.classes.to_vec(),
        reject: None,
        provenance: labels.provenance,
    })
}

fn hwc(shape: Shape) -> Hwc {
    Hwc { h: shape.h, w: shape.w, c: shape.c }
}

/// Each node's shape as it lies in device memory: where flattening moves nothing, what follows it up to the next
/// dense layer keeps the shape of the map.
fn memory_shapes(prepared: &Prepared) -> Vec<Shape> {
    let mut shapes: Vec<Shape> = Vec::with_capacity(prepared.moves.len());
    for (node, &moves) in prepared.graph.nodes.iter().zip(&prepared.moves) {
        shapes.push(match &node.op {
            Float::Flatten if !moves => shapes[node.inputs[0].index()],
            op if function(op).is_some() => shapes[node.inputs[0].index()],
            _ => node.shape,
        });
    }
    shapes
}

struct Builder<'a> {
    prepared: &'a Prepared,
    ranges: &'a Ranges,
    memory: Vec<Shape>,
    ids: Vec<Option<TensorId>>,
    tensors: Vec<Tensor>,
}

impl Builder<'_> {
    fn layer(&mut self, stage: &Stage) -> Result<Layer> {
        let prepared = self.prepared;
        let node = prepared.graph.node(stage.node);
        let inputs: Vec<NodeId> = node.inputs.iter().map(|&id| self.stored(id)).collect();
        let quant = self.quant(stage.output)?;
        let shape = self.memory[stage.output.index()];
        let source = inputs[0];
        let input = self.memory[source.index()];
        let op = match &node.op {
            Float::Conv(_) | Float::Dense(_) | Float::Pad(_) => {
                let reader = match prepared.raw(source) {
                    Some(map) => Reader::raw(&map),
                    None => Reader::tensor(self.quant(source)?, input.c),
                };
                let place =
                    Place { name: &node.name, reader: &reader, input, output: shape, quant, bounds: stage.bounds };
                match &node.op {
                    Float::Conv(conv) => lower_conv(conv, &place)?,
                    Float::Dense(dense) => lower_dense(dense, &place)?,
                    Float::Pad(pad) => lower_pad(pad, &place)?,
                    other => return unexpected(&node.name, other),
                }
            }
            Float::Add => {
                let (a, b) = (self.quant(inputs[0])?, self.quant(inputs[1])?);
                Op::Add(lower_add(a, b, quant, stage.bounds, &node.name)?)
            }
            Float::Gate => {
                let (x, gate) = (self.quant(inputs[0])?, self.quant(inputs[1])?);
                Op::Gate(lower_gate([x, gate], quant, stage.bounds, &node.name)?)
            }
            Float::AvgPool(pool) => {
                Op::AvgPool(lower_avg_pool(pool, self.quant(source)?, quant, stage.bounds, &node.name)?)
            }
            Float::GlobalAvgPool => {
                let pool = global_window(input.h, input.w);
                Op::AvgPool(lower_avg_pool(&pool, self.quant(source)?, quant, stage.bounds, &node.name)?)
            }
            Float::MaxPool(pool) => Op::MaxPool(lower_window(&pool.window)),
            Float::Concat => Op::Concat,
            Float::Flatten => Op::Flatten,
            Float::Adapt(adapt) => {
                let raw = |map: InputMap| map == InputMap::pixels(input.c);
                if !prepared.raw(source).map_or_else(|| is_adapted(&prepared.graph, source), raw) {
                    return unexpected(&node.name, &node.op);
                }
                Op::Adapt(qir::Adapt { block: adapt.block, first: adapt.first, grey: adapt.grey })
            }
            other => match function(other) {
                Some(function) => Op::Lookup(table(function.as_ref(), self.quant(source)?, quant)),
                None => return unexpected(&node.name, other),
            },
        };
        let inputs = inputs.iter().map(|&id| self.tensor(id)).collect::<Result<Vec<TensorId>>>()?;
        let output = TensorId(self.tensors.len() as u32);
        self.ids[stage.output.index()] = Some(output);
        self.tensors.push(Tensor { name: prepared.graph.node(stage.output).name.clone(), shape: hwc(shape), quant });
        Ok(Layer { name: node.name.clone(), op, inputs, output })
    }

    /// The node whose tensor `id` stands for: flattening stores nothing where it moves nothing.
    fn stored(&self, mut id: NodeId) -> NodeId {
        while self.prepared.graph.node(id).op == Float::Flatten && !self.prepared.moves[id.index()] {
            id = self.prepared.graph.node(id).inputs[0];
        }
        id
    }

    fn tensor(&self, id: NodeId) -> Result<TensorId> {
        let id = self.stored(id);
        let node = self.prepared.graph.node(id);
        let below = node.inputs.first().filter(|below| is_adapted(&self.prepared.graph, **below));
        let id = match (&node.op, below) {
            (Float::Affine(_), Some(&below)) => below,
            _ if self.prepared.raw(id).is_some() => return Ok(TensorId(0)),
            _ => id,
        };
        self.ids[id.index()].map_or_else(|| unexpected(&self.prepared.graph.node(id).name, &Float::Input), Ok)
    }

    fn quant(&self, id: NodeId) -> Result<Quant> {
        self.ranges
            .get(id)
            .map_or_else(|| unexpected(&self.prepared.graph.node(id).name, &self.prepared.graph.node(id).op), Ok)
    }
}

/// A node that `prepare` should have rewritten or refused.
fn unexpected<T>(name: &str, op: &Float) -> Result<T> {
    Diag::new("quantize/unsupported-op", "a node has no int8 form here")
        .at(format!("layer \"{name}\""))
        .expected("an operator with an int8 layer", op.name())
        .help("report this model: the operator should have been rewritten before")
        .err()
}
