//! Concat along the channels.

use crate::diag::Result;
use crate::ir::op::Op;
use crate::load::attributes::Source;
use crate::load::importer::Importer;
use crate::load::layout::{Activation, Axis};

pub(crate) fn convert(node: Source, importer: &mut Importer) -> Result<()> {
    let parts: Vec<Activation> =
        (0..node.0.input.len()).map(|i| importer.activation(node, i)).collect::<Result<_>>()?;
    let axis = node.int("axis", 1)?;
    let mut axes = parts.first().map(|x| x.axes.clone()).unwrap_or_default();
    let at = parts.first().and_then(|x| x.axis(axis));
    let joins_channels = |x: &Activation| {
        at.is_some_and(|at| {
            x.axes.get(at) == Some(&Axis::Channel) || (x.shape.c == 1 && x.axes.get(at) == Some(&Axis::Unit))
        }) && x.axes.len() == axes.len()
            && x.axes
                .iter()
                .zip(&axes)
                .enumerate()
                .all(|(i, (&a, &b))| Some(i) == at || a == b || (x.size(a) == 1 && parts[0].size(b) == 1))
    };
    if !parts.iter().all(joins_channels) {
        let found: Vec<String> = parts.iter().map(|x| format!("{:?}", x.axes)).collect();
        return node
            .unsupported(format!("the tensors are not joined along their channels (axis {axis})"))
            .expected("the channels' axis in all of them", found.join(", "))
            .err();
    }
    if let [x] = parts.as_slice() {
        importer.bind(node, x.clone());
        return Ok(());
    }
    if let Some(at) = at {
        axes[at] = Axis::Channel;
    }
    let mut order = Vec::new();
    let mut offset = 0;
    for x in &parts {
        order.extend((0..x.shape.c).map(|i| offset + x.channel(i)));
        offset += x.shape.c;
    }
    let order = parts.iter().any(|x| x.order.is_some()).then_some(order);
    let ids: Vec<_> = parts.iter().map(|x| x.id).collect();
    importer.emit(node, Op::Concat, &ids, &axes, order)
}
