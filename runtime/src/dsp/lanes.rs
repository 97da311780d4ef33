//! Pairs of 16-bit lanes in a word, as `SXTB16` makes them and `SMLAD` multiplies them.

use super::super::shape::Element;

/// Bytes 0 and 2 of `word` as two `i16` lanes, low lane first.
#[inline(always)]
pub fn even_bytes(word: u32) -> u32 {
    #[cfg(all(target_arch = "arm", feature = "dsp"))]
    {
        let lanes;
        // SAFETY: SXTB16 reads one register and writes one; nothing else changes.
        unsafe {
            core::arch::asm!(
                "sxtb16 {}, {}", // instruction requires: dsp? See the crate's README, "Cores".
                lateout(reg) lanes,
                in(reg) word,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        lanes
    }
    #[cfg(not(all(target_arch = "arm", feature = "dsp")))]
    {
        lane(word).wrapping_add(lane(word >> 16) << 16)
    }
}

/// Bytes 1 and 3 of `word` as two `i16` lanes, low lane first.
#[inline(always)]
pub fn odd_bytes(word: u32) -> u32 {
    even_bytes(word.rotate_right(8))
}

/// The low byte of `word`, sign-extended to 16 bits.
#[cfg(not(all(target_arch = "arm", feature = "dsp")))]
#[inline(always)]
fn lane(word: u32) -> u32 {
    u32::from(i16::from(word as u8 as i8) as u16)
}

/// Both lanes of `a` times those of `b`, added to `acc`: `SMLAD`.
#[cfg(not(all(target_arch = "arm", feature = "dsp")))]
#[inline(always)]
pub fn multiply_add(a: u32, b: u32, acc: i32) -> i32 {
    let low = i32::from(a as u16 as i16).wrapping_mul(i32::from(b as u16 as i16));
    let high = ((a as i32) >> 16).wrapping_mul((b as i32) >> 16);
    acc.wrapping_add(low).wrapping_add(high)
}

/// Sums of the lanes: `SADD16`.
#[cfg(not(all(target_arch = "arm", feature = "dsp")))]
#[inline(always)]
pub fn add(a: u32, b: u32) -> u32 {
    let low = a.wrapping_add(b) & 0xffff;
    (a & 0xffff_0000).wrapping_add(b & 0xffff_0000) | low
}

/// Differences of the lanes: `SSUB16`.
#[cfg(not(all(target_arch = "arm", feature = "dsp")))]
#[inline(always)]
pub fn subtract(a: u32, b: u32) -> u32 {
    let low = a.wrapping_sub(b) & 0xffff;
    (a & 0xffff_0000).wrapping_sub(b & 0xffff_0000) | low
}

/// `value` in both lanes.
#[inline(always)]
pub fn both(value: i8) -> u32 {
    u32::from(i16::from(value) as u16).wrapping_mul(0x1_0001)
}

/// The values' bytes. Turned over by [`flip`] they are the quantized values.
#[inline(always)]
pub fn bytes<T: Element>(values: &[T]) -> &[i8] {
    // SAFETY: an `Element` is `i8` or `u8`, whose bit patterns are all `i8`s; `align_to` keeps to alignment and length.
    let (before, bytes, after) = unsafe { values.align_to::<i8>() };
    if before.is_empty() && after.is_empty() {
        bytes
    } else {
        &[]
    }
}

/// The bits that make a byte of `T` the quantized value, for four bytes in a word: the highest of a raw pixel.
#[inline(always)]
pub fn flip<T: Element>() -> u32 {
    u32::from(T::FLIP).wrapping_mul(0x0101_0101)
}

/// Copies as many words as both have bytes for.
#[inline(always)]
pub fn copy_words(source: &[i8], target: &mut [i8]) {
    let (from, to) = (source.len() / 4, target.len() / 4);
    let count = if from < to { from } else { to };
    #[cfg(all(target_arch = "arm", feature = "dsp"))]
    if count > 0 {
        // SAFETY: `count` turns read and write four bytes each, which both slices have; LDR and STR need no alignment
        // on these cores. The registers that change are declared.
        unsafe {
            core::arch::asm!(
                "2:",
                "ldr {a}, [{from}], #4",
                "cmp {from}, {end}",
                "str {a}, [{to}], #4",
                "bne 2b",
                a = out(reg) _,
                from = inout(reg) source.as_ptr() => _,
                to = inout(reg) target.as_mut_ptr() => _,
                end = in(reg) source.as_ptr().wrapping_add(count.wrapping_mul(4)),
                options(nostack)
            );
        }
    }
    #[cfg(not(all(target_arch = "arm", feature = "dsp")))]
    for (to, from) in target.iter_mut().zip(source).take(count.wrapping_mul(4)) {
        *to = *from;
    }
}

/// Widens four values at a time, turned over by `flip`: the lanes of 0 and 2 to the first of eight words, those of 1
/// and 3 to the fifth. Ends where either has no more: the last words of `target` may be missing.
#[inline(never)]
pub fn widen(source: &[i8], flip: u32, target: &mut [u32]) {
    let fours = source.len() / 4;
    let room = target.len().wrapping_add(3) / 8;
    let fours = if fours < room { fours } else { room };
    #[cfg(all(target_arch = "arm", feature = "dsp"))]
    if fours > 0 {
        // SAFETY: an odd four first, then two a turn, N fours are read of `source`, which has them, and written to words 0 and
        // 4 of eight each, the last one to word 8 · N − 4, which `target` has since its length is at least 8 · N − 3. LDR needs no alignment on
        // these cores; words of `target` are aligned. The registers that change are declared.
        unsafe {
            core::arch::asm!(
                "tst {fours}, #1",
                "beq 3f",
                "ldr {a}, [{from}], #4",
                "eor {a}, {a}, {flip}",
                "sxtb16 {b}, {a}",
                "sxtb16 {a}, {a}, ror #8",
                "str {b}, [{to}], #16",
                "str {a}, [{to}], #16",
                "b 4f",
                "3:",
                "ldr {a}, [{from}], #4",
                "ldr {c}, [{from}], #4",
                "eor {a}, {a}, {flip}",
                "eor {c}, {c}, {flip}",
                "sxtb16 {b}, {a}",
                "sxtb16 {a}, {a}, ror #8",
                "str {b}, [{to}], #16",
                "str {a}, [{to}], #16",
                "sxtb16 {b}, {c}",
                "sxtb16 {c}, {c}, ror #8",
                "str {b}, [{to}], #16",
                "str {c}, [{to}], #16",
                "4:",
                "cmp {from}, {end}",
                "bne 3b",
                a = out(reg) _,
                b = out(reg) _,
                c = out(reg) _,
                from = inout(reg) source.as_ptr() => _,
                to = inout(reg) target.as_mut_ptr() => _,
                end = in(reg) source.as_ptr().wrapping_add(fours.wrapping_mul(4)),
                fours = in(reg) fours,
                flip = in(reg) flip,
                options(nostack)
            );
        }
    }
    #[cfg(not(all(target_arch = "arm", feature = "dsp")))]
    {
        let (mut source, mut target) = (source, target);
        for _ in 0..fours {
            let Some((four, values)) = source.split_first_chunk::<4>() else {
                return;
            };
            let word = u32::from_le_bytes(four.map(|x| x as u8)) ^ flip;
            for (place, lanes) in [(0, even_bytes(word)), (4, odd_bytes(word))] {
                if let Some(place) = target.get_mut(place) {
                    *place = lanes;
                }
            }
            source = values;
            target = target.get_mut(8..).unwrap_or(&mut []);
        }
    }
}

/// The bytes of `words`.
#[inline(always)]
pub fn signed(words: &mut [u32]) -> &mut [i8] {
    // SAFETY: every bit pattern is a `u32` and an `i8`, which lies anywhere.
    let (_, bytes, _) = unsafe { words.align_to_mut::<i8>() };
    bytes
}

/// The first `count` words of `bytes`, and the bytes behind them; nothing where the bytes are too few or not aligned.
#[inline(always)]
pub fn words(bytes: &mut [i8], count: usize) -> (&mut [u32], &mut [i8]) {
    let (head, tail) = bytes
        .split_at_mut_checked(count.wrapping_mul(4))
        .unwrap_or((&mut [], &mut []));
    // SAFETY: every bit pattern is an `i8` and a `u32`, and `align_to_mut` keeps to alignment and length.
    let (before, words, _) = unsafe { head.align_to_mut::<u32>() };
    if before.is_empty() {
        (words, tail)
    } else {
        (&mut [], tail)
    }
}
