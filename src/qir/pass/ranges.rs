//! The values that each channel can take, at any position and for any input.
//!
//! Intervals go through each layer as the kernels compute: sums in integers, then the one rounding, which never
//! falls as its argument grows, since multipliers are not negative. A filter of zeros, a multiplier under which no sum
//! reaches half a step and a clamp that all sums lie beyond all show as an interval of one value.

use fratc_runtime::requant::{Requant as Rounding, requantize};

use super::taps::{Layout, bias_range, pad_at, reaches, source};
use crate::qir::{Add, AvgPool, Conv, Dense, Gate, Grouped, Hwc, Layer, Op, Program, Requant};

/// An interval of stored values, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Smallest.
    pub lo: i8,
    /// Largest.
    pub hi: i8,
}

impl Range {
    /// Any value.
    pub const ANY: Self = Self { lo: i8::MIN, hi: i8::MAX };

    /// The value, if there is only one.
    pub fn constant(self) -> Option<i8> {
        (self.lo == self.hi).then_some(self.lo)
    }

    fn around(values: impl IntoIterator<Item = i8>) -> Self {
        let empty = Self { lo: i8::MAX, hi: i8::MIN };
        values.into_iter().fold(empty, |r, v| Self { lo: r.lo.min(v), hi: r.hi.max(v) })
    }

    /// Smallest and largest product with `weight`.
    fn times(self, weight: i64) -> (i64, i64) {
        let (a, b) = (i64::from(self.lo) * weight, i64::from(self.hi) * weight);
        (a.min(b), a.max(b))
    }
}

/// The range of every channel of every tensor, `[tensor][channel]`. `program` is verified.
pub fn ranges(program: &Program) -> Vec<Vec<Range>> {
    let mut all: Vec<Vec<Range>> = program.tensors.iter().map(|t| vec![Range::ANY; t.shape.c]).collect();
    for layer in &program.layers {
        all[layer.output.index()] = of_layer(program, layer, &all);
    }
    all
}

/// The ranges of `layer`'s output, given those of all tensors before it.
fn of_layer(program: &Program, layer: &Layer, all: &[Vec<Range>]) -> Vec<Range> {
    let input = &all[layer.inputs[0].index()];
    let (from, to) = (program.tensor(layer.inputs[0]).shape, program.tensor(layer.output).shape);
    match &layer.op {
        Op::Conv(_) | Op::Depthwise(_) | Op::Dense(_) | Op::Add(_) => {
            let clamp = clamp(&layer.op);
            let unclamped = unclamped(program, layer, all);
            unclamped.into_iter().map(|(lo, hi)| Range { lo: clamp(lo), hi: clamp(hi) }).collect()
        }
        Op::Grouped(Grouped { conv: Conv { requant, .. }, .. }) | Op::Gate(Gate { requant, .. }) => {
            vec![Range { lo: requant.min as i8, hi: requant.max as i8 }; to.c]
        }
        Op::Flatten => (0..to.c).map(|f| input[f / (from.h * from.w)]).collect(),
        Op::AvgPool(pool) => avg_pool(pool, input, from, to),
        Op::Adapt(_) => vec![Range::ANY; to.c],
        Op::MaxPool(_) => input.clone(),
        Op::Concat => layer.inputs.iter().flat_map(|id| all[id.index()].iter().copied()).collect(),
        Op::Lookup(table) => input
            .iter()
            .map(|r| Range::around((r.lo..=r.hi).map(|q| table[usize::from((i16::from(q) + 128) as u8)])))
            .collect(),
    }
}

/// The last step of a layer with bounds.
fn clamp(op: &Op) -> impl Fn(i64) -> i8 {
    let (min, max) = match op {
        Op::Conv(Conv { requant, .. })
        | Op::Depthwise(Conv { requant, .. })
        | Op::Grouped(Grouped { conv: Conv { requant, .. }, .. })
        | Op::Dense(Dense { requant, .. })
        | Op::Gate(Gate { requant, .. }) => (requant.min, requant.max),
        Op::AvgPool(pool) => (pool.requant.min, pool.requant.max),
        Op::Add(add) => (add.min, add.max),
        Op::MaxPool(_) | Op::Concat | Op::Flatten | Op::Lookup(_) | Op::Adapt(_) => (-128, 127),
    };
    move |value| value.max(i64::from(min)).min(i64::from(max)) as i8
}

/// What each channel of a convolution, dense layer or sum can be before its bounds; empty for other layers.
pub(super) fn unclamped(program: &Program, layer: &Layer, all: &[Vec<Range>]) -> Vec<(i64, i64)> {
    let input = &all[layer.inputs[0].index()];
    let (from, to) = (program.tensor(layer.inputs[0]).shape, program.tensor(layer.output).shape);
    match &layer.op {
        Op::Conv(conv) => of_conv(conv, Layout::new(conv, false, from, to), input, from, to),
        Op::Depthwise(conv) => of_conv(conv, Layout::new(conv, true, from, to), input, from, to),
        Op::Dense(dense) => {
            let sums = dense.bias.iter().zip(dense.weights.chunks_exact(from.len())).map(|(&bias, filter)| {
                let products = filter.iter().enumerate().map(|(f, &w)| input[f % from.c].times(i64::from(w)));
                add_up(i64::from(bias), i64::from(bias), products)
            });
            sums.enumerate().map(|(o, sum)| rounded(sum, dense.requant.multipliers[o], &dense.requant)).collect()
        }
        Op::Add(add) => {
            let other = &all[layer.inputs[1].index()];
            input.iter().zip(other).map(|(&a, &b)| of_add(add, a, b)).collect()
        }
        Op::Grouped(_)
        | Op::Gate(_)
        | Op::MaxPool(_)
        | Op::AvgPool(_)
        | Op::Concat
        | Op::Flatten
        | Op::Lookup(_)
        | Op::Adapt(_) => Vec::new(),
    }
}

fn of_conv(conv: &Conv, layout: Layout, input: &[Range], from: Hwc, to: Hwc) -> Vec<(i64, i64)> {
    let reaches = reaches(&conv.window, from, to);
    let channel = |o: usize| {
        let (lo, hi) = bias_range(&conv.bias, o, to.c);
        let products = reaches.iter().enumerate().flat_map(|(tap, reach)| {
            layout.reads(o).map(move |i| (tap, *reach, i)).filter_map(|(tap, reach, i)| {
                let weight = conv.weights[layout.at(o, tap, i)];
                let pad = pad_at(&conv.pad, i);
                let range = match reach {
                    _ if weight == 0 => return None,
                    super::taps::Reach { inside: false, .. } => Range { lo: pad, hi: pad },
                    super::taps::Reach { outside: false, .. } => input[i],
                    super::taps::Reach { .. } => Range::around([input[i].lo, input[i].hi, pad]),
                };
                Some(range.times(i64::from(weight)))
            })
        });
        rounded(add_up(lo, hi, products), conv.requant.multipliers[o], &conv.requant)
    };
    (0..to.c).map(channel).collect()
}

fn add_up(lo: i64, hi: i64, products: impl Iterator<Item = (i64, i64)>) -> (i64, i64) {
    products.fold((lo, hi), |(lo, hi), (a, b)| (lo + a, hi + b))
}

/// Sums to values before the bounds. The verifier's bound on sums makes the casts exact.
fn rounded((lo, hi): (i64, i64), multiplier: i32, requant: &Requant) -> (i64, i64) {
    let round = |sum: i64| {
        let scaled = i64::from(fratc_runtime::requant::mulhi((sum as i32) << requant.shift, multiplier));
        scaled + i64::from(requant.zero_point)
    };
    (round(lo), round(hi))
}

fn of_add(add: &Add, a: Range, b: Range) -> (i64, i64) {
    let (a, b) = (a.times(i64::from(add.factors[0])), b.times(i64::from(add.factors[1])));
    let value = |sum: i64| ((sum + i64::from(add.constant)) >> add.shift) + i64::from(add.zero_point);
    (value(a.0 + b.0), value(a.1 + b.1))
}

/// Windows of as many positions as occur: a mean of equal values need not be that value after rounding.
fn avg_pool(pool: &AvgPool, input: &[Range], from: Hwc, to: Hwc) -> Vec<Range> {
    let window = &pool.window;
    let counts = |axis: usize, size: usize, outputs: usize| {
        let inside =
            |o: usize| (0..window.kernel[axis]).filter(|&k| source(window, axis, o, k, size).is_some()).count();
        let mut counts: Vec<usize> = (0..outputs).map(inside).collect();
        counts.sort_unstable();
        counts.dedup();
        counts
    };
    let (rows, cols) = (counts(0, from.h, to.h), counts(1, from.w, to.w));
    let mut products: Vec<usize> = rows.iter().flat_map(|r| cols.iter().map(move |c| r * c)).collect();
    products.sort_unstable();
    products.dedup();
    let requant = &pool.requant;
    let rounding = Rounding {
        multipliers: &requant.multipliers,
        shift: requant.shift,
        zero_point: requant.zero_point,
        min: requant.min,
        max: requant.max,
    };
    let mean = |q: i8, count: usize| {
        let multiplier = match requant.multipliers[..] {
            [one] => one,
            ref each => each.get(count.wrapping_sub(1)).copied().unwrap_or(0),
        };
        requantize((i32::from(q) - pool.input_zero_point) * count as i32, multiplier, &rounding)
    };
    let channel = |r: &Range| Range::around(products.iter().flat_map(|&n| [mean(r.lo, n), mean(r.hi, n)]));
    input.iter().map(channel).collect()
}
