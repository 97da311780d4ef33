//! Rows and columns of a kernel, at its edges, that need not be multiplied: their weights are all zero, or they lie in
//! the padding at every output position (a 3×3 kernel on a single pixel). What they add is a constant.

use super::taps::{Layout, add_bias, pad_at, reaches};
use crate::qir::{Conv, Hwc, Op, Program};

/// Which end of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Above or to the left.
    First,
    /// Below or to the right.
    Last,
}

/// Crops them; whether there were any.
pub(super) fn crop(program: &mut Program) -> bool {
    let mut changed = false;
    for index in 0..program.layers.len() {
        for (axis, end) in [(0, End::First), (0, End::Last), (1, End::First), (1, End::Last)] {
            while crop_edge(program, index, axis, end) {
                changed = true;
            }
        }
    }
    changed
}

/// Crops one row (axis 0) or column (axis 1) of layer `index`, if it can go.
fn crop_edge(program: &mut Program, index: usize, axis: usize, end: End) -> bool {
    let layer = &program.layers[index];
    let (from, to) = (program.tensor(layer.inputs[0]).shape, program.tensor(layer.output).shape);
    let smaller = match &layer.op {
        Op::Conv(conv) => without_edge(conv, Layout::new(conv, false, from, to), [from, to], axis, end).map(Op::Conv),
        Op::Depthwise(conv) => {
            without_edge(conv, Layout::new(conv, true, from, to), [from, to], axis, end).map(Op::Depthwise)
        }
        Op::Grouped(_)
        | Op::Dense(_)
        | Op::Add(_)
        | Op::Gate(_)
        | Op::MaxPool(_)
        | Op::AvgPool(_)
        | Op::Concat
        | Op::Flatten
        | Op::Adapt(_)
        | Op::Lookup(_) => None,
    };
    let Some(smaller) = smaller else { return false };
    let larger = std::mem::replace(&mut program.layers[index].op, smaller);
    // A window must still reach the end of its input: where zeros did that, they stay.
    if program.verify().is_err() {
        program.layers[index].op = larger;
        return false;
    }
    true
}

/// `conv` without its first or last row or column, if that can go.
fn without_edge(conv: &Conv, layout: Layout, [from, to]: [Hwc; 2], axis: usize, end: End) -> Option<Conv> {
    let [kh, kw] = conv.window.kernel;
    let size = conv.window.kernel[axis];
    let edge = if end == End::First { 0 } else { size - 1 };
    let mut cut = conv.clone();
    if size == 1 {
        return None;
    }
    if end == End::First {
        cut.window.pad[axis] = conv.window.pad[axis].checked_sub(conv.window.dilation[axis])?;
    }
    cut.window.kernel[axis] -= 1;
    let at_edge = |tap: usize| [tap / kw, tap % kw][axis] == edge;
    let reaches = reaches(&conv.window, from, to);
    for o in 0..to.c {
        let mut share = 0_i32;
        for (tap, reach) in reaches.iter().enumerate().filter(|(tap, _)| at_edge(*tap)) {
            for i in layout.reads(o) {
                let weight = conv.weights[layout.at(o, tap, i)];
                if weight != 0 && reach.inside {
                    return None;
                }
                share += i32::from(weight) * i32::from(pad_at(&conv.pad, i));
            }
        }
        add_bias(&mut cut.bias, o, to.c, share);
    }
    // `[O][taps][I]`, and depthwise `[taps][C]`: taps are runs of `I` and `C` weights.
    let runs = conv.weights.chunks_exact(if layout.depthwise { layout.outputs } else { layout.inputs });
    let kept = runs.enumerate().filter(|(run, _)| !at_edge(run % (kh * kw)));
    cut.weights = kept.flat_map(|(_, run)| run.iter().copied()).collect();
    Some(cut)
}
