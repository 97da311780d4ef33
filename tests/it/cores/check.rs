//! Random convolutions, dense and depthwise, through the kernels for one core and the portable one: the same text runs on the host and as
//! firmware.
//!
//! `super::kernels` is the runtime, or its files as an emitted crate has them.

use super::kernels::{bias, conv, depthwise, mve, pad, requant, scalar, shape, taps};

/// Bytes of the largest tensor.
const LEN: usize = 2048;
/// Largest number of weights of a layer, padding included.
const WEIGHTS: usize = 8192;

/// Memory whose start lies on a word, as the planner's does.
#[repr(align(4))]
struct Aligned<const N: usize>([i8; N]);

/// A 32-bit linear congruential generator; the high bits are used.
pub struct Random(pub u32);

impl Random {
    /// A value in `lo..=hi`.
    fn int(&mut self, lo: i32, hi: i32) -> i32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        lo + ((u64::from(self.0 ^ (self.0 >> 16)) * (u64::from((hi - lo) as u32) + 1)) >> 32) as i32
    }

    fn size(&mut self, lo: usize, hi: usize) -> usize {
        self.int(lo as i32, hi as i32) as usize
    }

    /// Values of the whole range, its ends more often than the rest.
    fn fill(&mut self, values: &mut [i8]) {
        for value in values {
            *value = match self.int(0, 19) {
                0 => -128,
                1 => 127,
                _ => self.int(-128, 127) as i8,
            };
        }
    }
}

/// A kernel with its own layout of weights.
#[derive(Clone, Copy)]
enum Core {
    Mve,
    V7m,
    V6m,
}

impl Core {
    /// Length of a filter of `values`, filters of a group, and weights of one filter that lie together.
    fn layout(self, values: usize) -> [usize; 3] {
        match self {
            Self::Mve => [mve::conv::padded(values), mve::dot::FILTERS, mve::dot::VECTOR],
            Self::V7m => [scalar::conv::padded(values), scalar::v7m::FILTERS, 1],
            Self::V6m => [scalar::conv::padded(values), 1, 1],
        }
    }

    /// Packs filters of `values` weights; the number of words.
    fn pack(self, weights: &[i8], values: usize, words: &mut [i32]) -> usize {
        let [padded, filters, run] = self.layout(values);
        words.fill(0);
        let count = weights.len() / values;
        for (i, &weight) in weights.iter().enumerate() {
            let (o, v) = (i / values, i % values);
            let at = (o / filters * padded + v / run * run) * filters + o % filters * run + v % run;
            words[at / 4] |= i32::from(weight as u8) << (8 * (at % 4));
        }
        match self {
            Self::Mve => mve::conv::filter_words(count, values),
            Self::V7m => scalar::v7m::filter_words(count, values),
            Self::V6m => scalar::v6m::filter_words(count, values),
        }
    }
}

/// One dimension: input size, taps, step, distance, padding and output size.
fn axis(random: &mut Random) -> [usize; 6] {
    let kernel = random.size(1, 4);
    let stride = random.size(1, 3);
    let dilation = random.size(1, 2);
    let extent = (kernel - 1) * dilation + 1;
    let pad = random.size(0, extent - 1);
    let size = random.size(1, 8).max(extent.saturating_sub(pad));
    // Bottom padding as at the top, or none.
    let padded = size + pad + if random.int(0, 1) == 0 { pad } else { 0 };
    let output = if padded < extent { 1 } else { (padded - extent) / stride + 1 };
    [size, kernel, stride, dilation, pad, output]
}

/// One convolution of a random shape; whether both kernels agree.
#[inline(never)]
fn case(random: &mut Random, core: Core) -> bool {
    let (vertical, horizontal) = (axis(random), axis(random));
    let channels = if random.int(0, 2) == 0 { 8 * random.size(1, 2) } else { random.size(1, 11) };
    let filters = random.size(1, 11);
    let input = shape::Hwc { h: vertical[0], w: horizontal[0], c: channels };
    let output = shape::Hwc { h: vertical[5], w: horizontal[5], c: filters };
    let pair = |i: usize| [vertical[i], horizontal[i]];
    let window = shape::Window { kernel: pair(1), stride: pair(2), dilation: pair(3), pad: pair(4) };
    let values = vertical[1] * horizontal[1] * channels;
    let mut weights = [0; WEIGHTS];
    let weights = &mut weights[..values * filters];
    random.fill(weights);
    let mut words = [0; WEIGHTS / 4];
    let count = core.pack(weights, values, &mut words);
    let words = &words[..count];
    let mut biases = [0; 11];
    for bias in &mut biases {
        *bias = random.int(-30_000, 30_000);
    }
    let biases = &biases[..filters];
    // A sum of n products is about 5000 · √n: outputs spread over the whole of i8, or leave it.
    let mut root = 1;
    while root * root < values as i32 {
        root += 1;
    }
    let (shift, unit) = (random.int(0, 6).saturating_sub(4).max(0) as u32, (1 << 20) / root * 80);
    let mut multipliers = [0; 11];
    for multiplier in &mut multipliers {
        *multiplier = random.int(unit / 2, unit) >> shift;
    }
    let zero_point = random.int(-128, 127);
    let (min, max) = match random.int(0, 3) {
        0 => (random.int(-128, 0), random.int(1, 127)),
        1 => (zero_point, 127),
        _ => (-128, 127),
    };
    let requant = requant::Requant { multipliers: &multipliers[..filters], shift, zero_point, min, max };
    let padding = random.int(-128, 127) as i8;
    let mut x = [0; LEN];
    random.fill(&mut x);
    let x = &x[..input.h * input.w * input.c];
    // The outputs may be the first of more channels.
    let positions = output.h * output.w;
    let gap = [0, 1, 4, 7][random.size(0, 3)];
    let pitch = if positions * (filters + gap) <= LEN { filters + gap } else { filters };
    let len = (positions * pitch).saturating_sub(pitch - filters);
    let (mut expected, mut found) = ([0; LEN], [99; LEN]);
    let (expected, found) = (&mut expected[..positions * filters], &mut found[..len]);
    let portable = conv::Conv2d {
        input,
        output,
        window,
        weights,
        bias: bias::Bias::Channel(biases),
        pad: pad::PadValue::Uniform(padding),
        requant,
    };
    let mut scratch = Aligned([77; 4 * LEN]);
    let output = shape::Hwc { c: pitch, ..output };
    let vectors = mve::conv::Conv { input, output, window, weights: words, bias: biases, pad: padding, requant };
    let words = scalar::conv::Conv { input, output, window, weights: words, bias: biases, pad: padding, requant };
    let scratch = match core {
        Core::Mve => &mut scratch.0[..mve::conv::scratch_bytes(values)],
        Core::V7m | Core::V6m => &mut scratch.0[..scalar::conv::scratch_bytes(values)],
    };
    if random.int(0, 2) == 0 {
        let mut pixels = [0; LEN];
        pixels.iter_mut().zip(x).for_each(|(pixel, &x)| *pixel = x as u8);
        let pixels = &pixels[..x.len()];
        conv::conv2d(&portable, pixels, expected);
        match core {
            Core::Mve => mve::conv::conv(&vectors, pixels, found, scratch),
            Core::V7m => scalar::v7m::conv(&words, pixels, found, scratch),
            Core::V6m => scalar::v6m::conv(&words, pixels, found, scratch),
        }
    } else {
        conv::conv2d(&portable, x, expected);
        match core {
            Core::Mve => mve::conv::conv(&vectors, x, found, scratch),
            Core::V7m => scalar::v7m::conv(&words, x, found, scratch),
            Core::V6m => scalar::v6m::conv(&words, x, found, scratch),
        }
    }
    let mut outputs = expected.chunks(filters);
    let alike = found.chunks(pitch).all(|pixel| {
        let (own, others) = pixel.split_at(filters.min(pixel.len()));
        outputs.next() == Some(own) && others.iter().all(|x| *x == 99)
    });
    alike && outputs.next().is_none()
}

/// One depthwise convolution of a random shape; whether both kernels agree.
#[inline(never)]
fn depthwise_case(random: &mut Random, core: Core) -> bool {
    let (vertical, horizontal) = (axis(random), axis(random));
    let least = if let Core::Mve = core { mve::depthwise::CHANNELS } else { scalar::depthwise::CHANNELS };
    let channels = random.size(least, 21);
    let input = shape::Hwc { h: vertical[0], w: horizontal[0], c: channels };
    let output = shape::Hwc { h: vertical[5], w: horizontal[5], c: channels };
    let pair = |i: usize| [vertical[i], horizontal[i]];
    let window = shape::Window { kernel: pair(1), stride: pair(2), dilation: pair(3), pad: pair(4) };
    let taps = vertical[1] * horizontal[1];
    let mut weights = [0; WEIGHTS];
    let weights = &mut weights[..taps * channels];
    random.fill(weights);
    if let Core::Mve = core {
        for weight in &mut *weights {
            *weight = (*weight).max(mve::depthwise::LEAST);
        }
    }
    let (mut biases, mut multipliers) = ([0; 21], [0; 21]);
    let shift = random.int(0, 6).saturating_sub(4).max(0) as u32;
    for (bias, multiplier) in biases.iter_mut().zip(&mut multipliers) {
        *bias = random.int(-30_000, 30_000);
        *multiplier = random.int(1 << 23, 1 << 25) >> shift;
    }
    let zero_point = random.int(-128, 127);
    let (min, max) = if random.int(0, 1) == 0 { (-128, 127) } else { (zero_point.min(100), 120) };
    let requant = requant::Requant { multipliers: &multipliers[..channels], shift, zero_point, min, max };
    let (padding, biases) = (random.int(-128, 127) as i8, &biases[..channels]);
    let mut x = [0; 2 * LEN];
    random.fill(&mut x);
    // A value at an odd address now and then.
    let from = random.size(0, 3);
    let x = &x[from..from + input.h * input.w * input.c];
    let len = output.h * output.w * output.c;
    let (mut expected, mut found) = ([0; 2 * LEN], [99; 2 * LEN]);
    let (expected, found) = (&mut expected[..len], &mut found[..len]);
    let (bias, pad) = (bias::Bias::Channel(biases), pad::PadValue::Uniform(padding));
    let portable = depthwise::Depthwise { input, output, window, weights, bias, pad, requant };
    depthwise::depthwise(&portable, x, expected);
    let layer = taps::Depthwise { input, output, window, weights, bias: biases, pad: padding, requant };
    let mut scratch = [77; 32];
    let scratch = &mut scratch[..taps::scratch_bytes(channels)];
    match core {
        Core::Mve => mve::depthwise::depthwise(&layer, x, found, scratch),
        Core::V7m | Core::V6m => scalar::depthwise::depthwise(&layer, x, found, scratch),
    }
    expected == found
}

/// Every kernel on `rounds` layers; the kernel and number of the first that differs.
pub fn run(seed: u32, rounds: u32) -> Result<(), (&'static str, u32)> {
    for (name, core) in [("mve", Core::Mve), ("v7m", Core::V7m), ("v6m", Core::V6m)] {
        let mut random = Random(seed);
        for round in 0..rounds {
            if !case(&mut random, core) || !depthwise_case(&mut random, core) {
                return Err((name, round));
            }
        }
    }
    Ok(())
}
