//! Writes a graph as an ONNX model.
//!
//! In: a verified graph. Out: the bytes of a model with standard operators only, input `input` `[N, C, H, W]` and
//! output `output` `[N, classes]`, batch symbolic; opset 13, or 19 if an average pool is dilated (older sets lack
//! that). Node names are the graph's. Loading it again gives a graph with the same scores; an affine map becomes
//! a batch norm of variance one, a hard swish a hard sigmoid and a product, as opset 13 has no operator for it.

mod message;

use prost::Message;

use crate::ir::op::{Op, Window};
use crate::ir::{Graph, NodeId};

use message::{Attribute, FLOAT, GraphProto, INT64, Model, NodeProto, OperatorSet, TensorProto, ValueInfo};

/// The bytes of `graph` as an ONNX model made by `fratc` of `producer_version`.
pub fn to_onnx(graph: &Graph, producer_version: &str) -> Vec<u8> {
    let dilated = graph.nodes.iter().any(|n| matches!(&n.op, Op::AvgPool(pool) if pool.window.dilation != [1, 1]));
    let (opset, ir_version) = if dilated { (19, 9) } else { (13, 7) };
    let mut writer = Writer { graph, proto: GraphProto::default(), vectors: Vec::new() };
    for id in graph.ids() {
        writer.write(id);
    }
    writer.finish();
    let input = graph.shape(graph.input());
    let mut proto = writer.proto;
    proto.name = "fratc".into();
    proto.input.push(ValueInfo::batched("input", &[input.c, input.h, input.w]));
    proto.output.push(ValueInfo::batched("output", &[graph.classes()]));
    Model {
        ir_version,
        producer_name: "fratc".into(),
        producer_version: producer_version.into(),
        graph: Some(proto),
        opset_import: vec![OperatorSet { domain: String::new(), version: opset }],
    }
    .encode_to_vec()
}

struct Writer<'a> {
    graph: &'a Graph,
    proto: GraphProto,
    /// For each node written so far, whether its tensor is `[N, C]` and not `[N, C, H, W]`.
    vectors: Vec<bool>,
}

impl Writer<'_> {
    fn write(&mut self, id: NodeId) {
        let graph = self.graph;
        let node = graph.node(id);
        let flat = |writer: &Self, i: usize| writer.vectors[node.inputs[i].index()];
        let mut vector = node.inputs.first().is_some_and(|_| flat(self, 0));
        match &node.op {
            Op::Input => {}
            Op::Conv(conv) => {
                let x = self.map(node.inputs[0]);
                let [kh, kw] = conv.window.kernel;
                let weight = self.floats(
                    id,
                    "weight",
                    &[conv.out_channels, conv.in_channels / conv.groups, kh, kw],
                    &conv.weight,
                );
                let bias = self.floats(id, "bias", &[conv.out_channels], &conv.bias);
                let mut attributes = window(&conv.window, true);
                attributes.push(Attribute::int("group", conv.groups));
                self.node(id, "Conv", vec![x, weight, bias], attributes);
                vector = false;
            }
            Op::Dense(dense) => {
                let x = self.vector(node.inputs[0]);
                let weight = self.floats(id, "weight", &[dense.out_features, dense.in_features], &dense.weight);
                let bias = self.floats(id, "bias", &[dense.out_features], &dense.bias);
                self.node(id, "Gemm", vec![x, weight, bias], vec![Attribute::int("transB", 1)]);
                vector = true;
            }
            Op::Affine(affine) => {
                let x = self.tensor(node.inputs[0]);
                let c = affine.scale.len();
                let narrow = |values: &[f64]| values.iter().map(|&v| v as f32).collect::<Vec<f32>>();
                let scale = self.floats(id, "scale", &[c], &narrow(&affine.scale));
                let shift = self.floats(id, "shift", &[c], &narrow(&affine.shift));
                let mean = self.floats(id, "mean", &[c], &vec![0.0; c]);
                let variance = self.floats(id, "variance", &[c], &vec![1.0; c]);
                let epsilon = vec![Attribute::float("epsilon", 0.0)];
                self.node(id, "BatchNormalization", vec![x, scale, shift, mean, variance], epsilon);
            }
            Op::Relu => self.unary(id, "Relu", Vec::new()),
            Op::Clip(clip) => {
                let x = self.tensor(node.inputs[0]);
                let bound = |writer: &mut Self, part: &str, value: f32| {
                    if value.is_finite() { writer.floats(id, part, &[], &[value]) } else { String::new() }
                };
                let lo = bound(self, "min", clip.lo);
                let hi = bound(self, "max", clip.hi);
                self.node(id, "Clip", vec![x, lo, hi], Vec::new());
            }
            Op::LeakyRelu(leaky) => self.unary(id, "LeakyRelu", vec![Attribute::float("alpha", leaky.alpha)]),
            Op::Sigmoid => self.unary(id, "Sigmoid", Vec::new()),
            Op::HardSigmoid(h) => {
                let attributes = vec![Attribute::float("alpha", h.alpha), Attribute::float("beta", h.beta)];
                self.unary(id, "HardSigmoid", attributes);
            }
            Op::HardSwish => {
                let x = self.tensor(node.inputs[0]);
                let attributes = vec![Attribute::float("alpha", 1.0 / 6.0), Attribute::float("beta", 0.5)];
                let gate = self.extra(id, "gate", "HardSigmoid", vec![x.clone()], attributes);
                self.node(id, "Mul", vec![x, gate], Vec::new());
            }
            Op::Add | Op::Gate | Op::Concat => {
                vector = (0..node.inputs.len()).all(|i| flat(self, i));
                let inputs = node.inputs.iter().map(|&i| if vector { self.tensor(i) } else { self.map(i) }).collect();
                match node.op {
                    Op::Concat => self.node(id, "Concat", inputs, vec![Attribute::int("axis", 1)]),
                    Op::Gate => self.node(id, "Mul", inputs, Vec::new()),
                    _ => self.node(id, "Add", inputs, Vec::new()),
                }
            }
            Op::MaxPool(pool) => {
                let x = self.map(node.inputs[0]);
                self.node(id, "MaxPool", vec![x], window(&pool.window, true));
                vector = false;
            }
            Op::AvgPool(pool) => {
                let x = self.map(node.inputs[0]);
                let mut attributes = window(&pool.window, pool.window.dilation != [1, 1]);
                attributes.push(Attribute::int("count_include_pad", usize::from(pool.count_include_pad)));
                self.node(id, "AveragePool", vec![x], attributes);
                vector = false;
            }
            Op::GlobalAvgPool => {
                let x = self.map(node.inputs[0]);
                self.node(id, "GlobalAveragePool", vec![x], Vec::new());
                vector = false;
            }
            Op::Flatten => {
                let x = self.tensor(node.inputs[0]);
                self.node(id, "Flatten", vec![x], vec![Attribute::int("axis", 1)]);
                vector = true;
            }
            Op::Pad(pad) => {
                let x = self.map(node.inputs[0]);
                let [top, left, bottom, right] = pad.pad;
                let pads = self.ints(id, "pads", &[0, 0, top, left, 0, 0, bottom, right]);
                let value = self.floats(id, "value", &[], &[pad.value]);
                self.node(id, "Pad", vec![x, pads, value], Vec::new());
                vector = false;
            }
            Op::Adapt(adapt) => {
                let x = self.map(node.inputs[0]);
                let input = self.graph.shape(node.inputs[0]);
                // Windows that reach over all that is left of the input, with shares where the block is.
                let kernel = [input.h - adapt.block * (adapt.size[0] - 1), input.w - adapt.block * (adapt.size[1] - 1)];
                let inside = |axis: usize, k: usize| (adapt.first[axis]..adapt.first[axis] + adapt.block).contains(&k);
                let mut weights = Vec::new();
                for _ in 0..node.shape.c {
                    for &share in adapt.shares() {
                        for i in 0..kernel[0] * kernel[1] {
                            let counts = inside(0, i / kernel[1]) && inside(1, i % kernel[1]);
                            weights.push(if counts { share as f32 } else { 0.0 });
                        }
                    }
                }
                let shape = [node.shape.c, adapt.shares().len(), kernel[0], kernel[1]];
                let weight = self.floats(id, "weight", &shape, &weights);
                let half = self.floats(id, "half", &[node.shape.c], &vec![(adapt.divisor() / 2) as f32; node.shape.c]);
                let stride = Window { stride: [adapt.block; 2], ..Window::new(kernel) };
                let mut attributes = window(&stride, true);
                attributes.push(Attribute::int("group", node.shape.c));
                let sum = self.extra(id, "sum", "Conv", vec![x, weight, half], attributes);
                let divisor = self.floats(id, "divisor", &[], &[adapt.divisor() as f32]);
                let mean = self.extra(id, "mean", "Div", vec![sum, divisor], Vec::new());
                self.node(id, "Floor", vec![mean], Vec::new());
                vector = false;
            }
            Op::Softmax => self.unary(id, "Softmax", vec![Attribute::int("axis", 1)]),
        }
        self.vectors.push(vector);
    }

    /// Gives the graph's output its name and rank.
    fn finish(&mut self) {
        let output = self.graph.output;
        let scores = self.vector(output);
        let op_type = "Identity".into();
        self.proto.node.push(NodeProto {
            input: vec![scores],
            output: vec!["output".into()],
            name: "output".into(),
            op_type,
            attribute: Vec::new(),
        });
    }

    /// The ONNX tensor of node `id`.
    fn tensor(&self, id: NodeId) -> String {
        if id == self.graph.input() { "input".into() } else { self.name(id, "out") }
    }

    fn name(&self, id: NodeId, part: &str) -> String {
        format!("{}/{part}", self.graph.node(id).name)
    }

    /// Tensor `id` as `[N, C, H, W]`.
    fn map(&mut self, id: NodeId) -> String {
        let tensor = self.tensor(id);
        if !self.vectors[id.index()] {
            return tensor;
        }
        let name = self.name(id, "map");
        if !self.proto.node.iter().any(|n| n.output[0] == name) {
            let axes = self.ints(id, "map_axes", &[2, 3]);
            self.extra(id, "map", "Unsqueeze", vec![tensor, axes], Vec::new());
        }
        name
    }

    /// Tensor `id`, which holds a vector, as `[N, C]`.
    fn vector(&mut self, id: NodeId) -> String {
        let tensor = self.tensor(id);
        if self.vectors[id.index()] {
            return tensor;
        }
        let name = self.name(id, "vector");
        if !self.proto.node.iter().any(|n| n.output[0] == name) {
            self.extra(id, "vector", "Flatten", vec![tensor], vec![Attribute::int("axis", 1)]);
        }
        name
    }

    fn unary(&mut self, id: NodeId, op: &str, attributes: Vec<Attribute>) {
        let x = self.tensor(self.graph.node(id).inputs[0]);
        self.node(id, op, vec![x], attributes);
    }

    fn node(&mut self, id: NodeId, op: &str, input: Vec<String>, attribute: Vec<Attribute>) {
        let output = vec![self.name(id, "out")];
        let name = self.graph.node(id).name.clone();
        self.proto.node.push(NodeProto { input, output, name, op_type: op.into(), attribute });
    }

    /// A node beside that of `id`; its name and tensor are `id`'s name and `part`.
    fn extra(&mut self, id: NodeId, part: &str, op: &str, input: Vec<String>, attribute: Vec<Attribute>) -> String {
        let name = self.name(id, part);
        let output = vec![name.clone()];
        self.proto.node.push(NodeProto { input, output, name: name.clone(), op_type: op.into(), attribute });
        name
    }

    fn floats(&mut self, id: NodeId, part: &str, dims: &[usize], values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.initializer(id, part, dims, FLOAT, bytes)
    }

    fn ints(&mut self, id: NodeId, part: &str, values: &[usize]) -> String {
        let bytes = values.iter().flat_map(|&v| (v as i64).to_le_bytes()).collect();
        self.initializer(id, part, &[values.len()], INT64, bytes)
    }

    fn initializer(&mut self, id: NodeId, part: &str, dims: &[usize], data_type: i32, raw_data: Vec<u8>) -> String {
        let name = self.name(id, part);
        let dims = dims.iter().map(|&d| d as i64).collect();
        self.proto.initializer.push(TensorProto { dims, data_type, name: name.clone(), raw_data });
        name
    }
}

fn window(window: &Window, dilations: bool) -> Vec<Attribute> {
    let mut attributes = vec![
        Attribute::ints("kernel_shape", &window.kernel),
        Attribute::ints("strides", &window.stride),
        Attribute::ints("pads", &window.pad),
    ];
    if dilations {
        attributes.push(Attribute::ints("dilations", &window.dilation));
    }
    attributes
}
