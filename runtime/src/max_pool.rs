//! Largest value of each window; padding takes no part. Scale and zero point pass through.

use super::shape::{take_pixel, Element, Hwc, Window};

/// A max pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool {
    /// Input shape.
    pub input: Hwc,
    /// Output shape; its channels may be more than the input's, whose outputs are then the first of each position.
    pub output: Hwc,
    /// Window.
    pub window: Window,
}

/// Runs the pool.
#[inline(never)]
pub fn max_pool<T: Element>(layer: &MaxPool, input: &[T], output: &mut [i8]) {
    let channels = layer.input.c;
    let [kh, kw] = layer.window.kernel;
    let mut rest = output;
    for y in 0..layer.output.h {
        for x in 0..layer.output.w {
            let pixel = take_pixel(&mut rest, layer.output.c, channels);
            if pixel.is_empty() {
                return;
            }
            let [top, left] = layer.window.origin(y, x);
            pixel.fill(i8::MIN);
            let mut iy = top;
            for _ in 0..kh {
                let mut ix = left;
                for _ in 0..kw {
                    if iy < layer.input.h && ix < layer.input.w {
                        let start = layer.input.offset(iy, ix);
                        let values = input.get(start..start.wrapping_add(channels));
                        for (out, &x) in pixel.iter_mut().zip(values.unwrap_or(&[])) {
                            *out = (*out).max(x.quantized() as i8);
                        }
                    }
                    ix = ix.wrapping_add(layer.window.dilation[1]);
                }
                iy = iy.wrapping_add(layer.window.dilation[0]);
            }
        }
    }
}
