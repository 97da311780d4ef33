//! Walks the ONNX nodes in order and builds the graph.
//!
//! The importer keeps for every ONNX tensor either its constant or the [`Activation`] that holds it. Each
//! operator family in `op` reads operands through it and emits graph nodes under the source node's name; nodes
//! that do nothing only give a tensor a second name.

use std::collections::{BTreeMap, BTreeSet};

use crate::diag::{Diag, Result};
use crate::ir::op::Op;
use crate::ir::{Graph, NodeId, Shape};
use crate::load::SourceLayout;
use crate::load::attributes::Source;
use crate::load::infer::{Constant, Facts, Values};
use crate::load::layout::{Activation, Axis, NCHW, NHWC};
use crate::load::op as family;
use crate::load::proto::{Checked, MAX_VALUES};

/// One operand of a node.
pub(super) enum Operand<'a> {
    Activation(Activation),
    Constant(&'a Constant),
}

pub(super) struct Importer {
    pub graph: Graph,
    facts: Facts,
    activations: BTreeMap<String, Activation>,
    /// Readers of each ONNX tensor, the model's output included.
    readers: BTreeMap<String, usize>,
    /// The ONNX tensor that each graph node was made for.
    made_for: BTreeMap<NodeId, String>,
    names: BTreeSet<String>,
    pub opset: i64,
}

pub(super) fn import(checked: &Checked, facts: Facts) -> Result<(Graph, SourceLayout)> {
    let layout = input_layout(checked);
    let dims: Vec<usize> = checked.input.dims.iter().map(|d| d.unwrap_or(1)).collect();
    let (shape, axes) = match layout {
        SourceLayout::Nchw => (Shape::new(dims[1], dims[2], dims[3]), NCHW),
        SourceLayout::Nhwc => (Shape::new(dims[3], dims[1], dims[2]), NHWC),
    };
    let input = &checked.input.name;
    let graph = Graph::new(input, shape);
    let mut importer = Importer {
        activations: BTreeMap::from([(input.clone(), Activation::new(graph.input(), shape, axes))]),
        names: BTreeSet::from([input.clone()]),
        made_for: BTreeMap::new(),
        readers: BTreeMap::new(),
        opset: checked.opset,
        facts,
        graph,
    };
    for node in &checked.graph().node {
        for name in &node.input {
            *importer.readers.entry(name.clone()).or_default() += 1;
        }
    }
    *importer.readers.entry(checked.output.clone()).or_default() += 1;
    for node in &checked.graph().node {
        let node = Source(node);
        if importer.facts.constants.contains_key(node.output()) {
            continue;
        }
        convert(node, &mut importer)?;
        importer.check_shape(node)?;
    }
    importer.finish(&checked.output).map(|graph| (graph, layout))
}

fn convert(node: Source, importer: &mut Importer) -> Result<()> {
    match node.op() {
        "Conv" => family::conv::convert(node, importer),
        "Gemm" => family::dense::gemm(node, importer),
        "MatMul" => family::dense::matmul(node, importer),
        "BatchNormalization" => family::batch_norm::convert(node, importer),
        "Relu" | "Clip" | "Max" | "Min" | "LeakyRelu" | "Sigmoid" | "HardSigmoid" | "HardSwish" => {
            family::activation::convert(node, importer)
        }
        "Add" | "Sub" | "Mul" | "Div" => family::arithmetic::convert(node, importer),
        "MaxPool" | "AveragePool" => family::pool::windowed(node, importer),
        "GlobalAveragePool" | "GlobalMaxPool" => family::pool::global(node, importer),
        "ReduceMean" => family::pool::reduce_mean(node, importer),
        "Concat" => family::concat::convert(node, importer),
        "Pad" => family::pad::convert(node, importer),
        "Transpose" => family::reshape::transpose(node, importer),
        "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" => family::reshape::convert(node, importer),
        "Softmax" => family::softmax::convert(node, importer),
        "Identity" | "Dropout" | "Cast" => family::identity::convert(node, importer),
        _ => node.error("load/unsupported-op", "the operator depends on the input's values").err(),
    }
}

impl Importer {
    /// Operand `i`, which must be there.
    pub fn operand(&self, node: Source, i: usize) -> Result<Operand<'_>> {
        let Some(name) = node.input(i) else {
            return node.error("load/damaged", format!("operand {i} is missing")).err();
        };
        if let Some(activation) = self.activations.get(name) {
            return Ok(Operand::Activation(activation.clone()));
        }
        match self.facts.constants.get(name) {
            Some(constant) => Ok(Operand::Constant(constant)),
            None => node.unsupported(format!("the tensor `{name}` is neither a feature map nor a constant")).err(),
        }
    }

    /// Operand `i`, which must depend on the input.
    pub fn activation(&self, node: Source, i: usize) -> Result<Activation> {
        match self.operand(node, i)? {
            Operand::Activation(activation) => Ok(activation),
            Operand::Constant(_) => node.unsupported(format!("operand {i} is a constant")).err(),
        }
    }

    /// Operand `i`'s dimensions and finite values, if it is given.
    pub fn floats(&self, node: Source, i: usize) -> Result<Option<(&[usize], &[f32])>> {
        if node.input(i).is_none() {
            return Ok(None);
        }
        let Operand::Constant(constant) = self.operand(node, i)? else {
            return node
                .unsupported(format!("operand {i} is computed from the input"))
                .expected("constant weights", "a feature map")
                .err();
        };
        let values = constant_floats(node, constant)?;
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            return node
                .error("load/not-finite", format!("the weights `{}` are not all finite", node.input(i).unwrap_or("")))
                .expected("finite numbers", format!("{} at index {at}", values[at]))
                .help("the training diverged or the file is damaged")
                .err();
        }
        Ok(Some((&constant.dims, values)))
    }

    /// Operand `i`'s values, each of which may be infinite; a scalar.
    pub fn scalar(&self, node: Source, i: usize) -> Result<Option<f32>> {
        if node.input(i).is_none() {
            return Ok(None);
        }
        match self.operand(node, i)? {
            Operand::Constant(constant) => match constant_floats(node, constant)? {
                [value] if !value.is_nan() => Ok(Some(*value)),
                values => node.unsupported(format!("operand {i} is not a number")).expected(1, values.len()).err(),
            },
            Operand::Activation(_) => node.unsupported(format!("operand {i} is computed from the input")).err(),
        }
    }

    /// Operand `i`'s integers, if it is given.
    pub fn ints(&self, node: Source, i: usize) -> Result<Option<&[i64]>> {
        if node.input(i).is_none() {
            return Ok(None);
        }
        match self.operand(node, i)? {
            Operand::Constant(Constant { values: Values::Int(values), .. }) => Ok(Some(values)),
            Operand::Constant(_) | Operand::Activation(_) => {
                node.unsupported(format!("operand {i} is not a constant list of integers")).err()
            }
        }
    }

    /// The shape that tract gives to the node's first output.
    pub fn output_dims(&self, node: Source) -> Result<&[usize]> {
        match self.facts.shapes.get(node.output()) {
            Some(dims) => Ok(dims),
            None => node.error("load/types", "the output's shape cannot be worked out").err(),
        }
    }

    /// Appends a graph node under `name`, made unique.
    pub fn push(&mut self, node: Source, name: &str, op: Op, inputs: &[NodeId]) -> Result<NodeId> {
        let mut unique = name.to_string();
        let mut n = 2;
        while !self.names.insert(unique.clone()) {
            unique = format!("{name}#{n}");
            n += 1;
        }
        let place = |mut d: Box<Diag>| {
            d.place = Some(format!("node `{}` ({})", node.name(), node.op()));
            d
        };
        op.verify().map_err(|d| place(Box::new(d)))?;
        let id = self.graph.push(unique, op, inputs).map_err(place)?;
        let Shape { c, h, w } = self.graph.shape(id);
        let values = [c, h, w].iter().try_fold(1usize, |n, &d| n.checked_mul(d).filter(|&n| n < MAX_VALUES));
        if values.is_none_or(|n| n == 0) {
            return node.error("load/too-large", format!("a feature map of {h}×{w}×{c} values is out of range")).err();
        }
        Ok(id)
    }

    /// Appends a node and makes it the node's first output, laid out as `axes`.
    pub fn emit(
        &mut self,
        node: Source,
        op: Op,
        inputs: &[NodeId],
        axes: &[Axis],
        order: Option<Vec<usize>>,
    ) -> Result<()> {
        let id = self.push(node, node.name(), op, inputs)?;
        self.made_for.insert(id, node.output().to_string());
        let shape = self.graph.shape(id);
        self.bind(node, Activation { id, shape, axes: axes.to_vec(), order });
        Ok(())
    }

    /// Makes `activation` the node's first output.
    pub fn bind(&mut self, node: Source, activation: Activation) {
        self.activations.insert(node.output().to_string(), activation);
    }

    /// Whether operand `i` is read by this node alone and holds a graph node of its own.
    pub fn is_only_reader(&self, node: Source, i: usize, id: NodeId) -> bool {
        node.input(i).is_some_and(|name| {
            self.readers.get(name) == Some(&1) && self.made_for.get(&id).is_some_and(|made| made == name)
        })
    }

    fn check_shape(&self, node: Source) -> Result<()> {
        let (Some(ours), Some(theirs)) = (self.activations.get(node.output()), self.facts.shapes.get(node.output()))
        else {
            return Ok(());
        };
        if ours.dims() == *theirs {
            return Ok(());
        }
        node.error("load/types", "the output's shape is not the expected one")
            .expected(format!("{theirs:?}"), format!("{:?}", ours.dims()))
            .err()
    }

    fn finish(mut self, output: &str) -> Result<Graph> {
        let Some(scores) = self.activations.get(output) else {
            return Diag::new("load/output-shape", "the output does not depend on the input")
                .at(format!("output `{output}`"))
                .err();
        };
        if scores.shape.plane() != 1 || scores.order.is_some() {
            return Diag::new("load/output-shape", "the output is not one vector of class scores per sample")
                .at(format!("output `{output}`"))
                .expected("[batch, classes]", scores.describe())
                .help("fratc compiles classifiers; end the network with a pooling or dense layer")
                .err();
        }
        self.graph.output = scores.id;
        self.graph.prune_dead();
        Ok(self.graph)
    }
}

fn constant_floats<'a>(node: Source, constant: &'a Constant) -> Result<&'a [f32]> {
    match &constant.values {
        Values::Float(values) => Ok(values),
        Values::Int(_) => node.unsupported("integer constants in float arithmetic").err(),
    }
}

/// NHWC if the input, after arithmetic on single values, is first turned into NCHW; else NCHW.
fn input_layout(checked: &Checked) -> SourceLayout {
    let dims: Vec<usize> = checked.input.dims.iter().map(|d| d.unwrap_or(1)).collect();
    let mut name = checked.input.name.as_str();
    let mut seen = 0;
    for node in checked.graph().node.iter().map(Source) {
        if !node.0.input.iter().any(|i| i == name) {
            continue;
        }
        seen += 1;
        match node.op() {
            "Add" | "Sub" | "Mul" | "Div" | "Cast" | "Identity" | "Clip" | "Pad" if seen < 8 => name = node.output(),
            "Transpose" => {
                let perm = node.ints("perm").ok().flatten();
                return if perm == Some(&[0, 3, 1, 2]) { SourceLayout::Nhwc } else { SourceLayout::Nchw };
            }
            // Grey images: moving an axis of size one needs no transposition.
            "Reshape" | "Squeeze" | "Unsqueeze" if dims[3] == 1 && dims[1] != 1 => return SourceLayout::Nhwc,
            // Dense layers on the last axis.
            "MatMul" => return SourceLayout::Nhwc,
            _ => return SourceLayout::Nchw,
        }
    }
    SourceLayout::Nchw
}
