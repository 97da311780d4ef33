//! Element-wise activations.

use crate::diag::Result;
use crate::ir::op::{Clip, HardSigmoid, LeakyRelu, Op};
use crate::load::attributes::Source;
use crate::load::importer::{Importer, Operand};
use crate::load::layout::Activation;

pub(crate) fn convert(node: Source, importer: &mut Importer) -> Result<()> {
    let (x, op) = match node.op() {
        "Clip" => (importer.activation(node, 0)?, clip(node, importer)?),
        "Max" | "Min" => {
            let (x, bound) = with_scalar(node, importer)?;
            let (lo, hi) = if node.op() == "Max" { (bound, f32::INFINITY) } else { (f32::NEG_INFINITY, bound) };
            (x, clip_op(lo, hi))
        }
        "LeakyRelu" => (importer.activation(node, 0)?, Op::LeakyRelu(LeakyRelu { alpha: node.float("alpha", 0.01)? })),
        "HardSigmoid" => {
            let (alpha, beta) = (node.float("alpha", 0.2)?, node.float("beta", 0.5)?);
            (importer.activation(node, 0)?, Op::HardSigmoid(HardSigmoid { alpha, beta }))
        }
        "HardSwish" => (importer.activation(node, 0)?, Op::HardSwish),
        "Sigmoid" => (importer.activation(node, 0)?, Op::Sigmoid),
        _ => (importer.activation(node, 0)?, Op::Relu),
    };
    importer.emit(node, op, &[x.id], &x.axes, x.order)
}

fn clip(node: Source, importer: &Importer) -> Result<Op> {
    let lo = importer.scalar(node, 1)?.unwrap_or(f32::NEG_INFINITY);
    let hi = importer.scalar(node, 2)?.unwrap_or(f32::INFINITY);
    Ok(clip_op(lo, hi))
}

/// Exporters write the largest float for no bound.
fn clip_op(lo: f32, hi: f32) -> Op {
    let lo = if lo <= f32::MIN { f32::NEG_INFINITY } else { lo };
    let hi = if hi >= f32::MAX { f32::INFINITY } else { hi };
    if lo == 0.0 && hi == f32::INFINITY { Op::Relu } else { Op::Clip(Clip { lo, hi }) }
}

/// The feature map and the constant of `Max` or `Min`, in either order.
fn with_scalar(node: Source, importer: &Importer) -> Result<(Activation, f32)> {
    let constant = usize::from(matches!(importer.operand(node, 0)?, Operand::Activation(_)));
    let x = importer.activation(node, 1 - constant)?;
    match importer.scalar(node, constant)? {
        Some(bound) if node.input(2).is_none() => Ok((x, bound)),
        _ => node.unsupported("only a feature map with one constant number").err(),
    }
}
