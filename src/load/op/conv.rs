//! Conv.

use crate::diag::Result;
use crate::ir::op::{Conv, Op};
use crate::load::attributes::Source;
use crate::load::importer::Importer;
use crate::load::layout::NCHW;
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
    let conv = Conv { out_channels, in_channels: x.shape.c, groups, window, weight, bias };
    importer.emit(node, Op::Conv(conv), &[x.id], NCHW, None)
}
