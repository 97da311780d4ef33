//! Slices one operation's parameters.

use crate::ir::op::{Affine, Conv, Dense, Op};

/// `op` with only the output channels `out` and, for layers, the input channels (features) `features`.
pub(super) fn slice_op(op: &Op, out: &[u32], features: &[u32]) -> Op {
    match op {
        Op::Conv(conv) => Op::Conv(slice_conv(conv, out, features)),
        Op::Dense(dense) => Op::Dense(slice_dense(dense, out, features)),
        Op::Affine(Affine { scale, shift }) => Op::Affine(Affine { scale: pick(scale, out), shift: pick(shift, out) }),
        Op::Input
        | Op::Relu
        | Op::Clip(_)
        | Op::LeakyRelu(_)
        | Op::Sigmoid
        | Op::HardSigmoid(_)
        | Op::HardSwish
        | Op::Add
        | Op::Gate
        | Op::Concat
        | Op::MaxPool(_)
        | Op::AvgPool(_)
        | Op::GlobalAvgPool
        | Op::Flatten
        | Op::Pad(_)
        | Op::Adapt(_)
        | Op::Softmax => op.clone(),
    }
}

/// A convolution with several groups keeps or loses whole groups, inputs and outputs alike, because the
/// channel groups tie them.
fn slice_conv(conv: &Conv, out: &[u32], features: &[u32]) -> Conv {
    let Conv { out_channels: _, in_channels, groups, window, weight, bias } = conv;
    let taps = window.kernel[0] * window.kernel[1];
    let per_group = in_channels / groups;
    let mut sliced = Vec::with_capacity(out.len() * features.len() * taps);
    for &o in out {
        let filter = &weight[o as usize * conv.fan_in()..][..conv.fan_in()];
        if *groups == 1 {
            for &i in features {
                sliced.extend_from_slice(&filter[i as usize * taps..][..taps]);
            }
        } else {
            sliced.extend_from_slice(filter);
        }
    }
    Conv {
        out_channels: out.len(),
        in_channels: features.len(),
        groups: if *groups == 1 { 1 } else { features.len() / per_group },
        window: *window,
        weight: sliced,
        bias: pick(bias, out),
    }
}

fn slice_dense(dense: &Dense, out: &[u32], features: &[u32]) -> Dense {
    let Dense { out_features: _, in_features, weight, bias } = dense;
    let mut sliced = Vec::with_capacity(out.len() * features.len());
    for &o in out {
        let row = &weight[o as usize * in_features..][..*in_features];
        sliced.extend(features.iter().map(|&i| row[i as usize]));
    }
    Dense { out_features: out.len(), in_features: features.len(), weight: sliced, bias: pick(bias, out) }
}

fn pick<T: Copy>(values: &[T], indices: &[u32]) -> Vec<T> {
    indices.iter().map(|&i| values[i as usize]).collect()
}
