//! Conv, with the input channels of its filters in the graph's order.

use crate::diag::Result;
use crate::ir::op::{Conv, Op};
use crate::load::attributes::Source;
use crate::load::importer::Importer;
use crate::load::layout::{Activation, NCHW};
use crate::load::op::window;

pub(crate) fn convert(node: Source, importer: &mut Importer) -> Result<()> {
    let x = importer.activation(node, 0)?;
    let weights = importer.floats(node, 1)?;
    let Some(([out_channels, per_group, kh, kw], weight)) =
        weights.and_then(|(dims, w)| <[usize; 4]>::try_from(dims).ok().map(|dims| (dims, w.to_vec())))
    else {
        return node.unsupported("the weights are not those of a 2-D convolution").err();
    };
    let kernel = node.sizes("kernel_shape", 1, [kh, kw])?;
    let groups = usize::try_from(node.int("group", 1)?).unwrap_or(0);
    if weight.is_empty() || kernel != [kh, kw] || groups == 0 || per_group.checked_mul(groups) != Some(x.shape.c) {
        return node
            .error("load/types", "the weights do not fit the input and the attributes")
            .expected(
                format!("kernel {kernel:?} in {groups} groups on {} channels", x.shape.c),
                format!("[{out_channels}, {per_group}, {kh}, {kw}]"),
            )
            .err();
    }
    let window = window::read(node, &x, kernel, false)?.window;
    let bias = importer.floats(node, 2)?.map_or_else(|| vec![0.0; out_channels], |(_, bias)| bias.to_vec());
    let weight = in_graph_order(node, &x, groups, weight, kh * kw)?;
    let conv = Conv { out_channels, in_channels: x.shape.c, groups, window, weight, bias };
    importer.emit(node, Op::Conv(conv), &[x.id], NCHW, None)
}

/// The filters, of `taps` positions per input channel, with their channels in the graph's order.
fn in_graph_order(node: Source, x: &Activation, groups: usize, weight: Vec<f32>, taps: usize) -> Result<Vec<f32>> {
    if x.order.is_none() {
        return Ok(weight);
    }
    if groups != 1 {
        return node
            .unsupported("a convolution in groups of a map that was flattened from another layout")
            .expected("one group", format!("{groups} groups on {}", x.describe()))
            .err();
    }
    let mut ordered = vec![0.0; weight.len()];
    for (from, filter) in weight.chunks_exact(taps).enumerate() {
        let (o, i) = (from / x.shape.c, from % x.shape.c);
        let to = (o * x.shape.c + x.channel(i)) * taps;
        ordered[to..to + taps].copy_from_slice(filter);
    }
    Ok(ordered)
}
