//! Largest value of each window, eight channels at a time.

use super::super::max_pool::MaxPool;
use super::super::shape::{Hwc, Window};

/// Whether the kernel takes a pool: channels by fours, eight at least, and taps side by side.
pub const fn takes(input: Hwc, output: Hwc, window: &Window) -> bool {
    let Window {
        kernel: [kh, kw],
        dilation: [far, wide],
        ..
    } = *window;
    let dense = (kh == 1 || far == 1) && (kw == 1 || wide == 1);
    input.c >= 8 && input.c % 4 == 0 && output.c == input.c && dense
}

/// Runs a pool that [`takes`] is true for. Where lengths do not match, less is computed.
#[cfg(not(all(target_arch = "arm", feature = "dsp")))]
pub fn max_pool(layer: &MaxPool, input: &[i8], output: &mut [i8]) {
    super::super::max_pool::max_pool(layer, input, output);
}

/// Runs a pool that [`takes`] is true for. Where lengths do not match, less is computed.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[inline(never)]
pub fn max_pool(layer: &MaxPool, input: &[i8], output: &mut [i8]) {
    use super::super::shape::{clip, take_pixel};
    use core::hint::black_box;

    let (layer, input, output) = black_box((layer, input, output));
    let Hwc { h, w, c } = layer.input;
    let row = w.wrapping_mul(c);
    let fits = w
        .checked_mul(c)
        .and_then(|row| row.checked_mul(h))
        .is_some_and(|bytes| bytes <= input.len());
    if !fits || c < 8 {
        return;
    }
    let [kh, kw] = layer.window.kernel;
    let mut rest = output;
    for y in 0..layer.output.h {
        for x in 0..layer.output.w {
            let [top, left] = layer.window.origin(y, x);
            let (_, top, rows) = clip(top, kh, h);
            let (_, left, columns) = clip(left, kw, w);
            let pixel = take_pixel(&mut rest, layer.output.c, c);
            if pixel.is_empty() {
                return;
            }
            if rows == 0 || columns == 0 {
                pixel.fill(i8::MIN);
                continue;
            }
            let first = top.wrapping_mul(row).wrapping_add(left.wrapping_mul(c));
            let down = row.wrapping_sub(columns.wrapping_mul(c));
            let mut channel = 0_usize;
            while channel < c {
                // The last eight overlap those before them where there are only four more.
                let at = channel.min(c.wrapping_sub(8));
                let largest = largest(input, first.wrapping_add(at), [rows, columns], [c, down]);
                if let Some(eight) = pixel.get_mut(at..).and_then(<[i8]>::first_chunk_mut::<8>) {
                    *eight = largest;
                }
                channel = channel.wrapping_add(8);
            }
        }
    }
}

/// The largest of eight channels from byte `first` of `input` on, over `rows` of `columns` positions, none of them 0, that
/// lie `step` bytes apart, and `down` more at the end of a row.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[inline(always)]
fn largest(
    input: &[i8],
    first: usize,
    [rows, columns]: [usize; 2],
    [step, down]: [usize; 2],
) -> [i8; 8] {
    let (low, high): (u32, u32);
    // SAFETY: eight bytes are read at each of `rows · columns` positions of a tensor `[h, w, step]` that `input` holds whole, as
    // the caller checks: rows and columns are clipped to it, and `first` is at most 8 below the end of a position's
    // channels. LDR needs no alignment on these cores. All registers that change are declared.
    unsafe {
        core::arch::asm!(
            "mov {low}, #0x80808080",
            "mov {high}, {low}",
            "2:",
            "mov {n}, {columns}",
            "3:",
            "ldr {u}, [{from}]",
            "ldr {v}, [{from}, #4]",
            "subs {n}, {n}, #1",
            "add {from}, {from}, {step}",
            "ssub8 {t}, {u}, {low}",
            "sel {low}, {u}, {low}",
            "ssub8 {t}, {v}, {high}",
            "sel {high}, {v}, {high}",
            "bne 3b",
            "subs {rows}, {rows}, #1",
            "add {from}, {from}, {down}",
            "bne 2b",
            low = out(reg) low,
            high = out(reg) high,
            u = out(reg) _,
            v = out(reg) _,
            t = out(reg) _,
            n = out(reg) _,
            rows = inout(reg) rows => _,
            columns = in(reg) columns,
            from = inout(reg) input.as_ptr().wrapping_add(first) => _,
            step = in(reg) step,
            down = in(reg) down,
            options(nostack, readonly)
        );
    }
    let [a, b, c, d] = low.to_le_bytes();
    let [e, f, g, h] = high.to_le_bytes();
    [a, b, c, d, e, f, g, h].map(|byte| byte as i8)
}
