//! Channels that nothing reads, and layers that nothing needs.
//!
//! A channel is read where a weight that is not zero stands for it, or where a layer without weights passes it on to
//! a channel that is read. Layers that work channel by channel tie their input's channels to their output's: they go
//! together or stay. Convolutions in groups and flattened maps keep every channel. The program's input is the caller's and its output holds the scores: both stay whole.

use super::cut::cut;
use super::taps::Layout;
use crate::qir::{Layer, Op, Program};

/// `[tensor][channel]`.
type Marks = Vec<Vec<bool>>;

/// Removes them, down to multiples of `granule` channels; whether there were any.
pub(super) fn remove(program: &mut Program, granule: usize) -> bool {
    let (kept, needed) = kept(program, granule);
    let whole = |(marks, &needed): (&Vec<bool>, &bool)| needed && marks.iter().all(|&k| k);
    if kept.iter().zip(&needed).all(whole) {
        return false;
    }
    *program = cut(program, &kept, &needed);
    true
}

/// The channels that stay, and the tensors that do.
fn kept(program: &Program, granule: usize) -> (Marks, Vec<bool>) {
    let mut kept = read(program);
    kept[program.input().index()].fill(true);
    loop {
        let needed = needed(program, &kept);
        let mut changed = false;
        for layer in program.layers.iter().filter(|layer| needed[layer.output.index()]) {
            changed |= tie(layer, &mut kept);
        }
        for (marks, _) in kept.iter_mut().zip(&needed).filter(|(_, needed)| **needed) {
            // A layer cannot read a tensor without channels.
            let count = marks.iter().filter(|k| **k).count();
            let missing = count.max(1).next_multiple_of(granule.max(1)) - count;
            for mark in marks.iter_mut().filter(|k| !**k).take(missing) {
                *mark = true;
                changed = true;
            }
        }
        if !changed {
            return (kept, needed);
        }
    }
}

/// The channels whose values can reach a score.
fn read(program: &Program) -> Marks {
    let mut read: Marks = program.tensors.iter().map(|t| vec![false; t.shape.c]).collect();
    read[program.output.index()].fill(true);
    for layer in program.layers.iter().rev() {
        let marks = read[layer.output.index()].clone();
        let outputs = || (0..marks.len()).filter(|&o| marks[o]);
        let (id, to) = (layer.inputs[0], program.tensor(layer.output).shape);
        let from = program.tensor(id).shape;
        let input = &mut read[id.index()];
        match &layer.op {
            Op::Conv(conv) | Op::Depthwise(conv) => {
                let layout = Layout::new(conv, matches!(layer.op, Op::Depthwise(_)), from, to);
                let taps = conv.window.kernel[0] * conv.window.kernel[1];
                for o in outputs() {
                    for i in layout.reads(o) {
                        // Taps that only ever read padding count: what they add is in the sum all the same.
                        input[i] |= (0..taps).any(|tap| conv.weights[layout.at(o, tap, i)] != 0);
                    }
                }
            }
            Op::Dense(dense) => {
                for o in outputs() {
                    let filter = &dense.weights[o * from.len()..(o + 1) * from.len()];
                    for (f, _) in filter.iter().enumerate().filter(|(_, w)| **w != 0) {
                        input[f % from.c] = true;
                    }
                }
            }
            Op::Add(_) | Op::Gate(_) | Op::MaxPool(_) | Op::AvgPool(_) | Op::Lookup(_) => {
                for id in &layer.inputs {
                    outputs().for_each(|o| read[id.index()][o] = true);
                }
            }
            Op::Grouped(_) | Op::Flatten | Op::Adapt(_) => {
                let any = marks.contains(&true);
                for mark in input.iter_mut() {
                    *mark |= any;
                }
            }
            Op::Concat => {
                let mut rest = &marks[..];
                for id in &layer.inputs {
                    let input = &mut read[id.index()];
                    let (part, after) = rest.split_at(input.len());
                    input.iter_mut().zip(part).for_each(|(i, &o)| *i |= o);
                    rest = after;
                }
            }
        }
    }
    read
}

/// The tensors without which the output cannot be computed. A concatenation needs no part that keeps no channel.
fn needed(program: &Program, kept: &Marks) -> Vec<bool> {
    let mut needed = vec![false; program.tensors.len()];
    needed[program.input().index()] = true;
    needed[program.output.index()] = true;
    for layer in program.layers.iter().rev() {
        if needed[layer.output.index()] {
            for id in &layer.inputs {
                needed[id.index()] |= layer.op != Op::Concat || kept[id.index()].contains(&true);
            }
        }
    }
    needed
}

/// Keeps on both sides of `layer` what it keeps on one; whether that was more.
fn tie(layer: &Layer, kept: &mut Marks) -> bool {
    let output = layer.output.index();
    let before = |kept: &Marks| {
        let inputs = layer.inputs.iter().map(|id| id.index()).chain([output]);
        inputs.map(|t| kept[t].iter().filter(|k| **k).count()).sum::<usize>()
    };
    let count = before(kept);
    match layer.op {
        Op::Conv(_) | Op::Dense(_) => {}
        // All or nothing: groups stay as long as each other, and so do the positions of a channel.
        Op::Grouped(_) | Op::Flatten | Op::Adapt(_) => {
            for id in [layer.inputs[0], layer.output] {
                kept[id.index()].fill(true);
            }
        }
        Op::Depthwise(_) | Op::Add(_) | Op::Gate(_) | Op::MaxPool(_) | Op::AvgPool(_) | Op::Lookup(_) => {
            for c in 0..kept[output].len() {
                let any = kept[output][c] || layer.inputs.iter().any(|id| kept[id.index()][c]);
                layer.inputs.iter().map(|id| id.index()).chain([output]).for_each(|t| kept[t][c] = any);
            }
        }
        Op::Concat => {
            let mut first = 0;
            for id in &layer.inputs {
                for c in 0..kept[id.index()].len() {
                    let any = kept[output][first + c] || kept[id.index()][c];
                    (kept[output][first + c], kept[id.index()][c]) = (any, any);
                }
                first += kept[id.index()].len();
            }
        }
    }
    before(kept) != count
}
