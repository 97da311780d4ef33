//! Four patches against all filters, two at a time: the inner loops of convolutions.

use super::super::requant::Requant;
use super::super::shape::takes_pitch;
#[cfg(all(target_arch = "arm", feature = "dsp"))]
use super::dot_loops::{of_bytes, of_lanes, of_one};
#[cfg(all(target_arch = "arm", feature = "dsp"))]
use super::requant::is_plain;

/// Positions worked on at once.
pub const POSITIONS: usize = 4;

/// Words that four values of the patches take: a word of each patch with the values 0 and 2, then one with 1 and 3.
pub const GROUP: usize = 2 * POSITIONS;

/// How weights are stored. Code for the other form is not linked.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    wide: bool,
    #[cfg(all(target_arch = "arm", feature = "dsp"))]
    multiply: unsafe fn(&Arguments<'_>),
    #[cfg(all(target_arch = "arm", feature = "dsp"))]
    one: Option<unsafe fn(&Arguments<'_>)>,
}

/// `[pair of filters][values / 4][filter]`, four values in a word, the first in the low byte. With an odd number of
/// filters the last pair is the last two.
pub const BYTES: Form = Form {
    wide: false,
    #[cfg(all(target_arch = "arm", feature = "dsp"))]
    multiply: of_bytes,
    #[cfg(all(target_arch = "arm", feature = "dsp"))]
    one: None,
};

/// `[pair of filters][values / 2][filter]`, two 16-bit lanes in a word: of four values 0 and 2, then 1 and 3.
pub const LANES: Form = Form {
    wide: true,
    #[cfg(all(target_arch = "arm", feature = "dsp"))]
    multiply: of_lanes,
    #[cfg(all(target_arch = "arm", feature = "dsp"))]
    one: None,
};

/// The same weights as [`LANES`], for layers whose positions leave one over when they are taken four at a time: it does
/// not cost as much as four.
pub const LANES_AND_ONE: Form = Form {
    #[cfg(all(target_arch = "arm", feature = "dsp"))]
    one: Some(of_one),
    ..LANES
};

/// Filters of one length, and what follows their sums.
#[derive(Debug, Clone, Copy)]
pub struct Filters<'a> {
    weights: &'a [i32],
    form: Form,
    requant: Requant<'a>,
    /// Groups of four values of a filter.
    groups: usize,
    /// Filters.
    channels: usize,
    /// Bytes from a position's outputs to the next one's.
    pitch: usize,
    /// Words of two filters.
    pair: usize,
}

impl<'a> Filters<'a> {
    /// As many filters as `requant` has multipliers, at least two, of `groups` groups of four values, their outputs `pitch`
    /// bytes apart from position to position; `None` where lengths do not match.
    #[inline(always)]
    pub fn new(
        weights: &'a [i32],
        form: Form,
        requant: Requant<'a>,
        groups: usize,
        pitch: usize,
    ) -> Option<Self> {
        let channels = requant.multipliers.len();
        let pair = groups.wrapping_mul(if form.wide { 4 } else { 2 });
        let needed = pair.checked_mul(channels.wrapping_add(1) / 2)?;
        let fits =
            groups > 0 && channels > 1 && takes_pitch(pitch, channels) && needed <= weights.len();
        fits.then_some(Self {
            weights,
            form,
            requant,
            groups,
            channels,
            pitch,
            pair,
        })
    }

    /// `out[p · pitch + o] = requant(bias[o] + Σ weights[o] · patch p)` for the first `count` of four patches and all
    /// filters `o`.
    ///
    /// `patches` holds [`GROUP`] words for four values. Where lengths do not match, nothing is computed.
    #[inline(never)]
    pub fn dot(&self, patches: &[u32], bias: &[i32], out: &mut [i8], count: usize) {
        let fits = patches.len() >= self.groups.wrapping_mul(GROUP)
            && bias.len() == self.channels
            && count.wrapping_sub(1) < POSITIONS
            && self
                .pitch
                .wrapping_mul(count.wrapping_sub(1))
                .wrapping_add(self.channels)
                <= out.len();
        if fits {
            run(self, patches, bias, out, count);
        }
    }
}

#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[inline(always)]
fn run(filters: &Filters<'_>, patches: &[u32], bias: &[i32], out: &mut [i8], count: usize) {
    let Filters {
        weights,
        form,
        ref requant,
        groups,
        channels,
        pitch,
        pair,
    } = *filters;
    let stride = |position: usize| if position < count { pitch } else { 0 };
    let offset = (requant.multipliers.as_ptr() as usize).wrapping_sub(bias.as_ptr() as usize);
    let mut arguments = Arguments {
        bias: bias.as_ptr(),
        // When outputs are written, the bias has moved on by two words.
        multipliers: offset
            .wrapping_sub(8)
            .wrapping_add(usize::from(!is_plain(requant))),
        zero_point: requant.zero_point,
        out: (out.as_mut_ptr() as usize).wrapping_sub((bias.as_ptr() as usize / 4).wrapping_add(2)),
        strides: [stride(1), stride(2), stride(3)],
        weights_end: core::ptr::null(),
        patches: patches.as_ptr().wrapping_sub(2),
        weights: weights.as_ptr(),
        groups,
        requant,
    };
    let multiply = match form.one {
        Some(one) if count == 1 => one,
        _ => form.multiply,
    };
    let pairs = channels / 2;
    let mut first = 0_usize;
    let mut end = pairs;
    loop {
        arguments.weights = weights.as_ptr().wrapping_add(first.wrapping_mul(pair));
        arguments.weights_end = weights
            .as_ptr()
            .wrapping_add(end.wrapping_mul(pair))
            .wrapping_sub(1);
        // SAFETY: by `new`'s and `dot`'s checks all pointers reach what the functions say.
        unsafe { multiply(&arguments) };
        if channels % 2 == 0 || first == pairs {
            return;
        }
        // The last filter, with the one before it again; their weights follow those of the other pairs.
        first = pairs;
        end = pairs.wrapping_add(1);
        arguments.bias = bias.as_ptr().wrapping_add(channels.wrapping_sub(2));
    }
}

/// What the loops work on.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[repr(C)]
pub(super) struct Arguments<'a> {
    /// 0: Bias of the first filter.
    bias: *const i32,
    /// 4: What is added to the address of the next pair's bias to reach a pair's multipliers; 1 more if
    /// `requant` is not [`is_plain`].
    multipliers: usize,
    /// 8: Zero point.
    zero_point: i32,
    /// 12: What is added to a quarter of the next pair's bias's address to reach a pair's output at position 0.
    out: usize,
    /// 16: Bytes from each position's outputs to the next one's; 0 to those that are not wanted.
    strides: [usize; 3],
    /// 28: The last word of weights.
    weights_end: *const i32,
    /// 32: Two words before the patches.
    patches: *const u32,
    /// 36: Weights.
    weights: *const i32,
    /// 40: Groups of four values.
    groups: usize,
    /// 44: Way back to `i8`.
    requant: &'a Requant<'a>,
}

#[cfg(not(all(target_arch = "arm", feature = "dsp")))]
fn run(filters: &Filters<'_>, patches: &[u32], bias: &[i32], out: &mut [i8], count: usize) {
    use super::super::requant::requantize;
    use super::lanes::{even_bytes, multiply_add, odd_bytes};

    let channels = filters.channels;
    let wide = filters.form.wide;
    let words = if wide { 4 } else { 2 };
    for position in 0..count {
        let start = position.wrapping_mul(filters.pitch);
        let pixel = out.get_mut(start..).unwrap_or(&mut []);
        let outputs = pixel.iter_mut().zip(bias);
        let outputs = outputs.zip(filters.requant.multipliers);
        for (filter, ((out, &bias), &multiplier)) in (0..channels).zip(outputs) {
            // With an odd number of filters the last is the second of its pair.
            let last = filter.wrapping_add(1) == channels;
            let second = if last { 1 } else { filter % 2 };
            let pair = if last {
                channels.wrapping_sub(1)
            } else {
                filter
            } / 2;
            let start = pair.wrapping_mul(filters.pair);
            let mut acc = bias;
            for (group, patches) in (0..filters.groups).zip(patches.chunks(GROUP)) {
                let at = start
                    .wrapping_add(group.wrapping_mul(words))
                    .wrapping_add(second);
                let weight = |at: usize| filters.weights.get(at).copied().unwrap_or(0) as u32;
                let [even, odd] = if wide {
                    [weight(at), weight(at.wrapping_add(2))]
                } else {
                    [even_bytes(weight(at)), odd_bytes(weight(at))]
                };
                let patch = |at: usize| patches.get(at).copied().unwrap_or(0);
                acc = multiply_add(even, patch(position), acc);
                acc = multiply_add(odd, patch(position.wrapping_add(POSITIONS)), acc);
            }
            *out = requantize(acc, multiplier, &filters.requant);
        }
    }
}
