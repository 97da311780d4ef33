//! Windowed and global pooling, and means over rows and columns.

use crate::diag::Result;
use crate::ir::op::{AvgPool, MaxPool, Op, Pad, Window};
use crate::load::attributes::Source;
use crate::load::importer::Importer;
use crate::load::layout::{Axis, NCHW};
use crate::load::op::window;

pub(crate) fn windowed(node: Source, importer: &mut Importer) -> Result<()> {
    let x = importer.activation(node, 0)?;
    if !node.has("kernel_shape") {
        return node.error("load/damaged", "the attribute `kernel_shape` is missing").err();
    }
    let kernel = node.sizes("kernel_shape", 1, [1, 1])?;
    let sliding = window::read(node, &x, kernel, true)?;
    if node.op() == "MaxPool" {
        if node.0.output.get(1).is_some_and(|name| !name.is_empty()) || node.int("storage_order", 0)? != 0 {
            return node.unsupported("the indices of the largest values").err();
        }
        return importer.emit(node, Op::MaxPool(MaxPool { window: sliding.grown() }), &[x.id], NCHW, x.order);
    }
    if sliding.covers(x.shape) {
        return importer.emit(node, Op::GlobalAvgPool, &[x.id], NCHW, x.order);
    }
    let count_include_pad = node.int("count_include_pad", 0)? != 0;
    let grows = sliding.growth != [0, 0];
    if count_include_pad && grows && sliding.window.pad != [0; 4] {
        // Padded zeros count, positions that only rounding up reaches do not: pad apart, then average what is there.
        let pad = Op::Pad(Pad { pad: sliding.window.pad, value: 0.0 });
        let padded = importer.push(node, &format!("{}.pad", node.name()), pad, &[x.id])?;
        let window = Window { pad: [0, 0, sliding.growth[0], sliding.growth[1]], ..sliding.window };
        let pool = AvgPool { window, count_include_pad: false };
        return importer.emit(node, Op::AvgPool(pool), &[padded], NCHW, x.order);
    }
    let pool = AvgPool { window: sliding.grown(), count_include_pad: count_include_pad && !grows };
    importer.emit(node, Op::AvgPool(pool), &[x.id], NCHW, x.order)
}

pub(crate) fn global(node: Source, importer: &mut Importer) -> Result<()> {
    let x = importer.activation(node, 0)?;
    if !x.is(NCHW) {
        return node.unsupported("global pooling of something else than channel-first maps").err();
    }
    let op = if node.op() == "GlobalMaxPool" {
        Op::MaxPool(MaxPool { window: Window::new([x.shape.h, x.shape.w]) })
    } else {
        Op::GlobalAvgPool
    };
    importer.emit(node, op, &[x.id], NCHW, x.order)
}

pub(crate) fn reduce_mean(node: Source, importer: &mut Importer) -> Result<()> {
    let x = importer.activation(node, 0)?;
    let listed = match node.ints("axes")? {
        Some(axes) => axes,
        None => importer.ints(node, 1)?.unwrap_or(&[]),
    };
    let reduced: Option<Vec<usize>> = listed.iter().map(|&a| x.axis(a)).collect();
    let Some(reduced) = reduced.filter(|axes| !axes.is_empty()) else {
        return node.unsupported("the axes are not rows and columns").err();
    };
    let mut kernel = [1, 1];
    for &axis in &reduced {
        match x.axes[axis] {
            Axis::Row => kernel[0] = x.shape.h,
            Axis::Column => kernel[1] = x.shape.w,
            Axis::Unit => {}
            Axis::Batch | Axis::Channel => {
                return node
                    .unsupported("a mean over something else than rows and columns")
                    .expected("rows and columns", format!("axes {listed:?} of {:?}", x.axes))
                    .err();
            }
        }
    }
    let keep = node.int("keepdims", 1)? != 0;
    let axes: Vec<Axis> =
        x.axes.iter().enumerate().filter(|(i, _)| keep || !reduced.contains(i)).map(|(_, &a)| a).collect();
    let op = if kernel == [x.shape.h, x.shape.w] {
        Op::GlobalAvgPool
    } else {
        Op::AvgPool(AvgPool { window: Window::new(kernel), count_include_pad: false })
    };
    importer.emit(node, op, &[x.id], &axes, x.order)
}
