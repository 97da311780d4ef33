//! The input contract as integers: raw pixels or features go into the first layers as they are.
//!
//! The device's stored integer `q` (`pixel − 128`, or the `i8` feature) stands for
//! `x[c] = slope[c]·q + offset[c]`, the domain that the network was trained in. A layer that reads the input
//! takes `slope` into its weights and the rest into its bias. The `q` of `x = 0` is in general no integer, so
//! zero padding needs two things: an integer pad value per channel, and a bias for every border position that
//! holds what the pad value is off by. Together they are exact up to float rounding.

use crate::data::{InputContract, InputKind};
use crate::diag::{Diag, Result};
use crate::ir::Shape;
use crate::ir::op::{Affine, Conv, Window};
use crate::qir::Quant;

/// Below this share of an input step, the zero counts as an integer: decimal constants such as
/// `0.00392156862745098` are off by rounding only.
const INTEGER_ZERO: f64 = 1e-6;

/// How stored integers stand for the network's input: `x[c] = slope[c]·q + offset[c]`.
#[derive(Debug, Clone, PartialEq)]
pub struct InputMap {
    /// Per channel.
    pub slope: Vec<f64>,
    /// Per channel.
    pub offset: Vec<f64>,
}

impl InputMap {
    /// The map of a contract.
    pub fn new(contract: &InputContract) -> Self {
        let origin = match contract.kind {
            InputKind::U8 => 128.0,
            InputKind::I8 => 0.0,
        };
        let (mut slope, mut offset) = (Vec::new(), Vec::new());
        for c in 0..contract.shape[2] {
            let mean = contract.mean.get(c).copied().unwrap_or(0.0);
            let std = contract.std.get(c).copied().unwrap_or(1.0);
            slope.push(contract.scale / std);
            offset.push(((origin - contract.zero_point) * contract.scale - mean) / std);
        }
        Self { slope, offset }
    }

    /// That of raw pixels that mean themselves.
    pub(super) fn pixels(channels: usize) -> Self {
        Self { slope: vec![1.0; channels], offset: vec![128.0; channels] }
    }

    /// The map followed by a per-channel affine.
    #[must_use]
    pub fn then(&self, affine: &Affine) -> Self {
        let scaled = |values: &[f64]| -> Vec<f64> { values.iter().zip(&affine.scale).map(|(v, s)| v * s).collect() };
        let mut offset = scaled(&self.offset);
        for (o, shift) in offset.iter_mut().zip(&affine.shift) {
            *o += shift;
        }
        Self { slope: scaled(&self.slope), offset }
    }

    /// Fails where a channel's map is not finite, for example after a standard deviation of 0.
    pub fn verify(&self) -> Result<()> {
        match self.slope.iter().zip(&self.offset).position(|(s, o)| !s.is_finite() || !o.is_finite()) {
            None => Ok(()),
            Some(c) => Diag::new("quantize/input-contract", "the input contract is not finite")
                .at(format!("channel {c}"))
                .expected("a finite scale and offset", format!("{} and {}", self.slope[c], self.offset[c]))
                .help("check scale, mean and std of the input")
                .err(),
        }
    }

    /// Scale and zero point that come nearest, for information.
    pub(super) fn nearest_quant(&self) -> Quant {
        let slope = self.slope[0];
        let zero = if slope == 0.0 { 0.0 } else { (-self.offset[0] / slope).round().clamp(-128.0, 127.0) };
        let scale = slope.abs() as f32;
        Quant { scale: if scale.is_normal() { scale } else { 1.0 }, zero_point: zero as i32 }
    }
}

/// What a layer reads: channel `c` of its input is `slope[c]·(q − zero[c]) + residual[c]`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reader {
    /// Real value of one step.
    pub slope: Vec<f64>,
    /// The integer nearest to 0; also the pad value.
    pub zero: Vec<i8>,
    /// What `zero` stands for.
    pub residual: Vec<f64>,
}

impl Reader {
    /// Reading the raw input.
    pub fn raw(map: &InputMap) -> Self {
        let mut reader = Self { slope: map.slope.clone(), zero: Vec::new(), residual: Vec::new() };
        for (&slope, &offset) in map.slope.iter().zip(&map.offset) {
            let zero = if slope == 0.0 { 0.0 } else { (-offset / slope).round().clamp(-128.0, 127.0) };
            let residual = slope * zero + offset;
            let integer = slope != 0.0 && (residual / slope).abs() < INTEGER_ZERO;
            reader.zero.push(zero as i8);
            reader.residual.push(if integer { 0.0 } else { residual });
        }
        reader
    }

    /// Reading a quantized tensor of `channels` channels.
    pub fn tensor(quant: Quant, channels: usize) -> Self {
        Self {
            slope: vec![f64::from(quant.scale); channels],
            zero: vec![quant.zero_point as i8; channels],
            residual: vec![0.0; channels],
        }
    }
}

/// Output positions by the taps that lie inside the input, on one axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Border {
    /// Class of each output row or column.
    pub classes: Vec<u8>,
    /// For each class, which taps lie inside.
    pub inside: Vec<Vec<bool>>,
}

impl Border {
    /// One class for all `positions`, every tap inside.
    fn uniform(positions: usize, taps: usize) -> Self {
        Self { classes: vec![0; positions], inside: vec![vec![true; taps]] }
    }

    /// The classes of `axis` (0: rows, 1: columns).
    pub fn new(window: &Window, axis: usize, input: usize, positions: usize) -> Result<Self> {
        let mut border = Self { classes: Vec::with_capacity(positions), inside: Vec::new() };
        for position in 0..positions {
            let taps: Vec<bool> =
                (0..window.kernel[axis]).map(|k| window.source(axis, position, k, input).is_some()).collect();
            let class = border.inside.iter().position(|known| *known == taps).unwrap_or_else(|| {
                border.inside.push(taps);
                border.inside.len() - 1
            });
            border.classes.push(u8::try_from(class).map_err(|_| {
                Diag::new("quantize/border", "a padded first layer has too many kinds of border positions")
                    .expected("at most 256 along an axis", "more")
            })?);
        }
        Ok(border)
    }
}

/// A convolution in terms of stored integers, still in floats:
/// `y[o] = bias[class][o] + Σ weight[o, i, ky, kx] · (q − zero[i])`, where padded positions hold `zero`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Folded {
    /// `[O, I/g, KH, KW]`.
    pub weight: Vec<f64>,
    /// `[row class][column class][O]`.
    pub bias: Vec<f64>,
    /// Row classes.
    pub rows: Border,
    /// Column classes.
    pub cols: Border,
}

impl Folded {
    /// Whether one bias serves every position.
    pub fn is_uniform(&self) -> bool {
        self.rows.inside.len() == 1 && self.cols.inside.len() == 1
    }
}

/// The channel of the layer's input that filter `o` reads at its input index `i`.
pub(super) fn source_channel(conv: &Conv, o: usize, i: usize) -> usize {
    o / (conv.out_channels / conv.groups) * (conv.in_channels / conv.groups) + i
}

/// Folds what `conv` reads into its weights and biases.
pub(super) fn fold(conv: &Conv, reader: &Reader, input: Shape, output: Shape) -> Result<Folded> {
    let [kh, kw] = conv.window.kernel;
    let per_group = conv.in_channels / conv.groups;
    let at_border = conv.window.pad != [0; 4] && reader.residual.iter().any(|&r| r != 0.0);
    let (rows, cols) = if at_border {
        (Border::new(&conv.window, 0, input.h, output.h)?, Border::new(&conv.window, 1, input.w, output.w)?)
    } else {
        (Border::uniform(output.h, kh), Border::uniform(output.w, kw))
    };
    let mut weight = vec![0.0; conv.weight.len()];
    let mut bias = Vec::with_capacity(rows.inside.len() * cols.inside.len() * conv.out_channels);
    for row in &rows.inside {
        for col in &cols.inside {
            for o in 0..conv.out_channels {
                let mut sum = f64::from(conv.bias[o]);
                for i in 0..per_group {
                    let channel = source_channel(conv, o, i);
                    for (ky, &in_row) in row.iter().enumerate() {
                        for (kx, &in_col) in col.iter().enumerate() {
                            let at = ((o * per_group + i) * kh + ky) * kw + kx;
                            let w = f64::from(conv.weight[at]);
                            weight[at] = w * reader.slope[channel];
                            if in_row && in_col {
                                sum += w * reader.residual[channel];
                            }
                        }
                    }
                }
                bias.push(sum);
            }
        }
    }
    Ok(Folded { weight, bias, rows, cols })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deterministic values in −1..1.
    fn noise(n: usize, seed: u64) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1u64 << 24) as f32) * 2.0 - 1.0
        };
        (0..n).map(|_| next()).collect()
    }

    fn contract(kind: InputKind, scale: f64, zero_point: f64, mean: &[f64], std: &[f64]) -> InputContract {
        InputContract { kind, shape: [7, 6, mean.len()], scale, zero_point, mean: mean.to_vec(), std: std.to_vec() }
    }

    /// `conv` on `value(channel, y, x)`, where positions outside the input are `outside(channel)`.
    fn reference(
        conv: &Conv,
        weight: &[f64],
        bias: impl Fn(usize, usize, usize) -> f64,
        input: Shape,
        output: Shape,
        value: impl Fn(usize, Option<(usize, usize)>) -> f64,
    ) -> Vec<f64> {
        let [kh, kw] = conv.window.kernel;
        let per_group = conv.in_channels / conv.groups;
        let mut out = Vec::new();
        for o in 0..conv.out_channels {
            for oy in 0..output.h {
                for ox in 0..output.w {
                    let mut sum = bias(o, oy, ox);
                    for i in 0..per_group {
                        for ky in 0..kh {
                            for kx in 0..kw {
                                let y = conv.window.source(0, oy, ky, input.h);
                                let x = conv.window.source(1, ox, kx, input.w);
                                sum += weight[((o * per_group + i) * kh + ky) * kw + kx]
                                    * value(source_channel(conv, o, i), y.zip(x));
                            }
                        }
                    }
                    out.push(sum);
                }
            }
        }
        out
    }

    fn check(contract: &InputContract, window: Window, depthwise: bool) {
        let channels = contract.shape[2];
        let (out_channels, groups) = if depthwise { (channels, channels) } else { (5, 1) };
        let weights = out_channels * channels / groups * window.kernel[0] * window.kernel[1];
        let conv = Conv {
            out_channels,
            in_channels: channels,
            groups,
            window,
            weight: noise(weights, 1),
            bias: noise(out_channels, 2),
        };
        let input = Shape::new(channels, contract.shape[0], contract.shape[1]);
        let output = window.infer_shape(input).expect("the window fits");
        let output = Shape { c: out_channels, ..output };
        let map = InputMap::new(contract);
        let reader = Reader::raw(&map);
        let stored = |c: usize, y: usize, x: usize| ((c * 89 + y * 37 + x * 101 + 13) % 256) as i32 - 128;

        let source: Vec<f64> = conv.weight.iter().map(|&w| f64::from(w)).collect();
        let want = reference(
            &conv,
            &source,
            |o, _, _| f64::from(conv.bias[o]),
            input,
            output,
            |c, at| {
                at.map_or(0.0, |(y, x)| {
                    let q = f64::from(stored(c, y, x));
                    let p = if contract.kind == InputKind::U8 { q + 128.0 } else { q };
                    ((p - contract.zero_point) * contract.scale - contract.mean[c]) / contract.std[c]
                })
            },
        );

        let folded = fold(&conv, &reader, input, output).expect("folds");
        let classes = folded.cols.inside.len();
        let bias = |o: usize, oy: usize, ox: usize| {
            let class = usize::from(folded.rows.classes[oy]) * classes + usize::from(folded.cols.classes[ox]);
            folded.bias[class * conv.out_channels + o]
        };
        let got = reference(&conv, &folded.weight, bias, input, output, |c, at| {
            f64::from(at.map_or(i32::from(reader.zero[c]), |(y, x)| stored(c, y, x)) - i32::from(reader.zero[c]))
        });
        for (i, (a, b)) in want.iter().zip(&got).enumerate() {
            assert!((a - b).abs() <= 1e-5, "{window:?}: output {i} is {b}, not {a}");
        }
    }

    #[test]
    fn folded_layer_equals_the_source_at_every_position() {
        let contracts = [
            contract(InputKind::U8, 1.0, 0.0, &[0.0; 3], &[1.0; 3]),
            contract(InputKind::U8, 1.0 / 255.0, 0.0, &[0.4913, 0.4821, 0.4465], &[0.2452, 0.2428, 0.2606]),
            contract(InputKind::U8, 1.0 / 255.0, 0.0, &[1.7, -0.9, 0.0], &[0.01, 0.5, 3.0]),
            contract(InputKind::I8, 0.584_702_908_992_767_3, 83.0, &[0.0], &[1.0]),
            contract(InputKind::I8, 0.02, 11.5, &[0.1, 0.2], &[0.3, 0.4]),
        ];
        let windows = [
            Window { kernel: [3, 3], stride: [1, 1], dilation: [1, 1], pad: [1, 1, 1, 1] },
            Window { kernel: [3, 3], stride: [2, 2], dilation: [1, 1], pad: [0, 0, 1, 1] },
            Window { kernel: [5, 2], stride: [2, 1], dilation: [1, 2], pad: [4, 1, 3, 0] },
            Window { kernel: [2, 3], stride: [1, 2], dilation: [2, 1], pad: [0; 4] },
        ];
        for contract in &contracts {
            for window in windows {
                check(contract, window, false);
                check(contract, window, contract.shape[2] > 1);
            }
        }
    }

    #[test]
    fn whole_pixels_need_no_border_table() {
        let reader =
            Reader::raw(&InputMap::new(&contract(InputKind::U8, 0.003_921_568_627_450_98, 0.0, &[0.0], &[1.0])));
        assert_eq!((reader.zero.as_slice(), reader.residual.as_slice()), ([-128].as_slice(), [0.0].as_slice()));
        let features = Reader::raw(&InputMap::new(&contract(InputKind::I8, 0.58, 83.0, &[0.0], &[1.0])));
        assert_eq!((features.zero.as_slice(), features.residual.as_slice()), ([83].as_slice(), [0.0].as_slice()));
    }

    #[test]
    fn batch_norm_on_the_input_joins_the_contract() {
        let map = InputMap::new(&contract(InputKind::U8, 0.5, 10.0, &[1.0], &[2.0]));
        let both = map.then(&Affine { scale: vec![3.0], shift: vec![-4.0] });
        let x = map.slope[0] * 17.0 + map.offset[0];
        assert!((both.slope[0] * 17.0 + both.offset[0] - (3.0 * x - 4.0)).abs() < 1e-12);
    }
}
