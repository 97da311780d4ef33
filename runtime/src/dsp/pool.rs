//! Mean over all positions of a tensor, four channels and two positions at a time.

use super::super::avg_pool::AvgPool;
use super::super::shape::{Hwc, Window};

/// Whether the kernel takes a pool: one window over the whole input, channels by fours.
pub const fn takes(input: Hwc, output: Hwc, window: &Window) -> bool {
    let Window {
        kernel: [kh, kw],
        dilation: [far, wide],
        pad: [top, left],
        ..
    } = *window;
    let one = output.h == 1 && output.w == 1 && output.c == input.c;
    let whole = kh == input.h && kw == input.w && top == 0 && left == 0;
    let dense = (kh == 1 || far == 1) && (kw == 1 || wide == 1);
    input.c > 0 && input.c % 4 == 0 && one && whole && dense
}

/// Runs a pool that [`takes`] is true for. Where lengths do not match, nothing is computed.
#[cfg(not(all(target_arch = "arm", feature = "dsp")))]
pub fn avg_pool(layer: &AvgPool<'_>, input: &[i8], output: &mut [i8]) {
    super::super::avg_pool::avg_pool(layer, input, output);
}

/// Runs a pool that [`takes`] is true for. Where lengths do not match, nothing is computed.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[inline(never)]
pub fn avg_pool(layer: &AvgPool<'_>, input: &[i8], output: &mut [i8]) {
    use super::requant::requantize_all;
    use core::hint::black_box;

    let (layer, input, output) = black_box((layer, input, output));
    let Hwc { h, w, c } = layer.input;
    let positions = h.wrapping_mul(w);
    let fits = h
        .checked_mul(w)
        .and_then(|positions| positions.checked_mul(c))
        .is_some_and(|bytes| bytes <= input.len());
    let multiplier = match *layer.requant.multipliers {
        [one] => one,
        ref each => each.get(positions.wrapping_sub(1)).copied().unwrap_or(0),
    };
    let zero = layer.input_zero_point.wrapping_mul(positions as i32);
    let mut rest = output;
    let mut channel = 0_usize;
    while let Some((four, others)) = rest.split_first_chunk_mut::<4>() {
        if !fits || positions == 0 || channel.wrapping_add(4) > c {
            return;
        }
        let mut acc = [0_i32.wrapping_sub(zero); 4];
        let mut from = input.as_ptr().wrapping_add(channel);
        let mut left = positions;
        while left > 0 {
            let some = left.min(MOST);
            let (even, odd): (u32, u32);
            // SAFETY: a position first if `some` is odd, then two a turn, four bytes are read at `some` positions, `c` bytes
            // apart; all turns together read at `positions` of them, from `channel` on, which is at least 4 below `c`: inside the
            // `positions · c` bytes that `input` has. LDR needs no alignment on these cores. All registers that change are declared.
            unsafe {
                core::arch::asm!(
                    "movs {even}, #0",
                    "mov {odd}, {even}",
                    "lsrs {pairs}, {pairs}, #1",
                    "bcc 2f",
                    "ldr {a}, [{from}]",
                    "cmp {pairs}, #0",
                    "add {from}, {from}, {step}",
                    "sxtab16 {even}, {even}, {a}",
                    "sxtab16 {odd}, {odd}, {a}, ror #8",
                    "beq 3f",
                    "2:",
                    "ldr {a}, [{from}]",
                    "ldr {b}, [{from}, {step}]",
                    "subs {pairs}, {pairs}, #1",
                    "add {from}, {from}, {step}, lsl #1",
                    "sxtab16 {even}, {even}, {a}",
                    "sxtab16 {odd}, {odd}, {a}, ror #8",
                    "sxtab16 {even}, {even}, {b}",
                    "sxtab16 {odd}, {odd}, {b}, ror #8",
                    "bne 2b",
                    "3:",
                    even = out(reg) even,
                    odd = out(reg) odd,
                    a = out(reg) _,
                    b = out(reg) _,
                    from = inout(reg) from,
                    pairs = inout(reg) some => _,
                    step = in(reg) c,
                    options(nostack, readonly)
                );
            }
            let lanes = [even, odd, even >> 16, odd >> 16];
            for (acc, lane) in acc.iter_mut().zip(&lanes) {
                *acc = acc.wrapping_add(i32::from(*lane as u16 as i16));
            }
            left = left.wrapping_sub(some);
        }
        // SAFETY: four words of `acc`.
        unsafe { requantize_all(acc.as_mut_ptr(), 4, multiplier, &layer.requant) };
        *four = acc.map(|value| value as i8);
        rest = others;
        channel = channel.wrapping_add(4);
    }
}

/// Positions whose sums fit 16-bit lanes.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
const MOST: usize = 256;
