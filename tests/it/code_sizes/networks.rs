//! Two networks that hold every operation, on `i8` and, where a kernel may read pixels, on `u8`.

use fratc::qir::{InputKind, Program, Quant, TensorId, Window};

use crate::programs::{Builder, square};

/// A table that leaves every value as it is.
fn lookup(b: &mut Builder, name: &str, from: TensorId) -> TensorId {
    b.lookup(name, from, Quant { scale: 0.05, zero_point: 0 }, |q| q)
}

/// Every operation that may read the input.
fn first_layers(b: &mut Builder, x: TensorId) -> Vec<TensorId> {
    let whole = Window { kernel: [8, 8], ..square(1, 1, 0) };
    vec![
        b.conv("conv", x, 8, square(3, 1, 1), true),
        b.conv("strided", x, 8, square(3, 2, 1), true),
        b.conv("pointwise", x, 8, square(1, 1, 0), true),
        b.depthwise("depthwise", x, square(3, 1, 1), true),
        b.max_pool("max", x, square(2, 2, 0)),
        b.avg_pool("mean", x, whole, &[64.0]),
        b.grouped("groups", x, 8, 2, square(3, 1, 1)),
        lookup(b, "table", x),
        x,
    ]
}

/// Every operation on tensors of the arena.
fn later_layers(b: &mut Builder, x: TensorId) -> Vec<TensorId> {
    let left = lookup(b, "left", x);
    let right = lookup(b, "right", x);
    // With both inputs read again, with the first one, with none.
    let sum = b.add("sum", left, right);
    let sum = b.add("second", left, sum);
    let sum = b.add("first", sum, left);
    let joined = b.concat("concat", &[left, right]);
    let flat = b.flatten("flatten", joined);
    let gate = b.dense("excite", sum, 8, false);
    let gated = b.gate("gate", right, gate);
    let again = b.gate("again", right, gate);
    let inner = lookup(b, "inner", again);
    let mut all = vec![flat, sum, gated, lookup(b, "in_place", inner)];
    // As many as there are kernels for them on any core.
    all.push(b.max_pool("largest", left, square(2, 2, 0)));
    let mut deep = left;
    for n in 0..5 {
        deep = b.conv(&format!("deep{n}"), deep, 8, square(3, 1, 1), true);
    }
    for n in 0..3 {
        deep = b.depthwise(&format!("lines{n}"), deep, square(3, 1, 1), true);
    }
    all.push(deep);
    // Of 25 positions one is left over.
    all.push(b.conv("odd", left, 8, square(3, 2, 2), true));
    all
}

/// The network on inputs of this kind.
pub fn network(kind: InputKind) -> Program {
    let (name, channels) = if kind == InputKind::U8 { ("pixels", 4) } else { ("features", 8) };
    let mut b = Builder::new(name, 40, kind, [8, 8, channels]);
    let mut ends = first_layers(&mut b, TensorId(0));
    if kind == InputKind::I8 {
        let x = lookup(&mut b, "values", TensorId(0));
        ends.extend(later_layers(&mut b, x));
    }
    let scores: Vec<TensorId> =
        ends.iter().enumerate().map(|(n, end)| b.dense(&format!("fc{n}"), *end, 4, false)).collect();
    let mut all = scores[0];
    for (n, score) in scores.iter().enumerate().skip(1) {
        all = b.add(&format!("all{n}"), all, *score);
    }
    b.finish(all, &["a", "b", "c", "d"])
}
