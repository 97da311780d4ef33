//! Channels of several tensors side by side; all have one scale and zero point.

use super::shape::{take, take_mut};

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
        for (out, &x) in part_of_pixel.unwrap_or(&mut []).iter_mut().zip(part) {
            *out = x;
        }
    }
}
