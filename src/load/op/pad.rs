//! Pad with a constant.

use crate::diag::Result;
use crate::ir::op::{Op, Pad};
use crate::load::attributes::Source;
use crate::load::importer::Importer;
use crate::load::layout::Axis;

pub(crate) fn convert(node: Source, importer: &mut Importer) -> Result<()> {
    let x = importer.activation(node, 0)?;
    let mode = node.text("mode", "constant")?;
    if mode != "constant" {
        return node.unsupported(format!("padding mode {mode}")).expected("constant", mode).err();
    }
    let pads = importer.ints(node, 1)?.unwrap_or(&[]);
    let all: Vec<i64> = (0..x.axes.len() as i64).collect();
    let axes = importer.ints(node, 3)?.unwrap_or(&all);
    let value = importer.scalar(node, 2)?.unwrap_or(0.0);
    if pads.len() != 2 * axes.len() {
        return node.error("load/types", "wrong number of pads").expected(2 * axes.len(), pads.len()).err();
    }
    let mut pad = [0usize; 4];
    for (i, &axis) in axes.iter().enumerate() {
        let ends = [pads[i], pads[i + axes.len()]].map(|p| usize::try_from(p).ok().filter(|&p| p <= 1 << 16));
        match (x.axis(axis).map(|a| x.axes[a]), ends) {
            (Some(_), [Some(0), Some(0)]) => {}
            (Some(Axis::Row), [Some(before), Some(after)]) => (pad[0], pad[2]) = (before, after),
            (Some(Axis::Column), [Some(before), Some(after)]) => (pad[1], pad[3]) = (before, after),
            _ => {
                return node
                    .unsupported("only rows and columns can be added")
                    .expected("pads of at least 0 on rows and columns", format!("{pads:?} on {:?}", x.axes))
                    .err();
            }
        }
    }
    if pad == [0; 4] {
        importer.bind(node, x);
        return Ok(());
    }
    importer.emit(node, Op::Pad(Pad { pad, value }), &[x.id], &x.axes, x.order)
}
