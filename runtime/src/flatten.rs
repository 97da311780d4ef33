//! Values of a map in channel-major order, where a layer reads them as a plain vector.

/// `output[c · positions + p] = input[p · channels + c]`.
#[inline(never)]
pub fn flatten(input: &[i8], channels: usize, output: &mut [i8]) {
    let mut rest = output.iter_mut();
    for first in 0..channels {
        let values = input.get(first..).unwrap_or(&[]);
        let mut at = 0;
        while let Some(&value) = values.get(at) {
            let Some(out) = rest.next() else { return };
            *out = value;
            at = at.wrapping_add(channels);
        }
    }
}
