//! Small hand-made ONNX graphs, in the forms exporters write, against tract's own run of the same bytes.

use fratc::exec::{Batch, Network};
use fratc::ir::op::Op;
use fratc::ir::pass::simplify;
use fratc::ir::{Graph, NodeId};
use fratc::load::{SourceLayout, load_bytes};
use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension::Value as Dim};
use tract_onnx::pb::type_proto::{Tensor as TensorType, Value as Type};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto,
};
use tract_onnx::prelude::*;

/// A model under construction: input `x`, output `y`.
pub struct Builder {
    pub model: ModelProto,
    dims: [i64; 3],
}

impl Builder {
    /// `dims` are the input's without the batch, in the model's own layout.
    pub fn new(dims: [i64; 3]) -> Self {
        let dim = |value| Dimension { value: Some(value), ..Default::default() };
        let batch = dim(Dim::DimParam("N".into()));
        let shape = TensorShapeProto {
            dim: std::iter::once(batch).chain(dims.iter().map(|&d| dim(Dim::DimValue(d)))).collect(),
        };
        let tensor = TensorType { elem_type: DataType::Float as i32, shape: Some(shape) };
        let input = ValueInfoProto {
            name: "x".into(),
            r#type: Some(TypeProto { value: Some(Type::TensorType(tensor)), ..Default::default() }),
            ..Default::default()
        };
        let output = ValueInfoProto { name: "y".into(), ..Default::default() };
        let graph = GraphProto { input: vec![input], output: vec![output], ..Default::default() };
        let opset = OperatorSetIdProto { domain: String::new(), version: 17 };
        let model = ModelProto {
            ir_version: 8,
            opset_import: vec![opset],
            graph: Some(graph),
            producer_name: "test".into(),
            ..Default::default()
        };
        Self { model, dims }
    }

    pub fn graph(&mut self) -> &mut GraphProto {
        self.model.graph.as_mut().expect("made in new()")
    }

    pub fn node(&mut self, op: &str, inputs: &str, output: &str, attributes: Vec<AttributeProto>) -> &mut Self {
        let node = NodeProto {
            op_type: op.into(),
            name: format!("{op}_{output}"),
            input: inputs.split(' ').map(|i| if i == "-" { String::new() } else { i.into() }).collect(),
            output: vec![output.into()],
            attribute: attributes,
            ..Default::default()
        };
        self.graph().node.push(node);
        self
    }

    pub fn floats(&mut self, name: &str, dims: &[i64], values: Vec<f32>) -> &mut Self {
        let tensor = TensorProto {
            name: name.into(),
            dims: dims.to_vec(),
            data_type: DataType::Float as i32,
            float_data: values,
            ..Default::default()
        };
        self.graph().initializer.push(tensor);
        self
    }

    /// Pseudo-random weights.
    pub fn weights(&mut self, name: &str, dims: &[i64]) -> &mut Self {
        let len = dims.iter().product::<i64>();
        self.floats(name, dims, (0..len).map(|i| (i as f32 * 1.7 + 0.3).sin()).collect())
    }

    pub fn ints(&mut self, name: &str, values: &[i64]) -> &mut Self {
        let tensor = TensorProto {
            name: name.into(),
            dims: vec![values.len() as i64],
            data_type: DataType::Int64 as i32,
            int64_data: values.to_vec(),
            ..Default::default()
        };
        self.graph().initializer.push(tensor);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.model.encode_to_vec()
    }

    /// Loads, simplifies, runs, and compares with tract; returns the simplified graph.
    pub fn check(&self) -> Graph {
        let bytes = self.bytes();
        let loaded = load_bytes(&bytes, "made.onnx").expect("loads");
        let shape = loaded.graph.shape(NodeId(0));
        let chw: Vec<f32> = (0..shape.len()).map(|i| 3.0 * (i as f32 * 0.37).sin()).collect();
        let source: Vec<f32> = match loaded.source.layout {
            SourceLayout::Nchw => chw.clone(),
            SourceLayout::Nhwc => {
                let pixel = |p: usize| (0..shape.c).map(move |c| c * shape.plane() + p);
                (0..shape.plane()).flat_map(pixel).map(|i| chw[i]).collect()
            }
        };
        let [a, b, c] = self.dims.map(|d| d as usize);
        let plan = tract_onnx::onnx()
            .with_ignore_output_shapes(true)
            .model_for_read(&mut bytes.as_slice())
            .and_then(|m| m.with_input_fact(0, f32::fact([1, a, b, c]).into()))
            .and_then(tract_onnx::prelude::InferenceModelExt::into_typed)
            .and_then(tract_onnx::prelude::IntoRunnable::into_runnable)
            .expect("tract runs the model");
        let tensor = Tensor::from_shape(&[1, a, b, c], &source).expect("the sizes agree");
        let result = plan.run(tvec!(tensor.into())).expect("tract runs");
        let want = result[0].try_as_plain_ram().expect("in memory").as_slice::<f32>().expect("floats").to_vec();
        let input = Batch::new(shape, 1, chw).expect("the sizes agree");
        let simple = simplify(loaded.graph.clone()).expect("valid");
        for graph in [&loaded.graph, &simple] {
            let got = Network::new(graph).expect("valid").scores(&input).expect("runs").sample(0);
            let far = got.iter().zip(&want).any(|(a, b)| (a - b).abs() > 1e-4 * b.abs().max(1.0));
            assert!(got.len() == want.len() && !far, "{got:?} instead of {want:?} in\n{graph}");
        }
        simple
    }
}

pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    let kind = AttributeType::Ints as i32;
    AttributeProto { name: name.into(), ints: values.to_vec(), r#type: kind, ..Default::default() }
}

pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i, r#type: AttributeType::Int as i32, ..Default::default() }
}

pub fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), f, r#type: AttributeType::Float as i32, ..Default::default() }
}

pub fn text(name: &str, s: &str) -> AttributeProto {
    let kind = AttributeType::String as i32;
    AttributeProto { name: name.into(), s: s.as_bytes().to_vec(), r#type: kind, ..Default::default() }
}

pub fn ops(graph: &Graph) -> Vec<&'static str> {
    graph.nodes.iter().map(|n| n.op.name()).collect()
}

#[test]
fn hard_swish_and_hard_sigmoid_spelled_out() {
    let mut b = Builder::new([3, 4, 4]);
    b.floats("three", &[], vec![3.0]).floats("zero", &[], vec![0.0]).floats("six", &[], vec![6.0]);
    b.node("Add", "x three", "a", vec![]).node("Clip", "a zero six", "c", vec![]);
    b.node("Mul", "x c", "m", vec![]).node("Div", "m six", "d", vec![]);
    b.node("GlobalAveragePool", "d", "p", vec![]).node("Flatten", "p", "y", vec![]);
    assert_eq!(ops(&b.check()), ["Input", "HardSwish", "GlobalAvgPool"]);

    let mut b = Builder::new([3, 4, 4]);
    b.floats("three", &[], vec![3.0]).floats("zero", &[], vec![0.0]).floats("six", &[1, 1, 1, 1], vec![6.0]);
    b.floats("top", &[], vec![6.0]);
    b.node("Add", "x three", "a", vec![]).node("Clip", "a zero top", "c", vec![]);
    b.node("Div", "c six", "d", vec![]).node("GlobalAveragePool", "d", "p", vec![]).node("Flatten", "p", "y", vec![]);
    assert_eq!(ops(&b.check()), ["Input", "HardSigmoid", "GlobalAvgPool"]);
}

#[test]
fn channels_last_flattens_in_the_source_order() {
    let mut b = Builder::new([5, 4, 3]);
    b.weights("w", &[6, 3, 3, 3]).weights("fc", &[6 * 20, 7]).weights("bias", &[7]).ints("flat", &[-1, 120]);
    b.weights("per_feature", &[120]);
    b.node("Transpose", "x", "t", vec![ints("perm", &[0, 3, 1, 2])]);
    b.node("Conv", "t w", "c", vec![text("auto_pad", "SAME_UPPER")]);
    b.node("Transpose", "c", "n", vec![ints("perm", &[0, 2, 3, 1])]);
    b.node("Reshape", "n flat", "f", vec![]).node("Mul", "f per_feature", "s", vec![]);
    b.node("MatMul", "s fc", "m", vec![]).node("Add", "m bias", "y", vec![]);
    assert_eq!(ops(&b.check()), ["Input", "Conv", "Flatten", "Dense"]);
}

#[test]
fn dense_layers_on_the_last_axis_are_convolutions() {
    let mut b = Builder::new([5, 4, 3]);
    b.weights("w", &[3, 6]).weights("bias", &[6]);
    b.node("MatMul", "x w", "m", vec![]).node("Add", "m bias", "a", vec![]).node("Relu", "a", "r", vec![]);
    b.node("ReduceMean", "r", "y", vec![ints("axes", &[1, 2]), int("keepdims", 0)]);
    assert_eq!(ops(&b.check()), ["Input", "Conv", "Relu", "GlobalAvgPool"]);
}

#[test]
fn grey_channels_last_images_need_no_transposition() {
    let mut b = Builder::new([6, 5, 1]);
    b.weights("w", &[4, 1, 3, 3]).ints("to", &[-1, 1, 6, 5]);
    b.node("Reshape", "x to", "t", vec![]);
    b.node("Conv", "t w", "c", vec![ints("strides", &[2, 1]), text("auto_pad", "SAME_LOWER")]);
    b.node("ReduceMean", "c", "y", vec![ints("axes", &[-1, -2]), int("keepdims", 0)]);
    assert_eq!(ops(&b.check()), ["Input", "Conv", "GlobalAvgPool"]);
}

#[test]
fn rounded_up_pools() {
    for (op, pads) in [("MaxPool", [1, 1, 1, 1]), ("AveragePool", [1, 1, 1, 1]), ("MaxPool", [0, 1, 0, 0])] {
        let mut b = Builder::new([2, 8, 7]);
        let attributes =
            vec![ints("kernel_shape", &[3, 3]), ints("strides", &[2, 3]), ints("pads", &pads), int("ceil_mode", 1)];
        b.node(op, "x", "p", attributes).node("Flatten", "p", "y", vec![]);
        b.check();
    }
}

/// ONNX and onnxruntime disagree about rounding up under automatic padding: it loads where that makes no difference.
#[test]
fn rounding_up_with_automatic_padding_loads_where_it_changes_nothing() {
    for (auto_pad, input, size) in [("VALID", 6, Some(3)), ("VALID", 5, None), ("SAME_UPPER", 5, Some(3))] {
        for op in ["MaxPool", "AveragePool"] {
            let mut b = Builder::new([2, input, input]);
            let window = vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
            let rounding = vec![text("auto_pad", auto_pad), int("ceil_mode", 1)];
            b.node(op, "x", "p", [window, rounding].concat()).node("Flatten", "p", "y", vec![]);
            if let Some(size) = size {
                assert_eq!(b.check().classes(), 2 * size * size, "{op} {auto_pad}");
                continue;
            }
            let error = load_bytes(&b.bytes(), "made.onnx").expect_err("two readings");
            assert!(error.to_string().contains("ceil_mode with auto_pad"), "{error}");
        }
    }
}

#[test]
fn shapes_computed_in_the_graph_and_gemm_factors() {
    let mut b = Builder::new([3, 2, 4]);
    b.ints("zero", &[0]).ints("rest", &[-1]).weights("fc", &[24, 5]).weights("bias", &[5]);
    b.floats("half", &[3, 1, 1], vec![0.5, 2.0, -1.0]).floats("one", &[1], vec![1.0]);
    b.node("Sub", "one x", "s", vec![]).node("Div", "s half", "d", vec![]).node("Dropout", "d", "i", vec![]);
    b.node("Shape", "i", "shape", vec![]).node("Gather", "shape zero", "n", vec![int("axis", 0)]);
    b.node("Concat", "n rest", "to", vec![int("axis", 0)]).node("Reshape", "i to", "f", vec![]);
    b.node("Gemm", "f fc bias", "y", vec![float("alpha", 0.5), float("beta", 2.0)]);
    assert_eq!(ops(&b.check()), ["Input", "Flatten", "Dense"]);
}

#[test]
fn squeeze_excite_and_bounds() {
    let mut b = Builder::new([4, 3, 5]);
    b.weights("w1", &[2, 4, 1, 1]).weights("w2", &[4, 2, 1, 1]).floats("six", &[], vec![6.0]).floats(
        "zero",
        &[],
        vec![0.0],
    );
    b.node("Max", "x zero", "a", vec![]).node("Min", "six a", "r", vec![]);
    b.node("GlobalAveragePool", "r", "p", vec![]).node("Conv", "p w1", "c1", vec![]).node("Relu", "c1", "r1", vec![]);
    b.node("Conv", "r1 w2", "c2", vec![]).node("Sigmoid", "c2", "g", vec![]).node("Mul", "g r", "m", vec![]);
    b.node("LeakyRelu", "m", "l", vec![float("alpha", 0.2)]);
    b.node("GlobalMaxPool", "l", "q", vec![]).node("Flatten", "q", "f", vec![]).node("Softmax", "f", "y", vec![]);
    let graph = b.check();
    assert!(graph.nodes.iter().any(|n| n.op == Op::Gate));
}
