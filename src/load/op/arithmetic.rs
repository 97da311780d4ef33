//! Add, Sub, Mul and Div: affine maps, biases, residual sums, gates, and hard swishes that exporters spell out.

use crate::diag::Result;
use crate::ir::NodeId;
use crate::ir::op::{Affine, Clip, HardSigmoid, Op};
use crate::load::attributes::Source;
use crate::load::importer::{Importer, Operand};
use crate::load::infer::{Constant, Values};
use crate::load::layout::{Activation, Axis};

pub(crate) fn convert(node: Source, importer: &mut Importer) -> Result<()> {
    let (left, right) = (importer.operand(node, 0)?, importer.operand(node, 1)?);
    match (left, right) {
        (Operand::Activation(a), Operand::Activation(b)) => match node.op() {
            "Add" => add(node, importer, &a, &b),
            "Mul" => multiply(node, importer, &a, &b),
            _ => node
                .unsupported(format!("{} of two tensors that both depend on the input", node.op()))
                .help("one operand must be a constant")
                .err(),
        },
        (Operand::Activation(x), Operand::Constant(c)) => {
            let c = per_channel(node, &x, c)?;
            let (scale, shift) = match node.op() {
                "Add" => (None, Some(c)),
                "Sub" => (None, Some(c.iter().map(|v| -v).collect())),
                "Mul" => (Some(c), None),
                _ => (Some(c.iter().map(|v| (1.0 / f64::from(*v)) as f32).collect()), None),
            };
            affine(node, importer, 0, &x, scale, shift)
        }
        (Operand::Constant(c), Operand::Activation(x)) => {
            let c = per_channel(node, &x, c)?;
            match node.op() {
                "Add" => affine(node, importer, 1, &x, None, Some(c)),
                "Sub" => affine(node, importer, 1, &x, Some(vec![-1.0; c.len()]), Some(c)),
                "Mul" => affine(node, importer, 1, &x, Some(c), None),
                _ => node.unsupported("division by a tensor that depends on the input").err(),
            }
        }
        (Operand::Constant(_), Operand::Constant(_)) => {
            node.error("load/types", "a constant could not be worked out").err()
        }
    }
}

fn add(node: Source, importer: &mut Importer, a: &Activation, b: &Activation) -> Result<()> {
    if !a.aligns(b) {
        return node.unsupported("a sum of two shapes or layouts").expected(a.describe(), b.describe()).err();
    }
    importer.emit(node, Op::Add, &[a.id, b.id], &a.axes, a.order.clone())
}

fn multiply(node: Source, importer: &mut Importer, a: &Activation, b: &Activation) -> Result<()> {
    for (x, gate) in [(a, b), (b, a)] {
        // The graph's nodes do not show a transposition between the two.
        if let Some((factor, h, of)) = hard_sigmoid(importer, gate.id)
            && of == x.id
            && x.aligns(gate)
            && near(h.alpha, 1.0 / 6.0)
            && near(h.beta, 0.5)
        {
            if near(factor, 1.0) {
                return importer.emit(node, Op::HardSwish, &[x.id], &x.axes, x.order.clone());
            }
            let swish = importer.push(node, &format!("{}.hard_swish", node.name()), Op::HardSwish, &[x.id])?;
            let op = Op::Affine(Affine { scale: vec![f64::from(factor); x.shape.c], shift: vec![0.0; x.shape.c] });
            return importer.emit(node, op, &[swish], &x.axes, x.order.clone());
        }
    }
    for (x, gate) in [(a, b), (b, a)] {
        if x.takes_gate(gate) {
            return importer.emit(node, Op::Gate, &[x.id, gate.id], &x.axes, x.order.clone());
        }
    }
    node.unsupported("a product of two feature maps")
        .expected("a constant or a gate of one value per channel", format!("{} and {}", a.describe(), b.describe()))
        .err()
}

/// Emits `scale · x + shift`, where `x` is operand `i`.
fn affine(
    node: Source,
    importer: &mut Importer,
    i: usize,
    x: &Activation,
    scale: Option<Vec<f32>>,
    shift: Option<Vec<f32>>,
) -> Result<()> {
    let c = x.shape.c;
    if let (None, Some(shift)) = (&scale, &shift)
        && importer.is_only_reader(node, i, x.id)
        && let Some(bias) = bias_mut(&mut importer.graph.nodes[x.id.index()].op)
    {
        for (bias, shift) in bias.iter_mut().zip(shift) {
            *bias += shift;
        }
        importer.bind(node, x.clone());
        return Ok(());
    }
    let wide = |values: Option<Vec<f32>>, or: f64| {
        values.map_or_else(|| vec![or; c], |values| values.into_iter().map(f64::from).collect())
    };
    let affine = Affine { scale: wide(scale, 1.0), shift: wide(shift, 0.0) };
    // relu6(x + 3) / 6, as exporters write it.
    if let Some((factor, h, of)) = hard_sigmoid(importer, x.id)
        && let (Some(scale), Some(0.0)) = (uniform(&affine.scale), uniform(&affine.shift))
        && near(factor * scale, 1.0)
        && !near(factor, 1.0)
    {
        return importer.emit(node, Op::HardSigmoid(h), &[of], &x.axes, x.order.clone());
    }
    importer.emit(node, Op::Affine(affine), &[x.id], &x.axes, x.order.clone())
}

fn bias_mut(op: &mut Op) -> Option<&mut Vec<f32>> {
    match op {
        Op::Conv(conv) => Some(&mut conv.bias),
        Op::Dense(dense) => Some(&mut dense.bias),
        _ => None,
    }
}

/// If node `id` is `factor · hardsigmoid(x)`, the factor, the hard sigmoid and `x`.
fn hard_sigmoid(importer: &Importer, id: NodeId) -> Option<(f32, HardSigmoid, NodeId)> {
    let node = importer.graph.node(id);
    match &node.op {
        Op::HardSigmoid(h) => Some((1.0, *h, node.inputs[0])),
        Op::Clip(Clip { lo: 0.0, hi }) if hi.is_finite() => {
            let inner = importer.graph.node(node.inputs[0]);
            let Op::Affine(affine) = &inner.op else { return None };
            let (alpha, beta) = (uniform(&affine.scale)? / hi, uniform(&affine.shift)? / hi);
            Some((*hi, HardSigmoid { alpha, beta }, inner.inputs[0]))
        }
        _ => None,
    }
}

#[expect(clippy::float_cmp, reason = "one value stands for all only where it is each of them")]
fn uniform(values: &[f64]) -> Option<f32> {
    values.first().copied().filter(|first| values.iter().all(|v| v == first)).map(|v| v as f32)
}

fn near(a: f32, b: f32) -> bool {
    (a - b).abs() <= 1e-6 * b.abs()
}

/// One value per channel of `x` from a constant that broadcasts over it.
fn per_channel(node: Source, x: &Activation, constant: &Constant) -> Result<Vec<f32>> {
    let Values::Float(values) = &constant.values else {
        return node.unsupported("integer constants in float arithmetic").err();
    };
    if let Some(at) = values.iter().position(|v| !v.is_finite()) {
        return node
            .error("load/not-finite", "a constant is not finite")
            .expected("finite numbers", format!("{} at index {at}", values[at]))
            .err();
    }
    let axes: Vec<Axis> = x.axes.iter().rev().copied().collect();
    let mut result: Vec<Option<f32>> = vec![None; x.shape.c];
    let dims: Vec<usize> = constant.dims.iter().rev().copied().collect();
    let fits = dims.iter().enumerate().all(|(i, &d)| d == 1 || axes.get(i).is_some_and(|&a| x.size(a) == d));
    let mut varies = !fits || dims.len() > axes.len();
    if !varies {
        for (index, &value) in values.iter().enumerate() {
            let mut rest = index;
            let mut channel = None;
            for (i, &d) in dims.iter().enumerate() {
                if d != 1 && axes[i] == Axis::Channel {
                    channel = Some(x.channel(rest % d));
                }
                rest /= d;
            }
            let slots = channel.map_or(0..x.shape.c, |c| c..c + 1);
            for slot in &mut result[slots] {
                varies |= slot.is_some_and(|v| v.to_bits() != value.to_bits());
                *slot = Some(value);
            }
        }
    }
    match result.into_iter().collect::<Option<Vec<f32>>>() {
        Some(result) if !varies => Ok(result),
        _ => node
            .unsupported("a constant that is not one number per channel")
            .expected(
                format!("{} values along the channels of {:?}", x.shape.c, x.dims()),
                format!("{:?}", constant.dims),
            )
            .err(),
    }
}
