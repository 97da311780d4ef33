//! Cycles of a Cortex-M4 that never waits for memory.
//!
//! Each figure is from Arm's *Cortex-M4 Technical Reference Manual* (DDI 0439B): table 3-1 (instruction set summary) and
//! section 3.3.3 (load/store timings). What the manual gives as a range is one value here:
//!
//! | what | manual | here |
//! |---|---|---|
//! | data processing, `MUL`, `MLA`, `SMULL`, `SMLAD`, `SMMULR`, packing, saturation | 1 | 1 |
//! | `IT` (may be folded), an instruction skipped by it | 0 or 1 | 1 |
//! | one load; straight after another load whose result is not in its address | 2; 1 | 2; 1 |
//! | one store with an immediate offset | 1 | 1 |
//! | one store with a register offset; straight after a load, as above | 2; 1 | 2; 1 |
//! | a load or store whose address the data processing right before made | 1 more | 1 more |
//! | `LDM`, `STM`, `PUSH`, `POP`, `LDRD`, `STRD` of N words | 1 + N | 1 + N |
//! | a half word at an odd address, a word at an even one; a word at an odd one | 1; 2 more | 1; 2 more |
//! | `SDIV`, `UDIV` | 2 to 12 | 7 |
//! | branch not taken; taken | 1; 1 + P, P from 1 to 3 | 1; 3 |
//! | `TBB`, `TBH` | 3 + P | 5 |
//! | `VMLA` and its like; `VDIV`, `VSQRT`; loads and stores of N words | 3; 14; 1 + N | 3; 14; 1 + N |
//!
//! Where a span begins nothing is known of the instruction before it, so nothing is taken off nor added there.
//! No hardware was measured: use the figures to compare code on this same model.

use super::decode::{Access, decode};

/// Cycles that a taken branch needs to fill the pipeline again; the manual says 1 to 3.
pub(super) const REFILL: u64 = 2;

/// Of a span that runs from start to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    pub instructions: u64,
    /// Without the refill of its last instruction.
    pub cycles: u64,
    /// Whether its last instruction is a branch.
    pub branches: bool,
}

/// Cost of the Thumb code `bytes`.
pub(super) fn cost(bytes: &[u8]) -> Cost {
    let mut cost = Cost { instructions: 0, cycles: 0, branches: false };
    let half = |at: usize| bytes.get(at..at + 2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]));
    let mut at = 0;
    let mut before = None;
    while at + 1 < bytes.len() {
        let first = half(at);
        let wide = first >> 11 >= 0x1d;
        let now = decode(first, wide.then(|| half(at + 2)));
        let mut cycles = now.cycles;
        if let (Some((access, written)), Access::Load | Access::Store) = (before, now.access) {
            let depends = now.address & written != 0;
            match access {
                Access::Load if !depends => cycles = cycles.saturating_sub(1).max(1),
                Access::Data if depends => cycles += 1,
                Access::Load | Access::Store | Access::Data | Access::Other => {}
            }
        }
        cost.instructions += 1;
        cost.cycles += cycles;
        cost.branches = now.branches;
        before = Some((now.access, now.written));
        at += if wide { 4 } else { 2 };
    }
    cost
}

#[cfg(test)]
mod tests {
    use super::cost;

    /// Instructions, cycles, whether it ends in a branch, of code given as half words.
    fn of(halves: &[u16]) -> (u64, u64, bool) {
        let bytes: Vec<u8> = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
        let cost = cost(&bytes);
        (cost.instructions, cost.cycles, cost.branches)
    }

    /// The examples of the manual's section on load and store timings.
    #[test]
    fn loads_and_stores_in_a_row() {
        assert_eq!(of(&[0x6808, 0x6811]), (2, 3, false), "ldr r0,[r1]; ldr r1,[r2]");
        assert_eq!(of(&[0x5888, 0x6158]), (2, 3, false), "ldr r0,[r1,r2]; str r0,[r3,#20]");
        assert_eq!(of(&[0x5888, 0x5099]), (2, 3, false), "ldr r0,[r1,r2]; str r1,[r3,r2]");
        assert_eq!(of(&[0x5948, 0x6811, 0x685a]), (3, 4, false), "three loads");
        assert_eq!(of(&[0x6808, 0x6801]), (2, 4, false), "the address is what was loaded");
        assert_eq!(of(&[0x1840, 0x6801]), (2, 4, false), "adds r0,r0,r1; ldr r1,[r0]");
        assert_eq!(of(&[0x6008, 0x6811]), (2, 3, false), "str r0,[r1]; ldr r1,[r2]");
    }

    #[test]
    fn one_of_each_kind() {
        for (code, cycles, what) in [
            (&[0x4348][..], 1, "muls r0, r1"),
            (&[0xfb21, 0x3002], 1, "smlad r0, r1, r2, r3"),
            (&[0xfb51, 0xf012], 1, "smmulr r0, r1, r2"),
            (&[0xfb81, 0x0102], 1, "smull r0, r1, r1, r2"),
            (&[0xfb91, 0xf0f2], 7, "sdiv r0, r1, r2"),
            (&[0xfa2f, 0xf081], 1, "sxtb16 r0, r1"),
            (&[0xf301, 0x0007], 1, "ssat r0, #8, r1"),
            (&[0xb5f0], 6, "push {r4-r7, lr}"),
            (&[0xe8b1, 0x00fc], 7, "ldm r1!, {r2-r7}"),
            (&[0xe9d1, 0x2300], 3, "ldrd r2, r3, [r1]"),
            (&[0xf851, 0x0b04], 2, "ldr r0, [r1], #4"),
            (&[0xf841, 0x0022], 2, "str r0, [r1, r2, lsl #2]"),
            (&[0xf8c1, 0x0100], 1, "str r0, [r1, #256]"),
            (&[0xed2d, 0x8b10], 17, "vpush {d8-d15}"),
            (&[0xee00, 0x0a81], 3, "vmla.f32 s0, s1, s2"),
            (&[0xee80, 0x0a81], 14, "vdiv.f32 s0, s1, s2"),
            (&[0xbf18], 1, "it ne"),
        ] {
            assert_eq!(of(code), (1, cycles, false), "{what}");
        }
        for (code, cycles, what) in [
            (&[0xd1fd][..], 1, "bne"),
            (&[0xb108], 1, "cbz r0"),
            (&[0xf7ff, 0xfffe], 1, "bl"),
            (&[0x4770], 1, "bx lr"),
            (&[0xbdf0], 6, "pop {r4-r7, pc}"),
            (&[0xe8bd, 0x83f0], 8, "pop.w {r4-r9, pc}"),
            (&[0xe8df, 0xf001], 3, "tbb [pc, r1]"),
            (&[0xf47f, 0xaffe], 1, "bne.w"),
        ] {
            assert_eq!(of(code), (1, cycles, true), "{what}");
        }
    }
}
