//! ONNX tensors that lie over the graph's in another layout: vectors flattened from channel-last maps, whose
//! features come in another order, and transposed maps.

use fratc::load::load_bytes;
use tract_onnx::pb::AttributeProto;

use crate::load_operators::{Builder, float, int, ints, ops};

/// Features of [`flattened`].
const FEATURES: i64 = 12;

/// A model whose tensor `f`, of the given dimensions, lists a 2×3×2 map's features channels last.
fn flattened(dims: &[i64]) -> Builder {
    let mut b = Builder::new([2, 3, 2]);
    b.ints("flat", dims).node("Transpose", "x", "t", vec![ints("perm", &[0, 2, 3, 1])]);
    b.node("Reshape", "t flat", "f", vec![]);
    b
}

/// The same with a border: `p`, channel-first maps of 2×3.
fn padded() -> Builder {
    let mut b = flattened(&[1, FEATURES]);
    b.ints("map", &[1, FEATURES, 1, 1]).ints("border", &[0, 0, 1, 0, 0, 0, 0, 2]).floats("half", &[], vec![0.5]);
    b.node("Reshape", "f map", "m", vec![]).node("Pad", "m border half", "p", vec![]);
    b
}

/// Ends the model with a dense layer on `input`, a map of `features` values.
fn classify(b: &mut Builder, input: &str, features: i64) {
    b.weights("fc", &[features, 3]).node("Flatten", input, "last", vec![]).node("MatMul", "last fc", "y", vec![]);
}

fn refusal(b: &Builder) -> String {
    let error = load_bytes(&b.bytes(), "made.onnx").expect_err("must be refused");
    [Some(error.what), error.found].into_iter().flatten().collect::<Vec<_>>().join(": ")
}

/// As Keras writes a 1×1 convolution behind a flattening.
#[test]
fn a_convolution_of_flattened_features() {
    let mut b = Builder::new([4, 5, 3]);
    b.weights("w", &[6, 3, 3, 3]).weights("head", &[7, 120, 1, 1]).weights("bias", &[7]);
    b.ints("flat", &[-1, 120]).ints("map", &[-1, 1, 1, 120]).ints("scores", &[-1, 7]);
    b.node("Transpose", "x", "t", vec![ints("perm", &[0, 3, 1, 2])]);
    b.node("Conv", "t w", "c", vec![ints("pads", &[1, 1, 1, 1])]);
    b.node("Transpose", "c", "n", vec![ints("perm", &[0, 2, 3, 1])]).node("Reshape", "n flat", "f", vec![]);
    b.node("Reshape", "f map", "m", vec![]).node("Transpose", "m", "mt", vec![ints("perm", &[0, 3, 1, 2])]);
    b.node("Conv", "mt head bias", "h", vec![]).node("Transpose", "h", "ht", vec![ints("perm", &[0, 2, 3, 1])]);
    b.node("Reshape", "ht scores", "y", vec![]);
    assert_eq!(ops(&b.check()), ["Input", "Conv", "Flatten", "Conv"]);
}

#[test]
fn a_wide_convolution_of_flattened_features() {
    let mut b = padded();
    b.weights("w", &[4, FEATURES, 3, 2]).node("Conv", "p w", "c", vec![ints("pads", &[1, 0, 2, 1])]);
    classify(&mut b, "c", 4 * 3 * 3);
    b.check();
}

#[test]
fn pools_of_flattened_features() {
    let window = |size: i64, pads: &[i64]| vec![ints("kernel_shape", &[size, size]), ints("pads", pads)];
    let counted = [window(2, &[1, 1, 1, 1]), vec![int("count_include_pad", 1)]].concat();
    let rounded =
        [window(3, &[1, 1, 1, 1]), vec![int("count_include_pad", 1), int("ceil_mode", 1), ints("strides", &[2, 2])]]
            .concat();
    let cases: [(&str, Vec<AttributeProto>, i64); 9] = [
        ("GlobalAveragePool", vec![], 1),
        ("GlobalMaxPool", vec![], 1),
        ("ReduceMean", vec![ints("axes", &[2, 3])], 1),
        ("MaxPool", window(1, &[0; 4]), 1),
        ("MaxPool", window(2, &[1, 1, 1, 1]), 4),
        ("AveragePool", window(1, &[0; 4]), 1),
        ("AveragePool", window(2, &[1, 1, 1, 1]), 4),
        ("AveragePool", counted, 4),
        ("AveragePool", rounded, 1),
    ];
    for (op, attributes, plane) in cases {
        let mut b = flattened(&[1, FEATURES, 1, 1]);
        b.node(op, "f", "p", attributes);
        classify(&mut b, "p", FEATURES * plane);
        b.check();
    }
}

#[test]
fn flattened_features_are_flattened_again() {
    for perm in [[0, 1, 2, 3], [0, 2, 3, 1], [0, 3, 1, 2]] {
        let mut b = padded();
        b.node("Transpose", "p", "q", vec![ints("perm", &perm)]);
        classify(&mut b, "q", FEATURES * 6);
        b.check();
    }
}

/// Every operator that works channel by channel.
#[test]
fn flattened_features_keep_their_order() {
    let mut b = flattened(&[1, FEATURES, 1, 1]);
    b.weights("per_feature", &[1, FEATURES, 1, 1]).weights("gain", &[FEATURES]).weights("offset", &[FEATURES]);
    b.floats("variance", &[FEATURES], (1..=FEATURES).map(|i| i as f32).collect());
    b.floats("zero", &[], vec![0.0]).floats("two", &[], vec![2.0]);
    b.node("BatchNormalization", "f gain offset gain variance", "bn", vec![]);
    b.node("LeakyRelu", "bn", "leaky", vec![float("alpha", 0.2)]).node("Mul", "leaky per_feature", "scaled", vec![]);
    b.node("Sub", "per_feature scaled", "sub", vec![]).node("Clip", "sub zero two", "clip", vec![]);
    b.node("HardSigmoid", "clip", "hard", vec![]).node("Mul", "sub hard", "gated", vec![]);
    b.node("Add", "gated bn", "sum", vec![]).node("Max", "sum zero", "max", vec![]);
    b.node("Concat", "max leaky", "both", vec![int("axis", 1)]).node("HardSwish", "both", "swish", vec![]);
    classify(&mut b, "swish", 2 * FEATURES);
    b.check();
}

#[test]
fn orders_that_do_not_fit_are_refused() {
    let mut b = flattened(&[1, FEATURES, 1, 1]);
    b.weights("w", &[FEATURES, 1, 1, 1]).node("Conv", "f w", "c", vec![int("group", FEATURES)]);
    classify(&mut b, "c", FEATURES);
    insta::assert_snapshot!(refusal(&b), @"a convolution in groups of a map that was flattened from another layout: 12 groups on [1, 12, 1, 1] [Batch, Channel, Unit, Unit], features reordered by a flattening");

    let two_orders = |op: &str| {
        let mut b = flattened(&[1, FEATURES]);
        b.node("Flatten", "x", "g", vec![]).node("Sigmoid", "g", "s", vec![]).node(op, "f s", "m", vec![]);
        classify(&mut b, "m", FEATURES);
        refusal(&b)
    };
    insta::assert_snapshot!(two_orders("Add"), @"a sum of two shapes or layouts: [1, 12] [Batch, Channel]");
    insta::assert_snapshot!(two_orders("Mul"), @"a product of two feature maps: [1, 12] [Batch, Channel], features reordered by a flattening and [1, 12] [Batch, Channel]");

    let mut b = flattened(&[1, FEATURES]);
    b.node("Relu", "f", "y", vec![]);
    insta::assert_snapshot!(refusal(&b), @"the output is not one vector of class scores per sample: [1, 12] [Batch, Channel], features reordered by a flattening");
}

#[test]
fn a_transposed_gate_makes_no_hard_swish() {
    let swish = |spelled_out: bool, left: &str, right: &str| {
        let mut b = Builder::new([2, 3, 3]);
        b.floats("three", &[], vec![3.0]).floats("zero", &[], vec![0.0]).floats("six", &[], vec![6.0]);
        b.node("Transpose", "x", "t", vec![ints("perm", &[0, 1, 3, 2])]);
        if spelled_out {
            b.node("Add", &format!("{right} three"), "a", vec![]).node("Clip", "a zero six", "c", vec![]);
            b.node("Div", "c six", "h", vec![]);
        } else {
            b.node("HardSigmoid", right, "h", vec![float("alpha", 1.0 / 6.0), float("beta", 0.5)]);
        }
        b.node("Mul", &format!("{left} h"), "m", vec![]);
        classify(&mut b, "m", 18);
        b
    };
    for spelled_out in [false, true] {
        for (left, right) in [("x", "t"), ("t", "x")] {
            let refusal = refusal(&swish(spelled_out, left, right));
            assert!(refusal.starts_with("a product of two feature maps"), "{refusal}");
        }
        assert_eq!(ops(&swish(spelled_out, "t", "t").check()), ["Input", "HardSwish", "Flatten", "Dense"]);
    }
}
