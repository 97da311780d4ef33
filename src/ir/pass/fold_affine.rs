//! Folds affine maps into the weights before or behind them.
//!
//! Behind a convolution, dense layer or affine map that nothing else reads: always. In front of dense layers and
//! convolutions: where every reader takes it, through flattening and global averages; a convolution with padding
//! takes only a pure scale, because its border is zero after the map. A fold whose result is not finite is left.

use crate::ir::op::{Affine, Conv, Dense, Op};
use crate::ir::pass::{only_reader, readers, redirect};
use crate::ir::{Graph, NodeId};

pub(super) fn run(graph: &mut Graph) {
    // A map that took in another one may now fit where it did not before.
    while fold_once(graph) {}
}

/// Goes over the graph once; whether anything was folded.
fn fold_once(graph: &mut Graph) -> bool {
    let mut changed = false;
    for id in graph.ids() {
        let (Op::Affine(affine), [input]) = (&graph.node(id).op, graph.node(id).inputs.as_slice()) else { continue };
        let (affine, input) = (affine.clone(), *input);
        let folded = if only_reader(graph, input) == Some(id) { behind(&graph.node(input).op, &affine) } else { None };
        if let Some(op) = folded {
            graph.nodes[input.index()].op = op;
            redirect(graph, id, input);
            changed = true;
            continue;
        }
        let folds: Option<Vec<(NodeId, Op)>> =
            readers(graph, id).into_iter().map(|reader| in_front(graph, id, reader, &affine)).collect();
        if let Some(folds) = folds {
            for (reader, op) in folds {
                graph.nodes[reader.index()].op = op;
            }
            redirect(graph, id, input);
            changed = true;
        }
    }
    changed
}

/// `op` followed by `affine`, as one operator.
fn behind(op: &Op, affine: &Affine) -> Option<Op> {
    let merged = match op {
        Op::Conv(conv) => {
            let (weight, bias) = scale_rows(&conv.weight, &conv.bias, affine);
            Op::Conv(Conv { weight, bias, ..conv.clone() })
        }
        Op::Dense(dense) => {
            let (weight, bias) = scale_rows(&dense.weight, &dense.bias, affine);
            Op::Dense(Dense { weight, bias, ..dense.clone() })
        }
        Op::Affine(first) => {
            let pairs = || first.scale.iter().zip(&first.shift).zip(affine.scale.iter().zip(&affine.shift));
            Op::Affine(Affine {
                scale: pairs().map(|((a, _), (s, _))| a * s).collect(),
                shift: pairs().map(|((_, b), (s, t))| b * s + t).collect(),
            })
        }
        _ => return None,
    };
    merged.verify().is_ok().then_some(merged)
}

/// Weights `[O, …]` and biases `[O]` of a layer whose outputs are then mapped.
fn scale_rows(weight: &[f32], bias: &[f32], affine: &Affine) -> (Vec<f32>, Vec<f32>) {
    let row = weight.len() / bias.len();
    let product = |a: f32, b: f64| f64::from(a) * b;
    let weight = weight.iter().enumerate().map(|(i, &w)| product(w, affine.scale[i / row]) as f32).collect();
    let bias = bias.iter().enumerate().map(|(o, &b)| (product(b, affine.scale[o]) + affine.shift[o]) as f32).collect();
    (weight, bias)
}

/// The operator at the end of the path from `id` through `reader` that takes `affine` in front of it.
fn in_front(graph: &Graph, id: NodeId, mut reader: NodeId, affine: &Affine) -> Option<(NodeId, Op)> {
    if reader == id {
        return None;
    }
    let mut affine = affine.clone();
    loop {
        let node = graph.node(reader);
        let merged = match &node.op {
            Op::GlobalAvgPool => None,
            Op::Flatten => {
                let plane = graph.shape(node.inputs[0]).plane();
                let repeat = |values: &[f64]| values.iter().flat_map(|&v| std::iter::repeat_n(v, plane)).collect();
                affine = Affine { scale: repeat(&affine.scale), shift: repeat(&affine.shift) };
                None
            }
            Op::Dense(dense) => {
                let (weight, bias) = scale_columns(&dense.weight, &dense.bias, &affine, |_, i| i, dense.in_features);
                Some(Op::Dense(Dense { weight, bias, ..dense.clone() }))
            }
            Op::Conv(conv) => {
                if conv.window.pad != [0; 4] && affine.shift.iter().any(|&t| t != 0.0) {
                    return None;
                }
                let taps = conv.window.kernel[0] * conv.window.kernel[1];
                let inputs = conv.in_channels / conv.groups;
                let outputs = conv.out_channels / conv.groups;
                let channel = |o: usize, i: usize| o / outputs * inputs + i / taps;
                let (weight, bias) = scale_columns(&conv.weight, &conv.bias, &affine, channel, conv.fan_in());
                Some(Op::Conv(Conv { weight, bias, ..conv.clone() }))
            }
            _ => return None,
        };
        match merged {
            Some(op) => return op.verify().is_ok().then_some((reader, op)),
            None => reader = only_reader(graph, reader)?,
        }
    }
}

/// Weights `[O, row]` and biases of a layer whose inputs are mapped before; `channel(o, i)` is the input channel
/// of weight `i` of output `o`.
fn scale_columns(
    weight: &[f32],
    bias: &[f32],
    affine: &Affine,
    channel: impl Fn(usize, usize) -> usize,
    row: usize,
) -> (Vec<f32>, Vec<f32>) {
    let mut sums: Vec<f64> = bias.iter().map(|&b| f64::from(b)).collect();
    let mut scaled = Vec::with_capacity(weight.len());
    for (at, &w) in weight.iter().enumerate() {
        let (o, c) = (at / row, channel(at / row, at % row));
        sums[o] += f64::from(w) * affine.shift[c];
        scaled.push((f64::from(w) * affine.scale[c]) as f32);
    }
    (scaled, sums.into_iter().map(|b| b as f32).collect())
}
