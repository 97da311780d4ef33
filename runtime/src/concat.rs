//! Channels of several tensors side by side; all have one scale and zero point.

/// Writes `input` (`[positions, channels]`) into the channels `offset..offset + channels` of
/// `output` (`[positions, total]`). One call per input.
pub fn concat_part(input: &[i8], channels: usize, output: &mut [i8], total: usize, offset: usize) {
    let pixels = output.chunks_exact_mut(total.max(1));
    for (pixel, part) in pixels.zip(input.chunks_exact(channels.max(1))) {
        let part_of_pixel = pixel.get_mut(offset..offset.wrapping_add(channels));
        for (out, &x) in part_of_pixel.unwrap_or(&mut []).iter_mut().zip(part) {
            *out = x;
        }
    }
}
