//! Random layers through the DSP kernel and the portable one: the same text runs on the host and as firmware.
//!
//! `super::kernels` is the runtime, or its files as an emitted crate has them.

use super::kernels::{add, avg_pool, bias, conv, dense, depthwise, dsp, max_pool, pad, requant, shape};

/// Bytes of the largest tensor.
const LEN: usize = 6144;
/// Largest number of weights.
const WEIGHTS: usize = 20_000;
/// Bytes of scratch memory.
const SCRATCH: usize = 16_384;

/// A 32-bit linear congruential generator; the high bits are used.
pub struct Random(pub u32);

impl Random {
    fn word(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0 ^ (self.0 >> 16)
    }

    /// A value in `lo..=hi`.
    fn int(&mut self, lo: i32, hi: i32) -> i32 {
        let span = u64::from((hi - lo) as u32) + 1;
        lo + ((u64::from(self.word()) * span) >> 32) as i32
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

    fn requant<'a>(&mut self, multipliers: &'a mut [i32], values: usize) -> requant::Requant<'a> {
        let shift = if self.int(0, 3) == 0 { self.int(1, 2) as u32 } else { 0 };
        // A sum of n products is about 5000 · √n: outputs spread over the whole of i8, or leave it.
        let mut root = 1;
        while root * root < values as i32 {
            root += 1;
        }
        let unit = (1 << 20) / root * 80;
        for multiplier in &mut *multipliers {
            *multiplier = self.int(unit / 2, unit) >> shift;
        }
        let zero_point = self.int(-128, 127);
        let (min, max) = match self.int(0, 3) {
            0 => (self.int(-128, 0), self.int(1, 127)),
            1 => (zero_point, 127),
            _ => (-128, 127),
        };
        requant::Requant { multipliers, shift, zero_point, min, max }
    }
}

/// The first value of `buffer` that lies on a word, and what follows.
fn aligned(buffer: &mut [i8]) -> &mut [i8] {
    let skip = buffer.as_ptr().align_offset(4);
    buffer.get_mut(skip..).unwrap_or(&mut [])
}

/// Packs filters of `values` weights into words.
fn pack(weights: &[i8], values: usize, words: &mut [i32]) -> usize {
    let mut count = 0;
    for filter in weights.chunks(values) {
        for four in filter.chunks(4) {
            let mut word = 0;
            for (i, value) in four.iter().enumerate() {
                word |= i32::from(*value as u8) << (8 * i);
            }
            words[count] = word;
            count += 1;
        }
    }
    count
}

/// One dimension: input size, taps, step, distance, padding and output size.
fn axis(random: &mut Random) -> [usize; 6] {
    let kernel = random.size(1, 4);
    let stride = random.size(1, 3);
    let dilation = random.size(1, 2);
    let extent = (kernel - 1) * dilation + 1;
    let pad = random.size(0, extent - 1);
    let size = random.size(1, 9).max(extent.saturating_sub(pad));
    // Bottom padding as at the top, or none.
    let padded = size + pad + if random.int(0, 1) == 0 { pad } else { 0 };
    let output = if padded < extent { 1 } else { (padded - extent) / stride + 1 };
    [size, kernel, stride, dilation, pad, output]
}

/// Packs filters of `values` weights by pairs: bytes in words, or lanes.
fn pack_pairs(weights: &[i8], values: usize, wide: bool, words: &mut [i32]) -> usize {
    let filters = weights.len() / values;
    let mut count = 0;
    for pair in 0..filters.div_ceil(2) {
        let first = (2 * pair).min(filters - 2);
        for four in 0..values.div_ceil(4) {
            let weight = |filter: usize, i: usize| {
                let at = 4 * four + i;
                if at < values { weights[filter * values + at] } else { 0 }
            };
            let lanes = |low: i8, high: i8| i32::from(low as u16) | (i32::from(high) << 16);
            for half in 0..2 {
                for filter in first..first + 2 {
                    let all = [0, 1, 2, 3].map(|i| weight(filter, i) as u8);
                    if wide || half == 0 {
                        let pair = lanes(weight(filter, half), weight(filter, half + 2));
                        words[count] = if wide { pair } else { i32::from_le_bytes(all) };
                        count += 1;
                    }
                }
            }
        }
    }
    count
}

/// The shape of a tensor in which `output` takes the first channels of each position, and that many or a few more there are;
/// with the bytes from its first output to its last.
fn within(random: &mut Random, output: shape::Hwc) -> (shape::Hwc, usize) {
    let gap = [0, 1, 4, 7][random.size(0, 3)];
    let positions = output.h * output.w;
    let c = if positions * (output.c + gap) <= LEN { output.c + gap } else { output.c };
    let len = (positions * c).saturating_sub(c - output.c);
    (shape::Hwc { c, ..output }, len)
}

/// Whether `found` has the outputs of `expected`, `pitch` bytes from position to position, and nothing new beside.
fn same(expected: &[i8], channels: usize, found: &[i8], pitch: usize) -> bool {
    let mut positions = expected.chunks(channels);
    let alike = found.chunks(pitch).all(|pixel| {
        let (outputs, others) = pixel.split_at(channels.min(pixel.len()));
        positions.next() == Some(outputs) && others.iter().all(|x| *x == 99)
    });
    alike && positions.next().is_none()
}

/// Three times as much is 2 where pointers have 32 bits: outputs that far apart are none of a slice's.
const TOO_FAR: usize = 0x5555_5556;

/// One convolution of a random shape; whether both kernels agree.
#[inline(never)]
#[expect(clippy::large_stack_arrays, reason = "this also runs as firmware, which has no heap")]
pub fn conv_case(random: &mut Random) -> bool {
    let (mut vertical, mut horizontal) = (axis(random), axis(random));
    if random.int(0, 7) == 0 {
        // Every patch is one position.
        let (height, width) = (random.size(1, 9), random.size(1, 9));
        (vertical, horizontal) = ([height, 1, 1, 1, 0, height], [width, 1, 1, 1, 0, width]);
    }
    let by_fours = random.int(0, 1) == 0;
    let channels = if by_fours { 4 * random.size(1, 6) } else { random.size(1, 11) };
    let alike = by_fours && channels <= 12 && random.int(0, 1) == 0;
    let filters = if alike { channels } else { random.size(2, 12) };
    let input = shape::Hwc { h: vertical[0], w: horizontal[0], c: channels };
    let output = shape::Hwc { h: vertical[5], w: horizontal[5], c: filters };
    let pair = |i: usize| [vertical[i], horizontal[i]];
    let window = shape::Window { kernel: pair(1), stride: pair(2), dilation: pair(3), pad: pair(4) };
    let values = vertical[1] * horizontal[1] * channels;
    let mut weights = [0; WEIGHTS];
    let weights = &mut weights[..values * filters];
    random.fill(weights);
    let wide = random.int(0, 1) == 0;
    let mut words = [0; WEIGHTS];
    let count = pack_pairs(weights, values, wide, &mut words);
    let form = match (wide, random.int(0, 1)) {
        (true, 0) => dsp::dot::LANES,
        (true, _) => dsp::dot::LANES_AND_ONE,
        (false, _) => dsp::dot::BYTES,
    };
    let mut biases = [0; 48];
    for bias in &mut biases {
        *bias = random.int(-30_000, 30_000);
    }
    let (mut rows, mut cols) = ([0; 24], [0; 24]);
    for class in rows.iter_mut().chain(&mut cols) {
        *class = random.int(0, 1) as u8;
    }
    let bias = if random.int(0, 1) == 0 {
        bias::Bias::Channel(&biases[..filters])
    } else {
        bias::Bias::Border { rows: &rows, cols: &cols, col_classes: 2, table: &biases[..4 * filters] }
    };
    let mut multipliers = [0; 12];
    let requant = random.requant(&mut multipliers[..filters], values);
    let mut paddings = [0; 24];
    random.fill(&mut paddings);
    let pad = if random.int(0, 1) == 0 {
        pad::PadValue::Uniform(paddings[0])
    } else {
        pad::PadValue::Channel(&paddings[..channels])
    };
    let mut x = [0; LEN];
    random.fill(&mut x);
    let x = &x[..input.h * input.w * input.c];
    let (pitched, len) = within(random, output);
    let pitch = pitched.c;
    let (mut expected, mut found) = ([0; LEN], [99; LEN]);
    let (expected, found) = (&mut expected[..output.h * output.w * filters], &mut found[..len]);
    let mut scratch = [77; SCRATCH];
    let need = dsp::conv::scratch_bytes(input, output, &window);
    let Some(scratch) = aligned(&mut scratch).get_mut(..need) else { return false };
    let portable = conv::Conv2d { input, output, window, weights, bias, pad, requant };
    let weights = &words[..count];
    let fast = dsp::conv::Conv { input, output: pitched, window, weights, form, bias, pad, requant };
    let cut = random.size(0, output.h);
    if random.int(0, 2) == 0 {
        let mut pixels = [0; LEN];
        for (pixel, x) in pixels.iter_mut().zip(x) {
            *pixel = *x as u8;
        }
        let pixels = &pixels[..x.len()];
        conv::conv2d(&portable, pixels, expected);
        let (top, bottom) = found.split_at_mut((cut * output.w * pitch).min(len));
        dsp::conv::band(&fast, cut, pixels, bottom, scratch);
        dsp::conv::band(&fast, 0, pixels, top, scratch);
    } else {
        conv::conv2d(&portable, x, expected);
        dsp::conv::conv(&fast, x, found, scratch);
        let in_place = pitch == filters && dsp::conv::takes_in_place(input, output, &window);
        if in_place && matches!(bias, bias::Bias::Channel(_)) {
            let apart = expected == found;
            found.copy_from_slice(x);
            dsp::conv::conv_in_place(&fast, found, scratch);
            return apart && expected == found;
        }
    }
    same(expected, filters, found, pitch)
}

/// One convolution of a random shape that the kernel for rows takes; whether both kernels agree.
#[inline(never)]
pub fn rows_case(random: &mut Random) -> bool {
    let (mut vertical, mut horizontal) = (axis(random), axis(random));
    let channels = 4 * random.size(1, 5);
    while vertical[3] != 1 || horizontal[1] != 3 || horizontal[2] != 1 || horizontal[3] != 1 {
        (vertical, horizontal) = (axis(random), axis(random));
    }
    // Rows of more than one block.
    if random.int(0, 2) == 0 {
        horizontal[0] += 9;
        horizontal[5] += 9;
    }
    let filters = random.size(1, 8);
    let input = shape::Hwc { h: vertical[0], w: horizontal[0], c: channels };
    let output = shape::Hwc { h: vertical[5], w: horizontal[5], c: filters };
    let pair = |i: usize| [vertical[i], horizontal[i]];
    let window = shape::Window { kernel: pair(1), stride: pair(2), dilation: pair(3), pad: pair(4) };
    let rows = vertical[1];
    let values = rows * 3 * channels;
    let mut weights = [0; 2048];
    let weights = &mut weights[..values * filters];
    random.fill(weights);
    let mut words = [0; 512];
    let mut count = 0;
    for row in weights.chunks(3 * channels) {
        for four in 0..channels / 4 {
            for tap in 0..3 {
                let start = tap * channels + 4 * four;
                count += pack(&row[start..start + 4], 4, &mut words[count..]);
            }
        }
    }
    let mut biases = [0; 8];
    for bias in &mut biases {
        *bias = random.int(-30_000, 30_000);
    }
    let biases = &biases[..filters];
    let mut multipliers = [0; 8];
    let requant = random.requant(&mut multipliers[..filters], values);
    let padding = random.int(-128, 127) as i8;
    let mut x = [0; LEN];
    random.fill(&mut x);
    let x = &x[..input.h * input.w * input.c];
    let (pitched, len) = within(random, output);
    let pitch = pitched.c;
    let (mut expected, mut found) = ([0; LEN], [99; LEN]);
    let (expected, found) = (&mut expected[..output.h * output.w * filters], &mut found[..len]);
    let mut scratch = [77; SCRATCH];
    let need = dsp::rows::scratch_bytes(channels, rows);
    let Some(scratch) = aligned(&mut scratch).get_mut(..need) else { return false };
    let pad = pad::PadValue::Uniform(padding);
    let bias = bias::Bias::Channel(biases);
    conv::conv2d(&conv::Conv2d { input, output, window, weights, bias, pad, requant }, x, expected);
    let words = &words[..count];
    let fast = dsp::rows::Rows { input, output: pitched, window, weights: words, bias: biases, pad: padding, requant };
    let cut = random.size(0, output.h);
    let (top, bottom) = found.split_at_mut((cut * output.w * pitch).min(len));
    dsp::rows::band(&fast, cut, x, bottom, scratch);
    dsp::rows::band(&fast, 0, x, top, scratch);
    let alike = same(expected, filters, found, pitch) && dsp::rows::takes(channels, &window);
    found.fill(99);
    let far = shape::Hwc { c: TOO_FAR, ..output };
    dsp::rows::conv(&dsp::rows::Rows { output: far, ..fast }, x, found, scratch);
    alike && found.iter().all(|x| *x == 99)
}

/// The weights of Winograd's form from `[O][3][3][I]`, and the starts of its sums.
fn winograd_pack(weights: &[i8], biases: &[i32], channels: usize, words: &mut [i32], starts: &mut [i32]) -> usize {
    let filters = biases.len();
    let u = |filter: usize, channel: usize, row: usize, column: usize| {
        let g = |y: usize, x: usize| i32::from(weights[((filter * 3 + y) * 3 + x) * channels + channel]);
        let along = |y: usize| match column {
            0 => 2 * g(y, 0),
            1 => g(y, 0) + g(y, 1) + g(y, 2),
            2 => g(y, 0) - g(y, 1) + g(y, 2),
            _ => 2 * g(y, 2),
        };
        match row {
            0 => 2 * along(0),
            1 => along(0) + along(1) + along(2),
            2 => along(0) - along(1) + along(2),
            _ => 2 * along(2),
        }
    };
    let mut count = 0;
    for pair in 0..filters.div_ceil(2) {
        let first = (2 * pair).min(filters - 2);
        for place in 0..16 {
            for step in 0..channels / 2 {
                for filter in first..first + 2 {
                    let channel = step / 2 * 4 + step % 2;
                    let (low, high) =
                        (u(filter, channel, place % 4, place / 4), u(filter, channel + 2, place % 4, place / 4));
                    words[count] = (low & 0xffff) | (high << 16);
                    count += 1;
                }
            }
        }
    }
    for (filter, bias) in biases.iter().enumerate() {
        let sum = |row: usize| (0..channels).map(|channel| u(filter, channel, row, 1)).sum::<i32>();
        starts[2 * filter] = 4 * bias + 2 * (sum(0) + sum(2));
        starts[2 * filter + 1] = 4 * bias - 2 * (sum(2) + sum(3));
    }
    count
}

/// One 3×3 convolution of a random shape in Winograd's form; whether both kernels agree.
#[inline(never)]
#[expect(clippy::large_stack_arrays, reason = "this also runs as firmware, which has no heap")]
pub fn winograd_case(random: &mut Random) -> bool {
    let channels = 4 * random.size(1, 6);
    let filters = random.size(2, 7);
    let mut axis = || {
        let (before, after) = (random.size(0, 3), random.size(0, 3));
        let output = random.size(1, 11);
        let size = (output + 2).saturating_sub(before + after);
        if size == 0 { [output + 2, 0, output] } else { [size, before, output] }
    };
    let (vertical, horizontal) = (axis(), axis());
    let input = shape::Hwc { h: vertical[0], w: horizontal[0], c: channels };
    let output = shape::Hwc { h: vertical[2], w: horizontal[2], c: filters };
    let window = shape::Window { kernel: [3; 2], stride: [1; 2], dilation: [1; 2], pad: [vertical[1], horizontal[1]] };
    let values = 9 * channels;
    let mut weights = [0; WEIGHTS];
    let weights = &mut weights[..values * filters];
    random.fill(weights);
    for weight in &mut *weights {
        *weight = (*weight).max(-127);
    }
    let mut biases = [0; 7];
    for bias in &mut biases {
        *bias = random.int(-30_000, 30_000);
    }
    let biases = &biases[..filters];
    let (mut words, mut starts) = ([0; WEIGHTS / 4], [0; 14]);
    let count = winograd_pack(weights, biases, channels, &mut words, &mut starts);
    let mut multipliers = [0; 7];
    let requant = random.requant(&mut multipliers[..filters], values);
    let padding = random.int(-128, 127) as i8;
    let mut x = [0; LEN];
    random.fill(&mut x);
    // Where the planner puts tensors.
    let x = &aligned(&mut x)[..input.h * input.w * input.c];
    let (pitched, len) = within(random, output);
    let pitch = pitched.c;
    let (mut expected, mut found) = ([0; LEN], [99; LEN]);
    let (expected, found) = (&mut expected[..output.h * output.w * filters], &mut found[..len]);
    let mut scratch = [77; SCRATCH];
    let need = dsp::winograd::scratch_bytes(channels);
    let Some(scratch) = aligned(&mut scratch).get_mut(..need) else { return false };
    let pad = pad::PadValue::Uniform(padding);
    let bias = bias::Bias::Channel(biases);
    conv::conv2d(&conv::Conv2d { input, output, window, weights, bias, pad, requant }, x, expected);
    let (weights, bias) = (&words[..count], &starts[..2 * filters]);
    let fast = dsp::winograd::Winograd { input, output: pitched, window, weights, bias, pad: padding, requant };
    let cut = random.size(0, output.h);
    let (top, bottom) = found.split_at_mut((cut * output.w * pitch).min(len));
    dsp::winograd::band(&fast, cut, x, bottom, scratch);
    dsp::winograd::band(&fast, 0, x, top, scratch);
    let alike = same(expected, filters, found, pitch) && dsp::winograd::takes(channels, filters, &window);
    found.fill(99);
    let far = shape::Hwc { c: TOO_FAR, ..output };
    dsp::winograd::conv(&dsp::winograd::Winograd { output: far, ..fast }, x, found, scratch);
    alike && found.iter().all(|x| *x == 99)
}

/// One depthwise convolution of a random shape that the kernel takes; whether both kernels agree.
#[inline(never)]
pub fn depthwise_case(random: &mut Random) -> bool {
    let (mut vertical, mut horizontal) = (axis(random), axis(random));
    while vertical[1] * horizontal[1] % dsp::depthwise::TAPS != 0 {
        (vertical, horizontal) = (axis(random), axis(random));
    }
    let channels = 4 * random.size(1, 8);
    let input = shape::Hwc { h: vertical[0], w: horizontal[0], c: channels };
    let output = shape::Hwc { h: vertical[5], w: horizontal[5], c: channels };
    let pair = |i: usize| [vertical[i], horizontal[i]];
    let window = shape::Window { kernel: pair(1), stride: pair(2), dilation: pair(3), pad: pair(4) };
    let taps = vertical[1] * horizontal[1];
    let mut weights = [0; 512];
    let weights = &mut weights[..taps * channels];
    random.fill(weights);
    let mut words = [0; 256];
    for four in 0..channels / 4 {
        for tap in 0..taps {
            let weight = |i: usize| weights[tap * channels + 4 * four + i];
            let lanes = |low: i8, high: i8| i32::from(low as u16) | (i32::from(high) << 16);
            words[2 * (four * taps + tap)] = lanes(weight(0), weight(2));
            words[2 * (four * taps + tap) + 1] = lanes(weight(1), weight(3));
        }
    }
    let mut biases = [0; 32];
    for bias in &mut biases {
        *bias = random.int(-30_000, 30_000);
    }
    let biases = &biases[..channels];
    let mut multipliers = [0; 32];
    let requant = random.requant(&mut multipliers[..channels], taps);
    let padding = random.int(-128, 127) as i8;
    let mut x = [0; LEN];
    random.fill(&mut x);
    // Where the planner puts tensors.
    let x = &aligned(&mut x)[..input.h * input.w * input.c];
    let len = output.h * output.w * output.c;
    let (mut expected, mut found) = ([0; LEN], [99; LEN]);
    let (expected, found) = (&mut expected[..len], &mut found[..len]);
    let mut scratch = [77; 256];
    let need = dsp::depthwise::scratch_bytes(channels, taps);
    let Some(scratch) = aligned(&mut scratch).get_mut(..need) else { return false };
    let pad = pad::PadValue::Uniform(padding);
    let bias = bias::Bias::Channel(biases);
    depthwise::depthwise(&depthwise::Depthwise { input, output, window, weights, bias, pad, requant }, x, expected);
    let words = &words[..channels / 2 * taps];
    let fast = dsp::depthwise::Depthwise { input, output, window, weights: words, bias: biases, pad: padding, requant };
    let cut = random.size(0, output.h);
    let (top, bottom) = found.split_at_mut(cut * output.w * output.c);
    dsp::depthwise::band(&fast, cut, x, bottom, scratch);
    dsp::depthwise::band(&fast, 0, x, top, scratch);
    expected == found
}

/// One depthwise 3×3 convolution of a random shape along lines; whether both kernels agree.
#[inline(never)]
pub fn lines_case(random: &mut Random) -> bool {
    let columns = random.int(0, 1) == 0;
    let (mut vertical, mut horizontal) = (axis(random), axis(random));
    let along = |vertical: &[usize; 6], horizontal: &[usize; 6]| if columns { vertical[2] } else { horizontal[2] };
    while [&vertical, &horizontal].iter().any(|axis| axis[1] != 3 || axis[3] != 1) || along(&vertical, &horizontal) > 2
    {
        (vertical, horizontal) = (axis(random), axis(random));
    }
    let channels = 4 * random.size(1, 5);
    let input = shape::Hwc { h: vertical[0], w: horizontal[0], c: channels };
    let output = shape::Hwc { h: vertical[5], w: horizontal[5], c: channels };
    let pair = |i: usize| [vertical[i], horizontal[i]];
    let window = shape::Window { kernel: pair(1), stride: pair(2), dilation: pair(3), pad: pair(4) };
    let mut weights = [0; 9 * 20];
    let weights = &mut weights[..9 * channels];
    random.fill(weights);
    let mut words = [0; 3 * 20];
    for channel in 0..channels {
        for line in 0..3 {
            let tap = |t: usize| weights[if columns { 3 * t + line } else { 3 * line + t } * channels + channel];
            words[3 * channel + line] = i32::from_le_bytes([tap(0), tap(1), tap(1), tap(2)].map(|tap| tap as u8));
        }
    }
    let mut biases = [0; 20];
    for bias in &mut biases {
        *bias = random.int(-30_000, 30_000);
    }
    let biases = &biases[..channels];
    let mut multipliers = [0; 20];
    let requant = random.requant(&mut multipliers[..channels], 9);
    let requant = requant::Requant { shift: 0, min: -128, max: 127, ..requant };
    let padding = random.int(-128, 127) as i8;
    let mut x = [0; LEN];
    random.fill(&mut x);
    // Where the planner puts tensors.
    let x = &aligned(&mut x)[..input.h * input.w * input.c];
    let len = output.h * output.w * output.c;
    let (mut expected, mut found) = ([0; LEN], [99; LEN]);
    let (expected, found) = (&mut expected[..len], &mut found[..len]);
    let mut scratch = [77; 4096];
    let need = dsp::lines::scratch_bytes(output, &window, columns);
    let Some(scratch) = aligned(&mut scratch).get_mut(..need) else { return false };
    let pad = pad::PadValue::Uniform(padding);
    let bias = bias::Bias::Channel(biases);
    depthwise::depthwise(&depthwise::Depthwise { input, output, window, weights, bias, pad, requant }, x, expected);
    let words = &words[..3 * channels];
    let fast =
        dsp::lines::Lines { input, output, window, columns, weights: words, bias: biases, pad: padding, requant };
    let cut = random.size(0, output.h);
    let (top, bottom) = found.split_at_mut(cut * output.w * output.c);
    dsp::lines::band(&fast, cut, x, bottom, scratch);
    dsp::lines::band(&fast, 0, x, top, scratch);
    let apart = expected == found;
    if dsp::lines::takes_in_place(input, output, &window, columns) {
        found.copy_from_slice(x);
        dsp::lines::depthwise_in_place(&fast, found, scratch);
    }
    apart && expected == found && dsp::lines::takes(channels, &window, columns)
}

/// One sum of random tensors, in all three ways; whether both kernels agree.
#[inline(never)]
pub fn add_case(random: &mut Random) -> bool {
    let factor = |random: &mut Random| random.int(-(1 << 21), 1 << 21);
    let layer = add::Add {
        factors: [factor(random), factor(random)],
        constant: random.int(-(1 << 29), 1 << 29) >> random.int(0, 29),
        shift: random.int(0, 20) as u32,
        zero_point: random.int(-128, 127),
        min: -128,
        max: 127,
    };
    let len = random.size(1, 40);
    let (mut a, mut b) = ([0; 43], [0; 43]);
    random.fill(&mut a);
    random.fill(&mut b);
    let (skip, other) = (random.size(0, 3), random.size(0, 3));
    let (a, b) = (&mut a[skip..skip + len], &mut b[other..other + len]);
    let (mut expected, mut found) = ([0; 40], [99; 40]);
    let (expected, found) = (&mut expected[..len], &mut found[..len]);
    add::add(&layer, a, b, expected);
    dsp::add::add(&layer, a, b, found);
    let apart = expected == found;
    if random.int(0, 1) == 0 {
        dsp::add::add_in_place(&layer, a, b);
        apart && expected == a && dsp::add::takes(&layer)
    } else {
        dsp::add::add_in_place_second(&layer, a, b);
        apart && expected == b && dsp::add::takes(&layer)
    }
}

/// One mean over a whole tensor; whether both kernels agree.
#[inline(never)]
pub fn pool_case(random: &mut Random) -> bool {
    let input = shape::Hwc { h: random.size(1, 24), w: random.size(1, 24), c: 4 * random.size(1, 2) };
    let output = shape::Hwc { h: 1, w: 1, c: input.c };
    let kernel = [input.h, input.w];
    let window = shape::Window { kernel, stride: [1, 1], dilation: [1, 1], pad: [0, 0] };
    let mut x = [0; LEN];
    random.fill(&mut x);
    if random.int(0, 1) == 0 {
        // Sums as large as they can be.
        x.fill(if random.int(0, 1) == 0 { -128 } else { 127 });
    }
    let skip = random.size(0, 3);
    let x = &x[skip..skip + input.h * input.w * input.c];
    let mut multipliers = [0];
    let requant = random.requant(&mut multipliers, input.h * input.w);
    let layer = avg_pool::AvgPool { input, output, window, input_zero_point: random.int(-128, 127), requant };
    let (mut expected, mut found) = ([0; 8], [99; 8]);
    let (expected, found) = (&mut expected[..input.c], &mut found[..input.c]);
    avg_pool::avg_pool(&layer, x, expected);
    dsp::pool::avg_pool(&layer, x, found);
    expected == found && dsp::pool::takes(input, output, &window)
}

/// One max pool; whether both kernels agree.
#[inline(never)]
pub fn max_pool_case(random: &mut Random) -> bool {
    let [h, kh, down, _, top, rows] = axis(random);
    let [w, kw, right, _, left, columns] = axis(random);
    let c = 4 * random.size(2, 6);
    // Taps side by side need less room than those of `axis`.
    let (input, output) = (shape::Hwc { h, w, c }, shape::Hwc { h: rows, w: columns, c });
    let window = shape::Window { kernel: [kh, kw], stride: [down, right], dilation: [1, 1], pad: [top, left] };
    let mut x = [0; LEN];
    random.fill(&mut x);
    let skip = random.size(0, 3);
    let (bytes, outputs) = (h * w * c, rows * columns * c);
    if bytes + skip > LEN || outputs > LEN {
        return true;
    }
    let x = &x[skip..skip + bytes];
    let layer = max_pool::MaxPool { input, output, window };
    let (mut expected, mut found) = ([0; LEN], [99; LEN]);
    max_pool::max_pool(&layer, x, &mut expected[..outputs]);
    let (pitched, len) = within(random, output);
    dsp::max_pool::max_pool(&max_pool::MaxPool { output: pitched, ..layer }, x, &mut found[..len]);
    same(&expected[..outputs], c, &found[..len], pitched.c) && dsp::max_pool::takes(input, output, &window)
}

/// One fully connected layer; whether both kernels agree.
#[inline(never)]
pub fn dense_case(random: &mut Random) -> bool {
    let (inputs, outputs) = (random.size(1, 260), random.size(1, 9));
    let (mut x, mut weights) = ([0; LEN], [0; LEN]);
    random.fill(&mut x);
    random.fill(&mut weights);
    let skip = random.size(0, 3);
    let (x, weights) = (&x[skip..skip + inputs], &weights[skip..skip + inputs * outputs]);
    let (mut bias, mut multipliers) = ([0; 9], [0; 9]);
    for bias in &mut bias {
        *bias = random.int(-40_000, 40_000);
    }
    let requant = random.requant(&mut multipliers, inputs);
    let layer = dense::Dense { weights, bias: &bias, requant };
    let (mut expected, mut found) = ([0; 9], [99; 9]);
    dense::dense(&layer, x, &mut expected[..outputs]);
    dsp::dense::dense(&layer, x, &mut found[..outputs]);
    expected[..outputs] == found[..outputs]
}

/// Every kind of layer, `rounds` times; the kind and number of the first that differs.
pub fn run(seed: u32, rounds: u32) -> Result<(), (&'static str, u32)> {
    type Case = fn(&mut Random) -> bool;
    let cases: [(&'static str, Case); 9] = [
        ("add", add_case),
        ("pool", pool_case),
        ("dense", dense_case),
        ("max pool", max_pool_case),
        ("conv", conv_case),
        ("rows", rows_case),
        ("winograd", winograd_case),
        ("lines", lines_case),
        ("depthwise", depthwise_case),
    ];
    for (name, case) in cases {
        let mut random = Random(seed);
        for round in 0..rounds {
            if !case(&mut random) {
                return Err((name, round));
            }
        }
    }
    Ok(())
}
