//! Patches of [`super::gather`] as bytes: rows copied, and what lies outside the input filled in.

use super::super::pad::PadValue;
use super::super::shape::{clip, take_mut, Hwc};
use super::gather::Geometry;

/// Writes the patch at `[top, left]`, which may leave the input, to `stage`.
pub(super) fn border(
    geometry: &Geometry<'_>,
    input: &[i8],
    [top, left]: [usize; 2],
    stage: &mut [i8],
) {
    let [kh, kw] = geometry.window.kernel;
    let [down, right] = geometry.window.dilation;
    if down == 1 && right == 1 {
        paste(geometry, input, [top, left], [kh, kw], kw, stage);
        return;
    }
    // One by one; what is beyond the patch meets weights of zero.
    let [mut y, mut x] = [top, left];
    let mut column = 0_usize;
    let mut rest = stage;
    loop {
        let tap = take_mut(&mut rest, geometry.input.c);
        if tap.is_empty() {
            return;
        }
        paste(geometry, input, [y, x], [1, 1], 1, tap);
        column = column.wrapping_add(1);
        x = x.wrapping_add(right);
        if column == kw {
            column = 0;
            x = left;
            y = y.wrapping_add(down);
        }
    }
}

/// Writes a part of the input and the padding around it, `tall` rows and `wide` columns from `[top, left]` on, which
/// may have wrapped, to rows of `width` columns.
#[inline(never)]
pub fn paste(
    geometry: &Geometry<'_>,
    input: &[i8],
    [top, left]: [usize; 2],
    [tall, wide]: [usize; 2],
    width: usize,
    target: &mut [i8],
) {
    let Hwc { h, w, c } = geometry.input;
    fill(target, geometry.pad, c, geometry.flip as i8);
    let (above, y, tall) = clip(top, tall, h);
    let (before, x, wide) = clip(left, wide, w);
    let skip = above.wrapping_mul(width).wrapping_add(before);
    let source = input.get(geometry.input.offset(y, x)..).unwrap_or(&[]);
    let target = target.get_mut(skip.wrapping_mul(c)..).unwrap_or(&mut []);
    let pitches = [w.wrapping_mul(c), width.wrapping_mul(c), tall];
    copy_rows(source, pitches, wide.wrapping_mul(c), target);
}

/// Writes positions of `channels` values of padding, so that they are right once turned over by `flip`.
#[inline(always)]
fn fill(target: &mut [i8], pad: PadValue<'_>, channels: usize, flip: i8) {
    let (mut channel, values) = match pad {
        PadValue::Uniform(value) => return repeat(target, value ^ flip),
        PadValue::Channel(values) => (0_usize, values),
    };
    for target in target {
        // A loop that is not unrolled.
        core::hint::black_box(());
        *target = values.get(channel).copied().unwrap_or(0) ^ flip;
        channel = channel.wrapping_add(1);
        if channel >= channels {
            channel = 0;
        }
    }
}

/// Writes `value` to all of `target`.
#[inline(always)]
fn repeat(target: &mut [i8], value: i8) {
    #[cfg(all(target_arch = "arm", feature = "dsp"))]
    {
        let bytes = target.as_mut_ptr_range();
        // SAFETY: words are written to `target` for as long as eight bytes are left, then bytes, up to its end exactly. STR needs
        // no alignment on these cores. The registers that change are declared.
        unsafe {
            core::arch::asm!(
                "subs {words}, {words}, #8",
                "blo 3f",
                "2:",
                "str {value}, [{to}], #4",
                "str {value}, [{to}], #4",
                "subs {words}, {words}, #8",
                "bhs 2b",
                "3:",
                "cmp {to}, {end}",
                "beq 4f",
                "strb {value}, [{to}], #1",
                "b 3b",
                "4:",
                words = inout(reg) target.len() => _,
                to = inout(reg) bytes.start => _,
                end = in(reg) bytes.end,
                value = in(reg) u32::from(value as u8).wrapping_mul(0x0101_0101),
                options(nostack)
            );
        }
    }
    #[cfg(not(all(target_arch = "arm", feature = "dsp")))]
    target.fill(value);
}

/// Copies `len` bytes of each of `rows` rows, `pitch` apart in `source`, `run` apart in `stage`. Whether all of it can be
/// read and written; otherwise nothing is done.
#[inline(never)]
pub(super) fn copy_rows(
    source: &[i8],
    [pitch, run, rows]: [usize; 3],
    len: usize,
    stage: &mut [i8],
) -> bool {
    let last = rows.wrapping_sub(1);
    let read = pitch.wrapping_mul(last).wrapping_add(len);
    let written = run.wrapping_mul(last).wrapping_add(len);
    if len == 0 || rows == 0 || source.len() < read || stage.len() < written {
        return false;
    }
    #[cfg(all(target_arch = "arm", feature = "dsp"))]
    {
        // SAFETY: `rows` turns read and write `len` bytes each, which both slices have by the check above: first by
        // words, then by bytes, both of which meet their end exactly. LDR and STR need no alignment on these cores.
        // The registers that change are declared.
        unsafe {
            core::arch::asm!(
                "2:",
                "bics {end}, {len}, #3",
                "beq 4f",
                "add {end}, {end}, {from}",
                "3:",
                "ldr {a}, [{from}], #4",
                "cmp {from}, {end}",
                "str {a}, [{to}], #4",
                "bne 3b",
                "4:",
                "ands {end}, {len}, #3",
                "beq 6f",
                "add {end}, {end}, {from}",
                "5:",
                "ldrb {a}, [{from}], #1",
                "cmp {from}, {end}",
                "strb {a}, [{to}], #1",
                "bne 5b",
                "6:",
                "add {from}, {from}, {pitch}",
                "add {to}, {to}, {run}",
                "subs {rows}, {rows}, #1",
                "bne 2b",
                a = out(reg) _,
                end = out(reg) _,
                from = inout(reg) source.as_ptr() => _,
                to = inout(reg) stage.as_mut_ptr() => _,
                len = in(reg) len,
                // From the end of one row to the start of the next.
                pitch = in(reg) pitch.wrapping_sub(len),
                run = in(reg) run.wrapping_sub(len),
                rows = inout(reg) rows => _,
                options(nostack)
            );
        }
    }
    #[cfg(not(all(target_arch = "arm", feature = "dsp")))]
    for row in 0..rows {
        let source = source.iter().skip(row.wrapping_mul(pitch));
        let target = stage.iter_mut().skip(row.wrapping_mul(run));
        for (target, x) in target.zip(source).take(len) {
            *target = *x;
        }
    }
    true
}
