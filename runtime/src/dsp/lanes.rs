//! Pairs of 16-bit lanes in a word, as `SXTB16` makes them and `SMLAD` multiplies them.

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

/// `value` in both lanes.
#[inline(always)]
pub fn both(value: i8) -> u32 {
    u32::from(i16::from(value) as u16).wrapping_mul(0x1_0001)
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
