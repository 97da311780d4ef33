//! Dense 2-D convolution with kernels three columns wide, step 1 along a row, channels by fours.
//!
//! Eight neighbouring outputs of one filter share the ten columns they look at: each is loaded once for three taps.
//! The columns are widened to 16 bits once, into a ring of as many rows as the kernel has.

use super::super::requant::Requant;
use super::super::shape::{takes_pitch, Hwc, Window};
use super::lanes::{both, even_bytes, odd_bytes, words};
use super::rows_loops::run;

/// Positions worked on at once: one accumulator register each.
pub const POSITIONS: usize = 8;

/// Taps along a row.
pub const TAPS: usize = 3;

/// Columns that eight outputs look at.
pub(super) const COLUMNS: usize = POSITIONS + TAPS - 1;

/// Words of four channels of these columns: with channels 0 and 2, then with 1 and 3.
pub(super) const GROUP: usize = 2 * COLUMNS;

/// A convolution with one padding value and one bias per channel; see [`takes`].
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// Input shape.
    pub input: Hwc,
    /// Output shape; its channels may be more than the filters, whose outputs are then the first of each position.
    pub output: Hwc,
    /// Window.
    pub window: Window,
    /// `[O][KH][I / 4][3]`, four channels in a word, the first in the low byte.
    pub weights: &'a [i32],
    /// `[O]`.
    pub bias: &'a [i32],
    /// Value of padded positions.
    pub pad: i8,
    /// Way back to `i8`.
    pub requant: Requant<'a>,
}

/// Whether the kernel takes a window over this many channels.
pub const fn takes(channels: usize, window: &Window) -> bool {
    let Window {
        kernel: [_, kw],
        stride: [_, step],
        dilation,
        ..
    } = *window;
    channels > 0
        && channels % 4 == 0
        && kw == TAPS
        && step == 1
        && dilation[0] == 1
        && dilation[1] == 1
}

/// Words of one row of eight outputs' columns.
const fn row_words(channels: usize) -> usize {
    (channels / 4).wrapping_mul(GROUP)
}

/// Bytes of scratch: the ring, for kernels of `rows` rows.
pub const fn scratch_bytes(channels: usize, rows: usize) -> usize {
    row_words(channels).wrapping_mul(4).wrapping_mul(rows)
}

/// Runs the convolution; `scratch` is aligned to words and has at least [`scratch_bytes`]. Where lengths do not
/// match, or [`takes`] is not true, less is computed.
#[inline(always)]
pub fn conv(layer: &Rows<'_>, input: &[i8], output: &mut [i8], scratch: &mut [i8]) {
    band(layer, 0, input, output, scratch);
}

/// Runs the convolution for the output rows from `first` on, as many as `output` holds: any cut of the output
/// into bands of whole rows gives the same bytes.
///
/// Eight columns go from the first row to the last, then the next eight: so the ring is as narrow as they are.
#[inline(never)]
pub fn band(layer: &Rows<'_>, first: usize, input: &[i8], output: &mut [i8], scratch: &mut [i8]) {
    let arguments = core::hint::black_box((layer, first, input, output, scratch));
    let (layer, first, input, output, scratch) = arguments;
    let Hwc {
        w: width, c: pitch, ..
    } = layer.output;
    let filters = layer.bias.len();
    let channels = layer.input.c;
    let rows = layer.window.kernel[0];
    let bytes = scratch_bytes(channels, rows);
    let (ring, _) = words(scratch, bytes / 4);
    let row = row_words(channels);
    // Per output channel a quarter as many words as weights; GROUP words hold four values of ten columns.
    let weights = (channels / 4)
        .wrapping_mul(TAPS)
        .wrapping_mul(rows)
        .checked_mul(filters);
    let fits = takes(channels, &layer.window)
        && rows > 0
        && width > 0
        && filters > 0
        && !ring.is_empty()
        && layer.requant.multipliers.len() >= filters
        && takes_pitch(pitch, filters)
        && weights.is_some_and(|needed| needed <= layer.weights.len());
    if !fits {
        return;
    }
    let mut column = 0_usize;
    while column < width {
        let left = width.wrapping_sub(column);
        let count = if left < POSITIONS { left } else { POSITIONS };
        let mut at = column.wrapping_mul(pitch);
        let bytes = count
            .wrapping_sub(1)
            .wrapping_mul(pitch)
            .wrapping_add(filters);
        // Rows are counted from the first row of padding.
        let mut top = first.wrapping_mul(layer.window.stride[0]);
        let mut next = top;
        while let Some(out) = output.get_mut(at..at.wrapping_add(bytes)) {
            next = next.max(top);
            while next < top.wrapping_add(rows) {
                widen(layer, input, next, column, next % rows, ring);
                next = next.wrapping_add(1);
            }
            // The ring's oldest row is the kernel's first.
            let oldest = (top % rows).wrapping_mul(row);
            let Some((second, first)) = ring.split_at_checked(oldest) else {
                return;
            };
            if first.is_empty() {
                return;
            }
            run(layer, first, second, out, count);
            at = at.wrapping_add(width.wrapping_mul(pitch));
            top = top.wrapping_add(layer.window.stride[0]);
        }
        column = column.wrapping_add(POSITIONS);
    }
}

/// Writes row `y`, counted from the first row of padding, under the outputs from `column` on, to row `slot` of the ring.
fn widen(layer: &Rows<'_>, input: &[i8], y: usize, column: usize, slot: usize, ring: &mut [u32]) {
    let channels = layer.input.c;
    let row = row_words(channels);
    let [pad_top, pad_left] = layer.window.pad;
    let pad = both(layer.pad);
    let iy = y.wrapping_sub(pad_top);
    let left = column.wrapping_sub(pad_left);
    let start = slot.wrapping_mul(row);
    let target = ring
        .get_mut(start..start.wrapping_add(row))
        .unwrap_or(&mut []);
    if iy >= layer.input.h {
        // A loop for this case alone, or the optimizer makes one for each column.
        for word in target {
            *word = pad;
        }
        return;
    }
    for column in 0..COLUMNS {
        let ix = left.wrapping_add(column);
        let start = layer.input.offset(iy, ix);
        let source = if ix < layer.input.w {
            input.get(start..start.wrapping_add(channels))
        } else {
            None
        };
        let mut groups = &mut *target;
        let mut values = source.unwrap_or(&[]);
        while let Some((group, others)) =
            core::mem::take(&mut groups).split_first_chunk_mut::<GROUP>()
        {
            let (mut even, mut odd) = (pad, pad);
            if let Some((four, rest)) = values.split_first_chunk::<4>() {
                let word = u32::from_le_bytes(four.map(|x| x as u8));
                (even, odd) = (even_bytes(word), odd_bytes(word));
                values = rest;
            }
            group[column] = even;
            group[column + COLUMNS] = odd;
            groups = others;
        }
    }
}
