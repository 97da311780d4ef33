//! Channels of several tensors side by side; all have one scale and zero point.

use super::shape::{take, take_mut};
use core::hint::black_box;

/// Writes `input` (`[positions, channels]`) into the channels `offset..offset + channels` of
/// `output` (`[positions, total]`). One call per input.
#[inline(never)]
pub fn concat_part(input: &[i8], channels: usize, output: &mut [i8], total: usize, offset: usize) {
    let (mut input, mut output) = (input, output);
    while !input.is_empty() {
        let pixel = take_mut(&mut output, total);
        let part_of_pixel = pixel.get_mut(offset..offset.wrapping_add(channels));
        let part = take(&mut input, channels);
        if part.is_empty() {
            return;
        }
        copy(part, part_of_pixel.unwrap_or(&mut []));
    }
}

/// Copies as much as both have. A part of a pixel is short: a call of the compiler's library for it, which the optimizer
/// would take for a loop that it sees through, costs twice as much.
#[inline(always)]
fn copy(source: &[i8], target: &mut [i8]) {
    let (mut source, mut target) = (source, target);
    while source.len() >= 8 && target.len() >= 8 {
        let to = take_mut(&mut target, 8).first_chunk_mut::<8>();
        if let (Some(to), Some(eight)) = (to, take(&mut source, 8).first_chunk()) {
            *to = *eight;
        }
        black_box(());
    }
    for (out, &x) in target.iter_mut().zip(source) {
        *out = x;
        black_box(());
    }
}
