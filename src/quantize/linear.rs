//! Convolutions, depthwise convolutions and dense layers.

use crate::diag::Result;
use crate::ir::Shape;
use crate::ir::op::{Conv, Dense};
use crate::qir::{self, Bias, Op, PadValue, Quant};
use crate::quantize::fold_input::{Reader, fold, source_channel};
use crate::quantize::fuse::Bounds;
use crate::quantize::weights::{Linear, quantize_linear};

/// Where a layer stands: its name, what it reads and what it stores.
pub(super) struct Place<'a> {
    /// Name, for errors.
    pub name: &'a str,
    /// What the input's integers stand for.
    pub reader: &'a Reader,
    /// Shape of the input as it lies in device memory.
    pub input: Shape,
    /// Shape of the result.
    pub output: Shape,
    /// Scale and zero point of the result.
    pub quant: Quant,
    /// What joined activations clamp the result to.
    pub bounds: Bounds,
}

/// A convolution: of one group, depthwise, or in groups.
pub(super) fn lower_conv(conv: &Conv, place: &Place<'_>) -> Result<Op> {
    let folded = fold(conv, place.reader, place.input, place.output)?;
    let [kh, kw] = conv.window.kernel;
    let taps = kh * kw;
    let layer = Linear {
        weight: &folded.weight,
        bias: &folded.bias,
        outputs: conv.out_channels,
        zero: &|o, f| place.reader.zero[source_channel(conv, o, f / taps)],
        name: place.name,
    };
    let quantized = quantize_linear(&layer, place.quant, place.bounds)?;
    let per_group = conv.in_channels / conv.groups;
    let mut weights = Vec::with_capacity(quantized.weights.len());
    let at = |o: usize, i: usize, tap: usize| quantized.weights[(o * per_group + i) * taps + tap];
    if conv.is_depthwise() {
        for tap in 0..taps {
            weights.extend((0..conv.out_channels).map(|c| at(c, 0, tap)));
        }
    } else {
        for o in 0..conv.out_channels {
            for tap in 0..taps {
                weights.extend((0..per_group).map(|i| at(o, i, tap)));
            }
        }
    }
    let bias = if folded.is_uniform() {
        Bias::Channel(quantized.bias)
    } else {
        Bias::Border {
            col_classes: folded.cols.inside.len(),
            rows: folded.rows.classes,
            cols: folded.cols.classes,
            table: quantized.bias,
        }
    };
    let zeros = &place.reader.zero;
    let pad = if zeros.iter().all(|z| *z == zeros[0]) {
        PadValue::Uniform(zeros[0])
    } else {
        PadValue::Channel(zeros.clone())
    };
    let conv_op = qir::Conv { window: lower_window(&conv.window), weights, bias, pad, requant: quantized.requant };
    Ok(if conv.is_depthwise() {
        Op::Depthwise(conv_op)
    } else if conv.groups > 1 {
        Op::Grouped(qir::Grouped { groups: conv.groups, conv: conv_op })
    } else {
        Op::Conv(conv_op)
    })
}

/// A dense layer: its weights go from the channel-major order of the float graph's flatten to the memory
/// order `[H, W, C]` of the tensor that it reads.
pub(super) fn lower_dense(dense: &Dense, place: &Place<'_>) -> Result<Op> {
    let (channels, plane) = (place.input.c, place.input.plane());
    let mut weight = Vec::with_capacity(dense.weight.len());
    let mut bias: Vec<f64> = dense.bias.iter().map(|&b| f64::from(b)).collect();
    for (row, bias) in dense.weight.chunks_exact(dense.in_features).zip(&mut bias) {
        for position in 0..plane {
            for c in 0..channels {
                let w = f64::from(row[c * plane + position]);
                weight.push(w * place.reader.slope[c]);
                *bias += w * place.reader.residual[c];
            }
        }
    }
    let layer = Linear {
        weight: &weight,
        bias: &bias,
        outputs: dense.out_features,
        zero: &|_, f| place.reader.zero[f % channels],
        name: place.name,
    };
    let quantized = quantize_linear(&layer, place.quant, place.bounds)?;
    Ok(Op::Dense(qir::Dense { weights: quantized.weights, bias: quantized.bias, requant: quantized.requant }))
}

/// A window; the padding below and to the right follows from the shapes.
pub(super) fn lower_window(window: &crate::ir::op::Window) -> qir::Window {
    let [top, left, _, _] = window.pad;
    qir::Window { kernel: window.kernel, stride: window.stride, dilation: window.dilation, pad: [top, left] }
}
