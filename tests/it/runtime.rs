//! Every kernel against a naive reference in `i64`, on random shapes, windows and values.
//!
//! The reference asks for each tap by its coordinates and rounds by wide division. Cases come from a fixed seed.

use fratc_runtime::adapt::{Adapt, adapt};
use fratc_runtime::add::{Add, add, add_in_place, add_in_place_second};
use fratc_runtime::argmax::argmax;
use fratc_runtime::avg_pool::{AvgPool, avg_pool};
use fratc_runtime::bias::Bias;
use fratc_runtime::concat::concat_part;
use fratc_runtime::conv::{Conv2d, conv2d};
use fratc_runtime::dense::{Dense, dense};
use fratc_runtime::depthwise::{Depthwise, depthwise};
use fratc_runtime::lookup::{lookup, lookup_in_place};
use fratc_runtime::max_pool::{MaxPool, max_pool};
use fratc_runtime::pad::PadValue;
use fratc_runtime::requant::{Requant, mulhi};
use fratc_runtime::shape::{Element, Hwc, Window};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, RngSeed};

mod groups;

fn config(cases: u32) -> Config {
    Config {
        cases,
        rng_algorithm: RngAlgorithm::ChaCha,
        rng_seed: RngSeed::Fixed(20_250_301),
        failure_persistence: None,
        ..Config::default()
    }
}

/// A tensor and a window over it.
#[derive(Debug, Clone)]
struct Geometry {
    input: Hwc,
    window: Window,
    /// Rows and columns of the output, bottom and right padding included.
    output: [usize; 2],
}

fn geometry() -> impl Strategy<Value = Geometry> {
    let pair = |r: std::ops::RangeInclusive<usize>| [r.clone(), r];
    (pair(1..=7), 1..=11_usize, pair(1..=4), pair(1..=3), pair(1..=3), pair(0..=3), pair(0..=3)).prop_map(
        |([h, w], c, kernel, stride, dilation, pad, end)| {
            let size = |n: usize, axis: usize| {
                let extent = (kernel[axis] - 1) * dilation[axis] + 1;
                (n + pad[axis] + end[axis]).saturating_sub(extent) / stride[axis] + 1
            };
            let output = [size(h, 0), size(w, 1)];
            Geometry { input: Hwc { h, w, c }, window: Window { kernel, stride, dilation, pad }, output }
        },
    )
}

/// Values with the extremes more often than chance has them.
fn values(n: usize) -> impl Strategy<Value = Vec<i8>> {
    vec(prop_oneof![6 => any::<i8>(), 1 => Just(-128_i8), 1 => Just(127_i8)], n)
}

fn weights(n: usize) -> impl Strategy<Value = Vec<i8>> {
    vec(prop_oneof![6 => -127..=127_i8, 1 => Just(-127_i8), 1 => Just(127_i8)], n)
}

#[derive(Debug, Clone)]
struct Scaling {
    multipliers: Vec<i32>,
    shift: u32,
    zero_point: i32,
    min: i32,
    max: i32,
}

impl Scaling {
    fn view(&self) -> Requant<'_> {
        let Self { multipliers, shift, zero_point, min, max } = self;
        Requant { multipliers, shift: *shift, zero_point: *zero_point, min: *min, max: *max }
    }

    /// The documented formula, in wide integers and without shifts.
    fn reference(&self, acc: i64, multiplier: i32) -> i8 {
        let product = (i128::from(acc) << self.shift) * i128::from(multiplier);
        let rounded = (product + (1 << 31)).div_euclid(1 << 32);
        (i128::from(self.zero_point) + rounded).clamp(self.min.into(), self.max.into()) as i8
    }
}

fn scaling(n: usize) -> impl Strategy<Value = Scaling> {
    let multiplier = prop_oneof![
        8 => (1 << 16)..(1 << 25),
        1 => Just(i32::MAX),
        1 => Just(0),
        1 => 0..=i32::MAX,
    ];
    (vec(multiplier, n), 0..=3_u32, -128..=127_i32, -128..=127_i32, -128..=127_i32).prop_map(
        |(multipliers, shift, zero_point, a, b)| {
            // Narrow clamps half of the time.
            let (min, max) = if a % 2 == 0 { (-128, 127) } else { (a.min(b), a.max(b)) };
            Scaling { multipliers, shift, zero_point, min, max }
        },
    )
}

/// Input of a kernel: `i8`, or the same values as raw pixels.
fn pixels(values: &[i8]) -> Vec<u8> {
    values.iter().map(|&q| (i16::from(q) + 128) as u8).collect()
}

/// The value under tap `(ky, kx)` of output `(y, x)`, or `None` in the padding.
fn tap(g: &Geometry, values: &[i8], [y, x]: [usize; 2], [ky, kx]: [usize; 2], c: usize) -> Option<i64> {
    let position = |o: usize, k: usize, axis: usize| {
        let Window { stride, dilation, pad, .. } = g.window;
        (o * stride[axis] + k * dilation[axis]) as i64 - pad[axis] as i64
    };
    let (iy, ix) = (position(y, ky, 0), position(x, kx, 1));
    let inside = (0..g.input.h as i64).contains(&iy) && (0..g.input.w as i64).contains(&ix);
    inside.then(|| i64::from(values[((iy as usize * g.input.w) + ix as usize) * g.input.c + c]))
}

/// Output positions and taps, both in memory order.
fn grid([h, w]: [usize; 2]) -> impl Iterator<Item = [usize; 2]> {
    (0..h).flat_map(move |y| (0..w).map(move |x| [y, x]))
}

#[derive(Debug, Clone)]
enum Start {
    Channel(Vec<i32>),
    Border { rows: Vec<u8>, cols: Vec<u8>, table: Vec<i32> },
}

/// Classes in a border table.
const CLASSES: usize = 3;

impl Start {
    fn view(&self) -> Bias<'_> {
        match self {
            Self::Channel(bias) => Bias::Channel(bias),
            Self::Border { rows, cols, table } => Bias::Border { rows, cols, col_classes: CLASSES, table },
        }
    }

    fn reference(&self, [y, x]: [usize; 2], channels: usize, o: usize) -> i64 {
        i64::from(match self {
            Self::Channel(bias) => bias[o],
            Self::Border { rows, cols, table } => {
                table[(usize::from(rows[y]) * CLASSES + usize::from(cols[x])) * channels + o]
            }
        })
    }
}

fn start([h, w]: [usize; 2], channels: usize) -> impl Strategy<Value = Start> {
    let bias = || prop_oneof![4 => -30_000..30_000_i32, 1 => -200_000_000..200_000_000_i32];
    let class = || 0..CLASSES as u8;
    prop_oneof![
        vec(bias(), channels).prop_map(Start::Channel),
        (vec(class(), h), vec(class(), w), vec(bias(), CLASSES * CLASSES * channels))
            .prop_map(|(rows, cols, table)| Start::Border { rows, cols, table }),
    ]
}

#[derive(Debug, Clone)]
enum Pad {
    Uniform(i8),
    Channel(Vec<i8>),
}

impl Pad {
    fn view(&self) -> PadValue<'_> {
        match self {
            Self::Uniform(value) => PadValue::Uniform(*value),
            Self::Channel(values) => PadValue::Channel(values),
        }
    }

    fn reference(&self, c: usize) -> i64 {
        i64::from(match self {
            Self::Uniform(value) => *value,
            Self::Channel(values) => values[c],
        })
    }
}

fn pad(channels: usize) -> impl Strategy<Value = Pad> {
    prop_oneof![any::<i8>().prop_map(Pad::Uniform), values(channels).prop_map(Pad::Channel)]
}

/// A convolution with its input; `outputs` channels, `per_filter` weights each.
#[derive(Debug, Clone)]
struct ConvCase {
    g: Geometry,
    outputs: usize,
    x: Vec<i8>,
    weights: Vec<i8>,
    start: Start,
    pad: Pad,
    scaling: Scaling,
}

fn conv_case(depthwise: bool) -> impl Strategy<Value = ConvCase> {
    (geometry(), 1..=9_usize).prop_flat_map(move |(g, outputs)| {
        let outputs = if depthwise { g.input.c } else { outputs };
        let taps = g.window.kernel[0] * g.window.kernel[1];
        let n = if depthwise { taps * outputs } else { taps * outputs * g.input.c };
        let Hwc { h, w, c } = g.input;
        (values(h * w * c), weights(n), start(g.output, outputs), pad(c), scaling(outputs)).prop_map(
            move |(x, weights, start, pad, scaling)| ConvCase {
                g: g.clone(),
                outputs,
                x,
                weights,
                start,
                pad,
                scaling,
            },
        )
    })
}

impl ConvCase {
    fn output(&self) -> Hwc {
        Hwc { h: self.g.output[0], w: self.g.output[1], c: self.outputs }
    }

    fn conv(&self) -> Conv2d<'_> {
        Conv2d {
            input: self.g.input,
            output: self.output(),
            window: self.g.window,
            weights: &self.weights,
            bias: self.start.view(),
            pad: self.pad.view(),
            requant: self.scaling.view(),
        }
    }

    fn depthwise(&self) -> Depthwise<'_> {
        let Conv2d { input, output, window, weights, bias, pad, requant } = self.conv();
        Depthwise { input, output, window, weights, bias, pad, requant }
    }

    fn value(&self, at: [usize; 2], k: [usize; 2], c: usize) -> i64 {
        tap(&self.g, &self.x, at, k, c).unwrap_or_else(|| self.pad.reference(c))
    }

    /// `weight(output channel, tap, input channel)`; `inputs(o)`: the input channels that `o` reads.
    fn reference(
        &self,
        inputs: impl Fn(usize) -> std::ops::Range<usize>,
        weight: impl Fn(usize, [usize; 2], usize) -> usize,
    ) -> Vec<i8> {
        let mut out = Vec::new();
        for at in grid(self.g.output) {
            for o in 0..self.outputs {
                let mut acc = self.start.reference(at, self.outputs, o);
                for k in grid(self.g.window.kernel) {
                    for c in inputs(o) {
                        acc += self.value(at, k, c) * i64::from(self.weights[weight(o, k, c)]);
                    }
                }
                out.push(self.scaling.reference(acc, self.scaling.multipliers[o]));
            }
        }
        out
    }
}

/// Runs a kernel on both element types.
fn both(values: &[i8], len: usize, i8s: impl Fn(&[i8], &mut [i8]), u8s: impl Fn(&[u8], &mut [i8])) -> [Vec<i8>; 2] {
    let (mut a, mut b) = (vec![55; len], vec![-55; len]);
    i8s(values, &mut a);
    u8s(&pixels(values), &mut b);
    [a, b]
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn conv2d_is_the_reference(case in conv_case(false)) {
        let [_, kw] = case.g.window.kernel;
        let (c, per_filter) = (case.g.input.c, case.weights.len() / case.outputs);
        let expected = case.reference(|_| 0..c, |o, [ky, kx], i| o * per_filter + (ky * kw + kx) * c + i);
        let layer = case.conv();
        let found = both(&case.x, expected.len(), |x, y| conv2d(&layer, x, y), |x, y| conv2d(&layer, x, y));
        prop_assert_eq!(&found[0], &expected);
        prop_assert_eq!(&found[1], &expected);
    }

    #[test]
    fn depthwise_is_the_reference(case in conv_case(true)) {
        let [_, kw] = case.g.window.kernel;
        let c = case.g.input.c;
        let expected = case.reference(|o| o..o + 1, |o, [ky, kx], _| (ky * kw + kx) * c + o);
        let layer = case.depthwise();
        let found = both(&case.x, expected.len(), |x, y| depthwise(&layer, x, y), |x, y| depthwise(&layer, x, y));
        prop_assert_eq!(&found[0], &expected);
        prop_assert_eq!(&found[1], &expected);
    }

    #[test]
    fn dense_is_the_reference((x, w, bias, scaling) in (1..=40_usize, 1..=9_usize).prop_flat_map(|(i, o)| {
        (values(i), weights(i * o), vec(-100_000..100_000_i32, o), scaling(o))
    })) {
        let filter = |o: usize| &w[o * x.len()..][..x.len()];
        let expected: Vec<i8> = (0..bias.len()).map(|o| {
            let products: i64 = x.iter().zip(filter(o)).map(|(&x, &w)| i64::from(x) * i64::from(w)).sum();
            scaling.reference(products + i64::from(bias[o]), scaling.multipliers[o])
        }).collect();
        let layer = Dense { weights: &w, bias: &bias, requant: scaling.view() };
        let found = both(&x, expected.len(), |x, y| dense(&layer, x, y), |x, y| dense(&layer, x, y));
        prop_assert_eq!(&found[0], &expected);
        prop_assert_eq!(&found[1], &expected);
    }

    #[test]
    fn max_pool_is_the_reference((g, x) in geometry().prop_flat_map(|g| {
        let Hwc { h, w, c } = g.input;
        (Just(g), values(h * w * c))
    })) {
        let mut expected = Vec::new();
        for at in grid(g.output) {
            for c in 0..g.input.c {
                let inside = grid(g.window.kernel).filter_map(|k| tap(&g, &x, at, k, c));
                // A window without an input position, which the verifier refuses, gives the smallest value.
                expected.push(inside.max().unwrap_or(-128) as i8);
            }
        }
        let layer = MaxPool { input: g.input, output: Hwc { h: g.output[0], w: g.output[1], c: g.input.c }, window: g.window };
        let found = both(&x, expected.len(), |x, y| max_pool(&layer, x, y), |x, y| max_pool(&layer, x, y));
        prop_assert_eq!(&found[0], &expected);
        prop_assert_eq!(&found[1], &expected);
    }

    #[test]
    fn avg_pool_is_the_reference((g, x, scaling, zero) in (geometry(), any::<bool>()).prop_flat_map(|(g, by_count)| {
        let Hwc { h, w, c } = g.input;
        let multipliers = if by_count { g.window.kernel[0] * g.window.kernel[1] } else { 1 };
        (Just(g), values(h * w * c), scaling(multipliers), -128..=127_i32)
    })) {
        let mut expected = Vec::new();
        for at in grid(g.output) {
            for c in 0..g.input.c {
                let inside: Vec<i64> = grid(g.window.kernel).filter_map(|k| tap(&g, &x, at, k, c)).collect();
                let acc = inside.iter().map(|q| q - i64::from(zero)).sum();
                let multiplier = match scaling.multipliers[..] {
                    [one] => one,
                    ref each => inside.len().checked_sub(1).map_or(0, |i| each[i]),
                };
                expected.push(scaling.reference(acc, multiplier));
            }
        }
        let output = Hwc { h: g.output[0], w: g.output[1], c: g.input.c };
        let layer =
            AvgPool { input: g.input, output, window: g.window, input_zero_point: zero, requant: scaling.view() };
        let found = both(&x, expected.len(), |x, y| avg_pool(&layer, x, y), |x, y| avg_pool(&layer, x, y));
        prop_assert_eq!(&found[0], &expected);
        prop_assert_eq!(&found[1], &expected);
    }

    #[test]
    fn add_is_the_reference_in_place_or_not(
        (a, b) in (0..60_usize).prop_flat_map(|n| (values(n), values(n))),
        factors in [-4_000_000..4_000_000_i32, -4_000_000..4_000_000_i32],
        constant in -500_000_000..500_000_000_i32,
        (shift, zero_point, lo, hi) in (0..=31_u32, -128..=127_i32, -128..=127_i32, -128..=127_i32),
    ) {
        let layer = Add { factors, constant, shift, zero_point, min: lo.min(hi), max: lo.max(hi) };
        let expected: Vec<i8> = a.iter().zip(&b).map(|(&a, &b)| {
            let sum = i64::from(a) * i64::from(factors[0]) + i64::from(b) * i64::from(factors[1]) + i64::from(constant);
            (i64::from(zero_point) + sum.div_euclid(1 << shift)).clamp(layer.min.into(), layer.max.into()) as i8
        }).collect();
        let mut out = vec![99; a.len()];
        add(&layer, &a, &b, &mut out);
        prop_assert_eq!(&out, &expected);
        let (mut first, mut second) = (a.clone(), b.clone());
        add_in_place(&layer, &mut first, &b);
        add_in_place_second(&layer, &a, &mut second);
        prop_assert_eq!(&first, &expected);
        prop_assert_eq!(&second, &expected);
    }

    #[test]
    fn lookup_is_the_table_in_place_or_not(table in values(256), x in values(50)) {
        let table: &[i8; 256] = table.as_slice().try_into().expect("256 entries");
        let expected: Vec<i8> = x.iter().map(|&q| table[(i32::from(q) + 128) as usize]).collect();
        let found = both(&x, x.len(), |x, y| lookup(table, x, y), |x, y| lookup(table, x, y));
        prop_assert_eq!(&found[0], &expected);
        prop_assert_eq!(&found[1], &expected);
        let mut in_place = x.clone();
        lookup_in_place(table, &mut in_place);
        prop_assert_eq!(&in_place, &expected);
    }

    #[test]
    fn adapt_is_the_rounded_mean_in_i64(
        (grey, c, block, size, first, more, x) in
            (any::<bool>(), 1..=4_usize, 1..=5_usize, [1..=5_usize, 1..=5], [0..=3_usize, 0..=3], [0..=3_usize, 0..=3])
            .prop_flat_map(|(grey, c, block, size, first, more)| {
                let c = if grey { 3 } else { c };
                let [h, w] = [0, 1].map(|axis| first[axis] + block * size[axis] + more[axis]);
                (Just(grey), Just(c), Just(block), Just(size), Just(first), Just([h, w]), values(h * w * c))
            })
    ) {
        let input = Hwc { h: more[0], w: more[1], c };
        let output = Hwc { h: size[0], w: size[1], c: if grey { 1 } else { c } };
        let layer = Adapt { input, output, block, first, grey };
        let shares: &[i64] = if grey { &[38, 75, 15] } else { &[1] };
        let mut want = Vec::new();
        for [y, x0] in grid(size) {
            for channel in 0..output.c {
                let (mut sum, mut divisor) = (0_i64, 0_i64);
                for [dy, dx] in grid([block, block]) {
                    for (k, share) in shares.iter().enumerate() {
                        let at = [first[0] + y * block + dy, first[1] + x0 * block + dx];
                        let from = if grey { k } else { channel };
                        sum += share * (i64::from(x[(at[0] * input.w + at[1]) * c + from]) + 128);
                        divisor += share;
                    }
                }
                // Twice the mean and a half, rounded down, halved: half up without the kernel's formula.
                want.push(((2 * sum + divisor).div_euclid(2 * divisor) - 128) as i8);
            }
        }
        for got in both(&x, output.h * output.w * output.c, |x, out| adapt(&layer, x, out), |x, out| adapt(&layer, x, out)) {
            prop_assert_eq!(&got, &want);
        }
    }

    #[test]
    fn concat_puts_every_channel_in_its_place(positions in 1..12_usize, channels in vec(1..6_usize, 1..4)) {
        let total = channels.iter().sum::<usize>();
        let mut out = vec![0; positions * total];
        let mut offset = 0;
        let value = |p: usize, c: usize| (p * 31 + c * 7) as i8;
        for &n in &channels {
            let part: Vec<i8> = (0..positions).flat_map(|p| (0..n).map(move |c| value(p, offset + c))).collect();
            concat_part(&part, n, &mut out, total, offset);
            offset += n;
        }
        let expected: Vec<i8> = (0..positions).flat_map(|p| (0..total).map(move |c| value(p, c))).collect();
        prop_assert_eq!(out, expected);
    }

    #[test]
    fn argmax_is_the_first_of_the_largest(scores in values(0).boxed().prop_union(values(9).boxed())) {
        let best = scores.iter().max().copied();
        prop_assert_eq!(argmax(&scores), scores.iter().position(|&s| Some(s) == best).unwrap_or(0));
    }

    #[test]
    fn mulhi_rounds_half_up(a in any::<i32>(), m in any::<i32>()) {
        let expected = (i128::from(a) * i128::from(m) + (1 << 31)).div_euclid(1 << 32);
        prop_assert_eq!(i128::from(mulhi(a, m)), expected);
    }
}

/// Chance never finds a tie.
#[test]
fn mulhi_rounds_ties_up() {
    assert_eq!(mulhi(2, 1 << 30), 1);
    assert_eq!(mulhi(-2, 1 << 30), 0);
    assert_eq!(mulhi(-6, 1 << 30), -1);
    assert_eq!(mulhi(2, (1 << 30) - 1), 0);
    assert_eq!(mulhi(i32::MIN, i32::MAX), -(1 << 30) + 1);
}

/// Sizes that have nothing to do with each other.
fn stray<T>(x: &[T], dims: &[usize], q: &[i8], words: &[i32], out: &mut [i8])
where
    T: Element,
{
    let hwc = |i: usize| Hwc { h: dims[i], w: dims[i + 1], c: dims[i + 2] };
    let pair = |i: usize| [dims[i], dims[i + 1]];
    let (input, output) = (hwc(0), hwc(3));
    // Taps stay few: loops over absurd windows would be endless, not faulty.
    let kernel = [dims[6] % 5, dims[7] % 5];
    let window = Window { kernel, stride: pair(8), dilation: pair(10), pad: pair(12) };
    let requant =
        Requant { multipliers: words, shift: dims[0] as u32, zero_point: i32::MAX, min: i32::MIN, max: i32::MAX };
    let border = Bias::Border { rows: &[3, 200], cols: &[0, 255], col_classes: dims[1], table: words };
    for bias in [Bias::Channel(words), border] {
        for pad in [PadValue::Uniform(-128), PadValue::Channel(q)] {
            conv2d(&Conv2d { input, output, window, weights: q, bias, pad, requant }, x, out);
            depthwise(&Depthwise { input, output, window, weights: q, bias, pad, requant }, x, out);
        }
    }
    dense(&Dense { weights: q, bias: words, requant }, x, out);
    max_pool(&MaxPool { input, output, window }, x, out);
    avg_pool(&AvgPool { input, output, window, input_zero_point: i32::MIN, requant }, x, out);
    concat_part(q, dims[0], out, dims[1], dims[2]);
    let sum = Add {
        factors: [i32::MAX, i32::MIN],
        constant: i32::MAX,
        shift: u32::MAX,
        zero_point: i32::MAX,
        min: 5,
        max: 3,
    };
    add(&sum, q, q, out);
    add_in_place(&sum, out, q);
    add_in_place_second(&sum, q, out);
    lookup(&[1; 256], x, out);
    for grey in [false, true] {
        adapt(&Adapt { input, output, block: dims[6] % 5, first: pair(8), grey }, x, out);
    }
}

proptest! {
    #![proptest_config(config(600))]

    /// Overflow checks are off in this profile; `runtime_firmware` shows that none is linked when they are on.
    #[test]
    fn stray_arguments_do_not_panic(
        dims in vec(prop_oneof![6 => 0..6_usize, 1 => Just(usize::MAX), 1 => Just(usize::MAX / 2 + 1)], 14),
        (x, q) in (0..40_usize, 0..40_usize).prop_flat_map(|(a, b)| (values(a), values(b))),
        words in vec(any::<i32>(), 0..20),
        len in 0..40_usize,
    ) {
        let mut out = vec![0; len];
        stray(&x, &dims, &q, &words, &mut out);
        stray(&pixels(&x), &dims, &q, &words, &mut out);
    }
}
