//! A large or coloured image as a network of a smaller or grey input takes it, in exact integers.

use super::shape::{take_mut, Element, Hwc};

/// Shares of red, green and blue in grey, of 128 in all.
const GREY: [u32; 3] = [38, 75, 15];

/// Means over blocks of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adapt {
    /// Input shape; three channels for grey.
    pub input: Hwc,
    /// Output shape; one channel for grey.
    pub output: Hwc,
    /// Side of a block, at most 16.
    pub block: usize,
    /// Row and column where the first block begins.
    pub first: [usize; 2],
    /// Whether red, green and blue become grey.
    pub grey: bool,
}

/// `q = ⌊(Σ share · pixel + ⌊divisor / 2⌋) / divisor⌋ − 128` over the pixels of each block, where a value `q` stands for
/// the pixel `q + 128` and the divisor is what all shares of a block add up to: the mean, rounded half up.
pub fn adapt<T: Element>(layer: &Adapt, input: &[T], output: &mut [i8]) {
    let pixel = |value: Option<&T>| value.map_or(0, |v| v.quantized().wrapping_add(128) as u32);
    let channels = layer.input.c;
    let area = layer.block.wrapping_mul(layer.block) as u32;
    let divisor = if layer.grey {
        area.wrapping_mul(128)
    } else {
        area
    };
    let mut rest = output;
    for y in 0..layer.output.h {
        let top = y.wrapping_mul(layer.block).wrapping_add(layer.first[0]);
        for x in 0..layer.output.w {
            let left = x.wrapping_mul(layer.block).wrapping_add(layer.first[1]);
            let values = take_mut(&mut rest, layer.output.c);
            if values.is_empty() {
                return;
            }
            for (c, out) in values.iter_mut().enumerate() {
                let mut sum = divisor / 2;
                for dy in 0..layer.block {
                    let mut at = layer.input.offset(top.wrapping_add(dy), left);
                    for _ in 0..layer.block {
                        let value = if layer.grey {
                            let mut sum = 0_u32;
                            for (k, share) in GREY.iter().enumerate() {
                                let part = pixel(input.get(at.wrapping_add(k)));
                                sum = sum.wrapping_add(part.wrapping_mul(*share));
                            }
                            sum
                        } else {
                            pixel(input.get(at.wrapping_add(c)))
                        };
                        sum = sum.wrapping_add(value);
                        at = at.wrapping_add(channels);
                    }
                }
                *out = ((sum / divisor.max(1)) as u8).wrapping_sub(128) as i8;
            }
        }
    }
}
