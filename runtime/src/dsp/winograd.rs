//! Dense 3×3 convolution with step 1, channels by fours, by Winograd's F(2×2, 3×3) in exact integers: 16 products
//! where the definition has 36.
//!
//! A tile is 2×2 outputs of one filter; it looks at a 4×4 patch `d` of every channel. With
//! `U = (2G) g (2G)ᵀ`, made by the compiler from the 3×3 weights `g`, and `V = Bᵀ d B`, the outputs are
//! `Aᵀ (Σ U ∘ V) A / 4`, where `2G` has the rows (2,0,0), (1,1,1), (1,−1,1), (0,0,2), `Bᵀ` the rows
//! `d0 − d2`, `d1 + d2`, `d2 − d1`, `d1 − d3`, and `Aᵀ` the rows (1,1,1,0), (0,1,−1,−1).
//!
//! Exact: `|g| ≤ 127` gives `|U| ≤ 9 · 127 = 1143`, and `−128 ≤ d ≤ 127` gives `|V| ≤ 512`, so both fit 16-bit lanes.
//! Sums wrap modulo 2³², which sums and differences carry through; at the end stands four times the convolution's
//! accumulator, which fits by the compiler's proof (`4 · (|bias| + 128 · Σ |g|) < 2³¹`), so it is exact again and
//! divisible by 4.
//!
//! `a − b − 1` is `a + !b`: all four rows of `Bᵀ d` are one sum, of which three come out one too small. In `V` this
//! is seen in column 1 only, 2 too small in the rows 0, 2 and 3; the start of the sums makes up for it.
//!
//! `V` is shared by all filters. Four tiles and two filters are worked on at once. The sums of a column run through
//! its four rows without a reset: with `P0 … P3` after each row, `Aᵀ` down the column is `P2` and `2·P1 − P0 − P3`.

use super::super::requant::Requant;
use super::super::shape::{clip, take_mut, takes_pitch, Hwc, Window};
use super::lanes::{copy_words, signed, words};
use super::patches::{transform, COLUMNS, LAST, TILES, UPPER};
use super::tiles::{run, Place, SUMS};

/// A convolution with one padding value; see [`takes`].
#[derive(Debug, Clone, Copy)]
pub struct Winograd<'a> {
    /// Input shape.
    pub input: Hwc,
    /// Output shape; its channels may be more than the filters, whose outputs are then the first of each position.
    pub output: Hwc,
    /// Window; only its padding is read.
    pub window: Window,
    /// `U` as `[pair of filters][column][row][I / 2][filter]`, two 16-bit lanes in a word: of four channels 0 and 2,
    /// then 1 and 3. With an odd number of filters the last pair is the last two.
    pub weights: &'a [i32],
    /// `[O][2]`: added to the upper and to the lower outputs' sums. With `S[i]` the sum of `U[i][1]` over the
    /// channels: `4 · bias + 2 · (S[0] + S[2])` and `4 · bias − 2 · (S[2] + S[3])`.
    pub bias: &'a [i32],
    /// Value of padded positions.
    pub pad: i8,
    /// Way back to `i8`.
    pub requant: Requant<'a>,
}

/// Whether the kernel takes a window over this many channels.
pub const fn takes(channels: usize, filters: usize, window: &Window) -> bool {
    let Window {
        kernel: [kh, kw],
        stride: [down, right],
        dilation: [far, wide],
        ..
    } = *window;
    let step = down == 1 && right == 1 && far == 1 && wide == 1;
    channels > 0 && channels % 4 == 0 && filters > 1 && kh == 3 && kw == 3 && step
}

/// Words of `V` for one channel.
const PATCHES: usize = 32;

/// Words of a row of the tiles' input.
const fn strip_row(channels: usize) -> usize {
    channels.wrapping_mul(COLUMNS) / 4
}

/// Words behind `V`: sums, or three rows of the tiles' input where it has padding. The first row lies over the last
/// part of `V`, which is made when nobody needs that row any more.
const fn tail(channels: usize) -> usize {
    let strip = strip_row(channels).wrapping_mul(3);
    if strip < SUMS {
        SUMS
    } else {
        strip
    }
}

/// Bytes of scratch.
pub const fn scratch_bytes(channels: usize) -> usize {
    channels
        .wrapping_mul(PATCHES)
        .wrapping_add(tail(channels))
        .wrapping_mul(4)
}

/// Runs the convolution; `scratch` is aligned to words and has at least [`scratch_bytes`]. Where lengths do not
/// match, or [`takes`] is not true, less is computed.
#[inline(always)]
pub fn conv(layer: &Winograd<'_>, input: &[i8], output: &mut [i8], scratch: &mut [i8]) {
    band(layer, 0, input, output, scratch);
}

/// Runs the convolution for the output rows from `first` on, as many as `output` holds: any cut of the output
/// into bands of whole rows gives the same bytes, those of an even number of rows soonest.
#[inline(never)]
pub fn band(
    layer: &Winograd<'_>,
    first: usize,
    input: &[i8],
    output: &mut [i8],
    scratch: &mut [i8],
) {
    let arguments = core::hint::black_box((layer, first, input, output, scratch));
    let (layer, first, input, output, scratch) = arguments;
    let Hwc {
        w: width, c: pitch, ..
    } = layer.output;
    let filters = layer.requant.multipliers.len();
    let channels = layer.input.c;
    let all = channels.wrapping_mul(PATCHES);
    let (region, _) = words(scratch, all.wrapping_add(tail(channels)));
    let pairs = filters.wrapping_add(1) / 2;
    let weights = channels.wrapping_mul(16).checked_mul(pairs);
    let fits = takes(channels, filters, &layer.window)
        && width > 0
        && !region.is_empty()
        && layer.bias.len() == filters.wrapping_mul(2)
        && takes_pitch(pitch, filters)
        && weights.is_some_and(|needed| needed <= layer.weights.len());
    if !fits {
        return;
    }
    let row = width.wrapping_mul(pitch);
    // Of the last row there may be no more than this.
    let least = row.wrapping_sub(pitch.wrapping_sub(filters));
    let [pad_top, pad_left] = layer.window.pad;
    let mut rest = output;
    let mut top = first.wrapping_sub(pad_top);
    while rest.len() >= least {
        let two = rest.len().wrapping_sub(least) >= row;
        let bytes = if two { row.wrapping_mul(2) } else { row };
        let bytes = bytes.min(rest.len());
        let mut pair = take_mut(&mut rest, bytes);
        let mut left = 0_usize.wrapping_sub(pad_left);
        let mut ahead = width;
        while ahead > 0 {
            let columns = if ahead < 2 * TILES { ahead } else { 2 * TILES };
            patch(layer, input, [top, left], region);
            let Some((v, sums)) = region.split_at_mut_checked(all) else {
                return;
            };
            let place = Place {
                row: if two { row } else { 0 },
                columns,
            };
            run(layer, v, sums, pair, place);
            let skip = pair.len().min(columns.wrapping_mul(pitch));
            take_mut(&mut pair, skip);
            left = left.wrapping_add(2 * TILES);
            ahead = ahead.wrapping_sub(columns);
        }
        top = top.wrapping_add(2);
    }
}

/// Makes `V` of the four rows of ten columns of the input from `[top, left]` on.
#[inline(always)]
fn patch(layer: &Winograd<'_>, input: &[i8], [top, left]: [usize; 2], region: &mut [u32]) {
    let Hwc { h, w, c } = layer.input;
    let all = c.wrapping_mul(PATCHES);
    let three = c.wrapping_mul(PATCHES / 4 * 3);
    if top < h && h.wrapping_sub(top) >= 4 && left < w && left.wrapping_add(COLUMNS) <= w {
        let pitch = w.wrapping_mul(c);
        let start = layer.input.offset(top, left);
        let source = input.get(start..).unwrap_or(&[]);
        if let Some((upper, lower)) = region.split_at_mut_checked(three) {
            transform(source, pitch, c, &UPPER, upper);
            transform(source.get(pitch..).unwrap_or(&[]), pitch, c, &LAST, lower);
        }
        return;
    }
    let pitch = c.wrapping_mul(COLUMNS);
    if let Some((v, strip)) = region.split_at_mut_checked(all.wrapping_sub(strip_row(c))) {
        // Four rows: as many words as one has bytes.
        let strip = strip.get_mut(..pitch).unwrap_or(&mut []);
        let pad = u32::from(layer.pad as u8).wrapping_mul(0x0101_0101);
        for word in strip.iter_mut() {
            *word = pad;
        }
        let strip = signed(strip);
        copy(layer, input, [top, left], strip);
        let v = v.get_mut(..three).unwrap_or(&mut []);
        transform(strip, pitch, c, &UPPER, v);
    }
    if let Some((v, strip)) = region.split_at_mut_checked(all) {
        let v = v.get_mut(three..).unwrap_or(&mut []);
        transform(signed(strip), pitch, c, &LAST, v);
    }
}

/// Copies what is inside of rows of ten columns of the input from `[top, left]` on to `strip`, as many as it holds.
#[inline(always)]
fn copy(layer: &Winograd<'_>, input: &[i8], [top, left]: [usize; 2], strip: &mut [i8]) {
    let Hwc { h, w, c } = layer.input;
    // Columns before the input's first, then those inside.
    let (before, begin, inside) = clip(left, COLUMNS, w);
    let mut rows = strip;
    let mut iy = top;
    // Not `0..4`, which the optimizer would write out four times.
    while !rows.is_empty() {
        let target = take_mut(&mut rows, c.wrapping_mul(COLUMNS));
        if iy < h {
            let start = layer.input.offset(iy, begin);
            let len = inside.wrapping_mul(c);
            let source = input.get(start..start.wrapping_add(len)).unwrap_or(&[]);
            let skip = before.wrapping_mul(c);
            copy_words(source, target.get_mut(skip..).unwrap_or(&mut []));
        }
        iy = iy.wrapping_add(1);
    }
}
