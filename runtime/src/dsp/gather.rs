//! Patches of the input as [`super::dot`] wants them: four side by side, widened to 16 bits.

use super::super::pad::PadValue;
use super::super::shape::{clip, take_mut, Hwc, Window};
use super::conv::Conv;
use super::dot::{GROUP, POSITIONS};
#[cfg(not(all(target_arch = "arm", feature = "dsp")))]
use super::lanes;

/// What patches are made of.
#[derive(Debug, Clone, Copy)]
pub struct Geometry<'a> {
    input: Hwc,
    window: Window,
    pad: PadValue<'a>,
    /// Bits of the input's bytes that are turned over.
    flip: u32,
    /// The first output column whose window's columns lie side by side inside the input, and the one past the last.
    inside: [usize; 2],
    /// Bytes of a row of the window.
    run: usize,
    /// Bytes from one row of the window to the next.
    pitch: usize,
    /// Bytes from one position to the next.
    step: usize,
}

impl<'a> Geometry<'a> {
    /// Of `layer`, with an input of this shape and padding, which has its bits in `flip` turned over.
    #[inline(never)]
    pub fn new(layer: &Conv<'a>, input: Hwc, pad: [usize; 2], flip: u32) -> Self {
        let window = Window {
            pad,
            ..layer.window
        };
        let Window {
            kernel: [_, kw],
            stride: [_, right],
            dilation: [down, apart],
            pad: [_, left],
        } = window;
        let right = right.max(1);
        let room = input.w.wrapping_add(left).wrapping_sub(kw);
        let whole = (apart == 1 || kw == 1) && room <= input.w.wrapping_add(left);
        let first = left.wrapping_add(right).wrapping_sub(1) / right;
        let end = (room / right).wrapping_add(1).min(layer.output.w);
        Self {
            input,
            window,
            pad: layer.pad,
            flip,
            inside: if whole { [first, end] } else { [0; 2] },
            run: kw.wrapping_mul(input.c),
            pitch: input.w.wrapping_mul(input.c).wrapping_mul(down),
            step: right.wrapping_mul(input.c),
        }
    }

    /// Values of a patch.
    pub fn values(&self) -> usize {
        self.run.wrapping_mul(self.window.kernel[0])
    }
}

/// Writes patches from output position `[y, x]` on to `target`, each to every fourth word: at most `wanted` of one row,
/// one at least. `stage` has room for one patch as bytes, filled up to whole words. Returns how many.
#[inline(never)]
pub fn gather(
    geometry: &Geometry<'_>,
    input: &[i8],
    [y, x]: [usize; 2],
    wanted: usize,
    stage: &mut [i8],
    target: &mut [u32],
) -> usize {
    let Geometry {
        run, pitch, step, ..
    } = *geometry;
    let [rows, _] = geometry.window.kernel;
    let h = geometry.input.h;
    let [top, left] = geometry.window.origin(y, x);
    let between = rows.wrapping_sub(1);
    let tall = between.wrapping_mul(geometry.window.dilation[0]);
    let [first, end] = geometry.inside;
    // Rows are copied by whole words: what is too much is overwritten by the next row, or meets weights of zero.
    let len = run.wrapping_add(3) & !3;
    let fours = geometry.values().wrapping_add(3) / 4;
    let bytes = fours.wrapping_mul(4);
    if stage.len() < bytes.wrapping_add(4) || bytes == 0 {
        return wanted;
    }
    let mut count = wanted.min(end.wrapping_sub(x));
    let reach = step
        .wrapping_mul(count.wrapping_sub(1))
        .wrapping_add(pitch.wrapping_mul(between))
        .wrapping_add(len);
    let start = geometry.input.offset(top, left);
    let mut source = input.get(start..).unwrap_or(&[]);
    let inside =
        top < h && tall < h.wrapping_sub(top) && x >= first && x < end && source.len() >= reach;
    let mut stretch = Stretch {
        step,
        pitch,
        run,
        rows,
        flip: geometry.flip,
    };
    if !inside {
        geometry.border(input, [top, left], stage);
        count = 1;
        source = &[];
        stretch.rows = 0;
    }
    let room = fours.wrapping_mul(GROUP).wrapping_add(count);
    if target.len().wrapping_add(POSITIONS) >= room {
        widen(&stretch, source, count, bytes, stage, target);
    }
    count
}

/// Some patches of the input, inside it.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    /// Bytes from one patch to the next.
    step: usize,
    /// Bytes from one row of a patch to the next.
    pitch: usize,
    /// Bytes of a row.
    run: usize,
    /// Rows; none where the stage already has the patch.
    rows: usize,
    /// Bits that are turned over.
    flip: u32,
}

/// What the loops work on; those marked with a star move on.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[repr(C)]
struct Arguments {
    /// 0*: The next patch's first row.
    source: *const i8,
    /// 4*: Its first word.
    target: *mut u32,
    /// 8: A patch as bytes.
    stage: *mut i8,
    /// 12: Bytes of a row that are read.
    len: usize,
    /// 16: Bytes from the end of one row to the start of the next.
    next: usize,
    /// 20: The same in the stage.
    next_staged: usize,
    /// 24: Rows.
    rows: usize,
    /// 28: Bits that are turned over.
    flip: u32,
    /// 32: Bytes of a patch, in whole words.
    bytes: usize,
    /// 36: Bytes from one patch to the next.
    step: usize,
    /// 40*: Patches left.
    left: usize,
    /// 44: Whether rows go by way of the stage.
    staged: usize,
}

/// Widens `count` patches of `bytes` bytes: of `stretch`, by way of the stage where rows are no whole words; or the one
/// in the stage. All of which the caller has checked.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[inline(always)]
fn widen(
    stretch: &Stretch,
    source: &[i8],
    count: usize,
    bytes: usize,
    stage: &mut [i8],
    target: &mut [u32],
) {
    let Stretch {
        step,
        pitch,
        run,
        rows,
        flip,
    } = *stretch;
    let len = run.wrapping_add(3) & !3;
    let stage = stage.as_mut_ptr();
    let mut arguments = Arguments {
        source: source.as_ptr(),
        target: target.as_mut_ptr(),
        stage,
        len,
        next: pitch.wrapping_sub(len),
        next_staged: run.wrapping_sub(len),
        rows,
        flip,
        bytes,
        step,
        left: count,
        staged: usize::from(len != run),
    };
    if rows == 0 {
        arguments.source = stage;
        arguments.len = bytes;
        arguments.rows = 1;
        arguments.staged = 0;
    }
    // SAFETY: by the caller's checks: `count` patches are there, each of `rows` rows of `len` bytes; the stage holds the
    // bytes of one, and a word more; and the last word that is written, 2 · bytes − 4 after the last patch's first, is
    // in `target`.
    unsafe { patches(&mut arguments) };
}

/// All patches of `arguments`.
///
/// # Safety
/// At `source` there must be `left` patches, `step` bytes apart, each of `rows` rows of `len` bytes, a multiple of 4, with
/// `next` bytes between them. Either these are all `bytes` of a patch and go to `target`, or `staged` is not 0 and they go to
/// `stage` first, with `next_staged` bytes between them, which then has `bytes`. `target` is aligned and has words 0 and 4
/// of eight for each four bytes, each patch's a word after the one before. None of the counts is 0.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[inline(never)]
unsafe fn patches(arguments: &mut Arguments) {
    // SAFETY: by the contract. Rows are read, and the stage is written and read, by whole words that meet their end
    // exactly: an odd word first, then two at a time. LDR and STR need no alignment on these cores. All registers that
    // change are declared.
    unsafe {
        core::arch::asm!(
            "ldr r5, [lr, #12]",
            "ldr r8, [lr, #16]",
            "ldr r9, [lr, #20]",
            "ldr r11, [lr, #28]",
            // A patch.
            "2:",
            "ldr r0, [lr]",
            "ldr r12, [lr, #4]",
            "ldr r10, [lr, #24]",
            "ldr r1, [lr, #8]",
            "ldr r4, [lr, #44]",
            "cbz r4, 5f",
            // Its rows to the stage.
            "3:",
            "add r2, r0, r5",
            "4:",
            "ldr r3, [r0], #4",
            "cmp r0, r2",
            "str r3, [r1], #4",
            "bne 4b",
            "add r0, r0, r8",
            "add r1, r1, r9",
            "subs r10, r10, #1",
            "bne 3b",
            // The stage is one row.
            "ldr r0, [lr, #8]",
            "ldr r2, [lr, #32]",
            "mov r10, #1",
            "lsls r1, r2, #29",
            "add r2, r2, r0",
            "b 6f",
            // A row.
            "5:",
            "add r2, r0, r5",
            "lsls r1, r5, #29",
            "6:",
            "bpl 7f",
            "ldr r3, [r0], #4",
            "cmp r0, r2",
            "eor r3, r3, r11",
            "sxtb16 r4, r3",
            "sxtb16 r3, r3, ror #8",
            "str r4, [r12], #16",
            "str r3, [r12], #16",
            "beq 8f",
            "7:",
            "ldr r3, [r0], #4",
            "ldr r1, [r0], #4",
            "eor r3, r3, r11",
            "eor r1, r1, r11",
            "sxtb16 r4, r3",
            "sxtb16 r3, r3, ror #8",
            "str r4, [r12], #16",
            "sxtb16 r4, r1",
            "str r3, [r12], #16",
            "sxtb16 r1, r1, ror #8",
            "str r4, [r12], #16",
            "str r1, [r12], #16",
            "cmp r0, r2",
            "bne 7b",
            "8:",
            "add r0, r0, r8",
            "subs r10, r10, #1",
            "bne 5b",
            "ldr r0, [lr]",
            "ldr r1, [lr, #36]",
            "ldr r2, [lr, #4]",
            "ldr r3, [lr, #40]",
            "add r0, r0, r1",
            "adds r2, #4",
            "subs r3, #1",
            "str r0, [lr]",
            "str r2, [lr, #4]",
            "str r3, [lr, #40]",
            "bne 2b",
            in("lr") arguments,
            out("r0") _,
            out("r1") _,
            out("r2") _,
            out("r3") _,
            out("r4") _,
            out("r5") _,
            out("r8") _,
            out("r9") _,
            out("r10") _,
            out("r11") _,
            out("r12") _,
            options(nostack)
        );
    }
}

/// The same on other processors.
#[cfg(not(all(target_arch = "arm", feature = "dsp")))]
fn widen(
    stretch: &Stretch,
    source: &[i8],
    count: usize,
    bytes: usize,
    stage: &mut [i8],
    target: &mut [u32],
) {
    let mut start = 0_usize;
    for position in 0..count {
        let source = source.get(start..).unwrap_or(&[]);
        let rows = [stretch.pitch, stretch.run, stretch.rows];
        if stretch.rows > 0 {
            copy_rows(source, rows, stretch.run, stage);
        }
        let patch = stage.get(..bytes).unwrap_or(&[]);
        let target = target.get_mut(position..).unwrap_or(&mut []);
        lanes::widen(patch, stretch.flip, target);
        start = start.wrapping_add(stretch.step);
    }
}

impl Geometry<'_> {
    /// Writes the patch at `[top, left]`, which may leave the input, to `stage`.
    fn border(&self, input: &[i8], [top, left]: [usize; 2], stage: &mut [i8]) {
        let [kh, kw] = self.window.kernel;
        let [down, right] = self.window.dilation;
        if down == 1 && right == 1 {
            self.paste(input, [top, left], [kh, kw], kw, stage);
            return;
        }
        // One by one; what is beyond the patch meets weights of zero.
        let [mut y, mut x] = [top, left];
        let mut column = 0_usize;
        let mut rest = stage;
        loop {
            let tap = take_mut(&mut rest, self.input.c);
            if tap.is_empty() {
                return;
            }
            self.paste(input, [y, x], [1, 1], 1, tap);
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
        &self,
        input: &[i8],
        [top, left]: [usize; 2],
        [tall, wide]: [usize; 2],
        width: usize,
        target: &mut [i8],
    ) {
        let Hwc { h, w, c } = self.input;
        fill(target, self.pad, c, self.flip as i8);
        let (above, y, tall) = clip(top, tall, h);
        let (before, x, wide) = clip(left, wide, w);
        let skip = above.wrapping_mul(width).wrapping_add(before);
        let source = input.get(self.input.offset(y, x)..).unwrap_or(&[]);
        let target = target.get_mut(skip.wrapping_mul(c)..).unwrap_or(&mut []);
        let pitches = [w.wrapping_mul(c), width.wrapping_mul(c), tall];
        copy_rows(source, pitches, wide.wrapping_mul(c), target);
    }
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
fn copy_rows(source: &[i8], [pitch, run, rows]: [usize; 3], len: usize, stage: &mut [i8]) -> bool {
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

/// Widens four positions of `values` bytes each, a multiple of 4, one behind the other in `source`, side by side. Nothing
/// is done where they are not all there.
#[inline(never)]
pub fn widen_positions(source: &[i8], values: usize, target: &mut [u32]) {
    if values % 4 != 0
        || values == 0
        || source.len() < values.wrapping_mul(POSITIONS)
        || target.len() < values.wrapping_mul(GROUP / 4)
    {
        return;
    }
    #[cfg(all(target_arch = "arm", feature = "dsp"))]
    {
        // SAFETY: `values / 4` turns read a word of each position, which `source` has by the check above, and write eight
        // words of `target` each, which has them. LDR needs no alignment on these cores; words of `target` are aligned.
        // The registers that change are declared.
        unsafe {
            core::arch::asm!(
                "2:",
                "ldr {a}, [{from}], #4",
                "ldr {b}, [{from}, {next}]",
                "ldr {c}, [{third}], #4",
                "ldr {d}, [{third}, {next}]",
                "sxtb16 {e}, {a}",
                "sxtb16 {a}, {a}, ror #8",
                "str {e}, [{to}], #4",
                "sxtb16 {e}, {b}",
                "sxtb16 {b}, {b}, ror #8",
                "str {e}, [{to}], #4",
                "sxtb16 {e}, {c}",
                "sxtb16 {c}, {c}, ror #8",
                "str {e}, [{to}], #4",
                "sxtb16 {e}, {d}",
                "sxtb16 {d}, {d}, ror #8",
                "str {e}, [{to}], #4",
                "str {a}, [{to}], #4",
                "str {b}, [{to}], #4",
                "str {c}, [{to}], #4",
                "str {d}, [{to}], #4",
                "cmp {from}, {end}",
                "bne 2b",
                a = out(reg) _,
                b = out(reg) _,
                c = out(reg) _,
                d = out(reg) _,
                e = out(reg) _,
                from = inout(reg) source.as_ptr() => _,
                third = inout(reg) source.as_ptr().wrapping_add(values.wrapping_mul(2)) => _,
                to = inout(reg) target.as_mut_ptr() => _,
                // From the next word to the position behind.
                next = in(reg) values.wrapping_sub(4),
                end = in(reg) source.as_ptr().wrapping_add(values),
                options(nostack)
            );
        }
    }
    #[cfg(not(all(target_arch = "arm", feature = "dsp")))]
    for position in 0..POSITIONS {
        let start = position.wrapping_mul(values);
        let one = source.get(start..start.wrapping_add(values)).unwrap_or(&[]);
        lanes::widen(one, 0, target.get_mut(position..).unwrap_or(&mut []));
    }
}
