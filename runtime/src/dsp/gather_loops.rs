//! The inner loops of [`super::gather`]: patches from bytes to 16-bit lanes.

use super::dot::{GROUP, POSITIONS};
use super::gather::Stretch;
#[cfg(not(all(target_arch = "arm", feature = "dsp")))]
use super::lanes;
#[cfg(not(all(target_arch = "arm", feature = "dsp")))]
use super::stage::copy_rows;

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
pub(super) fn widen(
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
pub(super) fn widen(
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
