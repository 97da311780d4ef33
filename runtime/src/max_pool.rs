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
    let mut rest = output;
    for y in 0..layer.output.h {
        for x in 0..layer.output.w {
            let pixel = take_pixel(&mut rest, layer.output.c, channels);
            if pixel.is_empty() {
                return;
            }
            largest(layer, input, layer.window.origin(y, x), pixel);
        }
    }
}

/// The largest values of the window at `[top, left]`.
#[inline(never)]
fn largest<T: Element>(layer: &MaxPool, input: &[T], [top, left]: [usize; 2], pixel: &mut [i8]) {
    let [kh, kw] = layer.window.kernel;
    pixel.fill(i8::MIN);
    let mut iy = top;
    for _ in 0..kh {
        let mut ix = left;
        for _ in 0..kw {
            if iy < layer.input.h && ix < layer.input.w {
                let start = layer.input.offset(iy, ix);
                let values = input.get(start..start.wrapping_add(pixel.len()));
                raise(pixel, values.unwrap_or(&[]));
            }
            ix = ix.wrapping_add(layer.window.dilation[1]);
        }
        iy = iy.wrapping_add(layer.window.dilation[0]);
    }
}

/// Takes the larger one of each output and value.
#[inline(never)]
fn raise<T: Element>(outputs: &mut [i8], values: &[T]) {
    for (out, &x) in outputs.iter_mut().zip(values) {
        *out = (*out).max(x.quantized() as i8);
    }
}
