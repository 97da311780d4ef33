//! Input of [`super::lines`]: four channels of some lines, spread to words of two neighbours.

use super::line::PAIR;

/// Which part of the input goes where.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    /// Bytes from one value of a line to the next.
    pub step: usize,
    /// Bytes from one line to the next.
    pub apart: usize,
    /// Values of a line before the first one.
    pub before: usize,
    /// Values of a line.
    pub inside: usize,
    /// Lines before the first one.
    pub above: usize,
    /// Lines.
    pub rows: usize,
}

/// What the loops work on; those marked with a star move on.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[repr(C)]
struct Arguments {
    /// 0*: The line's first value.
    source: *const i8,
    /// 4*: Its word.
    target: *mut u32,
    /// 8: Bytes from one value of a line to the next.
    step: usize,
    /// 12: Pairs of values.
    pairs: usize,
    /// 16: 1 if a value goes alone before the pairs, into a word's high half.
    lead: usize,
    /// 20: 1 if a value goes alone after the pairs.
    trail: usize,
    /// 24: Bytes from one line to the next.
    apart: usize,
    /// 28*: Lines left.
    rows: usize,
}

/// A value of four channels to a half of four words, `at` bytes from r1: from r0, which moves on.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
macro_rules! single {
    ($a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            "ldr r4, [r0]\n",
            "add r0, r0, r2\n",
            "sxtb16 r5, r4\n",
            "sxtb16 r4, r4, ror #8\n",
            "strh r5, [r1, #",
            $a,
            "]\n",
            "strh r4, [r1, #",
            $b,
            "]\n",
            "lsrs r5, r5, #16\n",
            "lsrs r4, r4, #16\n",
            "strh r5, [r1, #",
            $c,
            "]\n",
            "strh r4, [r1, #",
            $d,
            "]",
        )
    };
}

/// Two values of four channels to four words at r1, which moves on: from r0, which moves on.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
macro_rules! pair {
    () => {
        "ldr r4, [r0]
         ldr r5, [r0, r2]
         add r0, r0, r2, lsl #1
         pkhbt r8, r4, r5, lsl #16
         pkhtb r4, r5, r4, asr #16
         sxtb16 r9, r8
         sxtb16 r8, r8, ror #8
         sxtb16 r5, r4
         sxtb16 r4, r4, ror #8
         str r8, [r1, #4]
         str r5, [r1, #8]
         str r4, [r1, #12]
         str r9, [r1], #160"
    };
}

impl Spread {
    /// Writes the lines, from the start of `source` on, to `planes`. Nothing is done where they are not all there.
    #[inline(always)]
    pub fn run(&self, source: &[i8], planes: &mut [u32]) {
        let Self {
            step,
            apart,
            before,
            inside,
            above,
            rows,
        } = *self;
        let start = (before / 2).wrapping_mul(PAIR);
        let start = start.wrapping_add(above.wrapping_mul(4));
        let target = planes.get_mut(start..).unwrap_or(&mut []);
        let read = apart
            .wrapping_mul(rows.wrapping_sub(1))
            .wrapping_add(step.wrapping_mul(inside.wrapping_sub(1)))
            .wrapping_add(4);
        let last = (before % 2).wrapping_add(inside).wrapping_sub(1) / 2;
        let written = last.wrapping_mul(PAIR).wrapping_add(rows.wrapping_mul(4));
        if inside == 0 || rows == 0 || source.len() < read || target.len() < written {
            return;
        }
        #[cfg(all(target_arch = "arm", feature = "dsp"))]
        {
            let lead = before % 2;
            let mut arguments = Arguments {
                source: source.as_ptr(),
                target: target.as_mut_ptr(),
                step,
                pairs: inside.wrapping_sub(lead) / 2,
                lead,
                trail: inside.wrapping_sub(lead) % 2,
                apart,
                rows,
            };
            // SAFETY: by the checks above.
            unsafe { spread(&mut arguments) };
        }
        #[cfg(not(all(target_arch = "arm", feature = "dsp")))]
        for (row, x) in (0..rows).flat_map(|row| (0..inside).map(move |x| (row, x))) {
            let column = (before % 2).wrapping_add(x);
            let place = (column / 2)
                .wrapping_mul(PAIR)
                .wrapping_add(row.wrapping_mul(4));
            let from = row.wrapping_mul(apart).wrapping_add(x.wrapping_mul(step));
            let words = target.iter_mut().skip(place);
            for (word, &value) in words.zip(source.get(from..).unwrap_or(&[])).take(4) {
                let value = u32::from(i16::from(value) as u16);
                *word = if column % 2 == 0 {
                    *word & 0xffff_0000 | value
                } else {
                    *word & 0xffff | value << 16
                };
            }
        }
    }
}

/// All lines of `arguments`.
///
/// # Safety
/// At `source` four bytes must be readable at each value, `step` bytes apart, of each line, `apart` bytes apart; at `target`,
/// which is aligned, four words must be writable for each value or pair, 160 bytes apart, of each line, 16 bytes apart.
/// There is a line, and in it a value.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[inline(never)]
unsafe fn spread(arguments: &mut Arguments) {
    // SAFETY: by the contract. Per line a value alone, pairs by a count, and a value alone are read and written, each in
    // its place; LDR needs no alignment on these cores. All registers that change are declared.
    unsafe {
        core::arch::asm!(
            "2:",
            "ldr r0, [lr]",
            "ldr r1, [lr, #4]",
            "ldr r3, [lr, #12]",
            "ldr r4, [lr, #16]",
            "cbz r4, 3f",
            single!("2", "6", "10", "14"),
            "adds r1, #160",
            "3:",
            "cmp r3, #0",
            "beq 5f",
            // Pairs two a turn; an odd one makes a turn begin in its middle.
            "lsrs r4, r3, #1",
            "bcc 4f",
            "adds r3, #1",
            "b 7f",
            "4:",
            pair!(),
            "7:",
            pair!(),
            "subs r3, #2",
            "bne 4b",
            "5:",
            "ldr r4, [lr, #20]",
            "cbz r4, 6f",
            single!("0", "4", "8", "12"),
            "6:",
            "ldr r3, [lr, #24]",
            "ldr r0, [lr]",
            "ldr r1, [lr, #4]",
            "ldr r4, [lr, #28]",
            "add r0, r0, r3",
            "adds r1, #16",
            "subs r4, #1",
            "strd r0, r1, [lr]",
            "str r4, [lr, #28]",
            "bne 2b",
            in("lr") arguments,
            in("r2") arguments.step,
            out("r0") _,
            out("r1") _,
            out("r3") _,
            out("r4") _,
            out("r5") _,
            out("r8") _,
            out("r9") _,
            options(nostack)
        );
    }
}
