//! Channels that hold one value whatever the input: their share of each sum is known, and moves into the bias.
//!
//! A padded position holds the pad value, not the channel's. The share is the same at every output position, and
//! can be part of one bias, only where no tap with a weight reads padding, or the pad value is the channel's value.
//! Elsewhere the channel stays. The weights that have moved are zero; `unread` takes the channel away.
//!
//! No sum can overflow that could not before: the bias grows by at most `128 · Σ |w|`, which the weights held.

use super::ranges::{Range, ranges};
use super::taps::{Layout, Reach, add_bias, pad_at, reaches};
use crate::qir::{Conv, Dense, Hwc, Op, Program};

/// Moves what it can; whether it moved anything.
pub(super) fn fold(program: &mut Program) -> bool {
    let ranges = ranges(program);
    let mut changed = false;
    for index in 0..program.layers.len() {
        let (id, output) = (program.layers[index].inputs[0], program.layers[index].output);
        let (from, to) = (program.tensor(id).shape, program.tensor(output).shape);
        let input = &ranges[id.index()];
        changed |= match &mut program.layers[index].op {
            Op::Conv(conv) => fold_conv(conv, false, input, from, to),
            Op::Depthwise(conv) => fold_conv(conv, true, input, from, to),
            Op::Dense(dense) => fold_dense(dense, input),
            Op::Grouped(_)
            | Op::Add(_)
            | Op::Gate(_)
            | Op::MaxPool(_)
            | Op::AvgPool(_)
            | Op::Concat
            | Op::Flatten
            | Op::Adapt(_)
            | Op::Lookup(_) => false,
        };
    }
    changed
}

fn fold_conv(conv: &mut Conv, depthwise: bool, input: &[Range], from: Hwc, to: Hwc) -> bool {
    let layout = Layout::new(conv, depthwise, from, to);
    let reaches = reaches(&conv.window, from, to);
    let mut changed = false;
    for o in 0..to.c {
        for i in layout.reads(o) {
            let pad = pad_at(&conv.pad, i);
            let Some(value) = input[i].constant() else { continue };
            let weights = |tap: usize| conv.weights[layout.at(o, tap, i)];
            let used = || reaches.iter().enumerate().filter(|(tap, _)| weights(*tap) != 0);
            let uniform = used().all(|(_, reach)| value == pad || !reach.inside || !reach.outside);
            if !uniform || used().next().is_none() {
                continue;
            }
            let share = |(tap, reach): (usize, &Reach)| {
                i32::from(weights(tap)) * i32::from(if reach.inside { value } else { pad })
            };
            let share = used().map(share).sum();
            add_bias(&mut conv.bias, o, to.c, share);
            for tap in 0..layout.taps {
                conv.weights[layout.at(o, tap, i)] = 0;
            }
            changed = true;
        }
    }
    changed
}

fn fold_dense(dense: &mut Dense, input: &[Range]) -> bool {
    let Dense { weights, bias, .. } = dense;
    let features = weights.len() / bias.len();
    let mut changed = false;
    for (filter, bias) in weights.chunks_exact_mut(features).zip(bias) {
        for (f, weight) in filter.iter_mut().enumerate() {
            if let Some(value) = input[f % input.len()].constant()
                && *weight != 0
            {
                *bias = bias.wrapping_add(i32::from(*weight) * i32::from(value));
                *weight = 0;
                changed = true;
            }
        }
    }
    changed
}
