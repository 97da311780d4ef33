//! Gemm and `MatMul`: dense layers, and 1×1 convolutions where the features lie on the last axis of a map.

use crate::diag::Result;
use crate::ir::op::{Conv, Dense, Op, Window};
use crate::load::attributes::Source;
use crate::load::importer::{Importer, Operand};
use crate::load::layout::{Activation, Axis, NC};

pub(crate) fn gemm(node: Source, importer: &mut Importer) -> Result<()> {
    let x = importer.activation(node, 0)?;
    if node.int("transA", 0)? != 0 || !x.is(NC) {
        return node.unsupported("the left operand is not one vector per sample").err();
    }
    let (alpha, beta) = (node.float("alpha", 1.0)?, node.float("beta", 1.0)?);
    let transposed = node.int("transB", 0)? != 0;
    let mut dense = dense(node, importer, &x, transposed)?;
    for weight in &mut dense.weight {
        *weight *= alpha;
    }
    if let Some((_, bias)) = importer.floats(node, 2)? {
        if bias.len() != 1 && bias.len() != dense.out_features {
            return node.error("load/types", "wrong bias length").expected(dense.out_features, bias.len()).err();
        }
        dense.bias = (0..dense.out_features).map(|o| beta * bias[if bias.len() == 1 { 0 } else { o }]).collect();
    }
    importer.emit(node, Op::Dense(dense), &[x.id], NC, None)
}

pub(crate) fn matmul(node: Source, importer: &mut Importer) -> Result<()> {
    let Operand::Activation(x) = importer.operand(node, 0)? else {
        return node.unsupported("the left operand is a constant").help("put the weights on the right").err();
    };
    let on_features = x.axes.first() == Some(&Axis::Batch)
        && (x.axes.last() == Some(&Axis::Channel) || (x.shape.c == 1 && !x.axes.contains(&Axis::Channel)));
    if !on_features {
        return node.unsupported("the features are not on the last axis").err();
    }
    let dense = dense(node, importer, &x, false)?;
    let mut axes = x.axes.clone();
    if let Some(last) = axes.last_mut() {
        *last = Axis::Channel;
    }
    if x.shape.plane() == 1 {
        return importer.emit(node, Op::Dense(dense), &[x.id], &axes, None);
    }
    let Dense { out_features, in_features, weight, bias } = dense;
    let window = Window::new([1, 1]);
    let conv = Conv { out_channels: out_features, in_channels: in_features, groups: 1, window, weight, bias };
    importer.emit(node, Op::Conv(conv), &[x.id], &axes, None)
}

/// The layer of operand 1's weights, `[O, I]` if `transposed`, else `[I, O]`; columns in the graph's order.
fn dense(node: Source, importer: &Importer, x: &Activation, transposed: bool) -> Result<Dense> {
    let Some((&[rows, columns], source)) =
        importer.floats(node, 1)?.and_then(|(dims, w)| <&[usize; 2]>::try_from(dims).ok().map(|dims| (dims, w)))
    else {
        return node.unsupported("the right operand is not a matrix").err();
    };
    let (out_features, in_features) = if transposed { (rows, columns) } else { (columns, rows) };
    if in_features != x.shape.c {
        return node.error("load/types", "wrong number of features").expected(in_features, x.shape.c).err();
    }
    let mut weight = vec![0.0; source.len()];
    for o in 0..out_features {
        for i in 0..in_features {
            let from = if transposed { o * in_features + i } else { i * out_features + o };
            weight[o * in_features + x.channel(i)] = source[from];
        }
    }
    Ok(Dense { out_features, in_features, weight, bias: vec![0.0; out_features] })
}
