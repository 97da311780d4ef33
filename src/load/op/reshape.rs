//! Changes of layout: transpose, flatten, reshape, squeeze and unsqueeze.
//!
//! Only a flattening becomes a node; all else is kept as the layout of the ONNX tensor over the graph's.

use crate::diag::Result;
use crate::ir::Shape;
use crate::ir::op::Op;
use crate::load::attributes::Source;
use crate::load::importer::Importer;
use crate::load::layout::{Activation, Axis, NC, NCHW, NHWC};

pub(crate) fn transpose(node: Source, importer: &mut Importer) -> Result<()> {
    let x = importer.activation(node, 0)?;
    let rank = x.axes.len();
    let axes: Option<Vec<Axis>> = match node.ints("perm")? {
        None => Some(x.axes.iter().rev().copied().collect()),
        Some(perm) if perm.len() == rank && (0..rank as i64).all(|a| perm.contains(&a)) => {
            perm.iter().map(|&a| x.axis(a).map(|a| x.axes[a])).collect()
        }
        Some(_) => None,
    };
    let Some(axes) = axes else {
        return node.error("load/damaged", "the attribute `perm` is not a permutation").err();
    };
    importer.bind(node, Activation { axes, ..x });
    Ok(())
}

pub(crate) fn convert(node: Source, importer: &mut Importer) -> Result<()> {
    let x = importer.activation(node, 0)?;
    let dims = importer.output_dims(node)?.to_vec();
    if x.dims() == dims {
        importer.bind(node, x);
        return Ok(());
    }
    if let Some(axes) = relabel(&x, &dims) {
        importer.bind(node, Activation { axes, ..x });
        return Ok(());
    }
    let features = x.shape.len();
    if x.shape.plane() > 1
        && dims.first() == Some(&1)
        && dims.iter().all(|&d| d == 1 || d == features)
        && dims.contains(&features)
    {
        let axes: Vec<Axis> = dims
            .iter()
            .enumerate()
            .map(|(i, &d)| match (i, d) {
                (0, _) => Axis::Batch,
                (_, 1) => Axis::Unit,
                _ => Axis::Channel,
            })
            .collect();
        let order = x.flatten_order();
        return importer.emit(node, Op::Flatten, &[x.id], &axes, order);
    }
    node.unsupported("the reshape neither flattens a sample nor only adds or removes dimensions of one")
        .expected(format!("[1, {features}] or the dimensions {:?} with ones", x.dims()), format!("{dims:?}"))
        .err()
}

/// The axes of a reshape to `dims` that only adds or removes axes of size one.
fn relabel(x: &Activation, dims: &[usize]) -> Option<Vec<Axis>> {
    let kept: Vec<Axis> = x.axes.iter().copied().filter(|&a| x.size(a) != 1).collect();
    let sizes: Vec<usize> = kept.iter().map(|&a| x.size(a)).collect();
    let wanted: Vec<usize> = dims.iter().copied().filter(|&d| d != 1).collect();
    if sizes != wanted || dims.first() != Some(&1) {
        return None;
    }
    let whole = |axes: &[Axis]| {
        let Shape { c, h, w } = x.shape;
        let all = [(Axis::Channel, c), (Axis::Row, h), (Axis::Column, w)];
        axes.len() == dims.len()
            && axes.iter().zip(dims).all(|(&a, &d)| x.size(a) == d)
            && axes.iter().copied().filter(|&a| x.size(a) != 1).eq(kept.iter().copied())
            && all.iter().all(|(axis, size)| *size == 1 || axes.contains(axis))
    };
    for known in [NCHW, NC, NHWC] {
        if whole(known) {
            return Some(known.to_vec());
        }
    }
    let mut kept = kept.into_iter();
    let mut axes = vec![Axis::Batch];
    for &d in &dims[1..] {
        axes.push(if d == 1 { Axis::Unit } else { kept.next()? });
    }
    Some(axes)
}
