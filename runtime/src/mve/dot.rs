//! Two patches against all filters, four filters at a time: the inner loops of convolutions.

use super::super::requant::Requant;
use super::super::shape::takes_pitch;

/// Values of a vector register: the length of patches and filters is a multiple of it.
pub const VECTOR: usize = 16;

/// Filters worked on at once; their weights lie together.
pub const FILTERS: usize = 4;

/// Patches worked on at once.
pub const PATCHES: usize = 2;

/// Filters and what follows their sums.
#[derive(Debug, Clone, Copy)]
pub struct Filters<'a> {
    /// `[O / 4][values / 16][4][16]`, four values in a word, the first in the low byte; zeros fill up.
    pub weights: &'a [i32],
    /// `[O]`.
    pub bias: &'a [i32],
    /// Way back to `i8`.
    pub requant: Requant<'a>,
    /// Bytes from a position's outputs to the next one's.
    pub pitch: usize,
}

/// `out[p · pitch + o] = requant(bias[o] + Σ weights[o] · patch p)`: one output per filter for the first patch, and for the
/// second if `out` has room.
///
/// Where lengths do not match, nothing is computed.
#[inline(never)]
pub fn dot(patches: [&[i8]; PATCHES], filters: &Filters<'_>, out: &mut [i8]) {
    let (values, channels) = (patches[0].len(), filters.bias.len());
    let groups = channels.wrapping_add(FILTERS - 1) / FILTERS;
    let weights = values.checked_mul(groups);
    let fits = values > 0
        && values % VECTOR == 0
        && patches[1].len() == values
        && channels > 0
        && filters.requant.multipliers.len() >= channels
        && out.len() >= channels
        && takes_pitch(filters.pitch, channels)
        // A word holds four weights, and a group four filters.
        && weights.is_some_and(|needed| needed <= filters.weights.len());
    if fits {
        run(patches, filters, out);
    }
}

/// What the loops need beside pointers in registers; those marked with a star move on.
#[cfg(all(target_arch = "arm", feature = "mve"))]
#[repr(C)]
struct Arguments {
    /// 0: First weight.
    weights: *const i32,
    /// 4: The patches.
    patches: [*const i8; PATCHES],
    /// 12: Bytes of a patch.
    values: usize,
    /// 16*: Bias of the next filter.
    bias: *const i32,
    /// 20*: Multiplier of the next filter.
    multipliers: *const i32,
    /// 24*: Outputs of the next filter.
    out: [*mut i8; PATCHES],
    /// 32*: Filters left.
    channels: usize,
    /// 36: Left shift.
    shift: u32,
    /// 40: Zero point.
    zero_point: i32,
    /// 44: Smallest output.
    min: i32,
    /// 48: Largest output.
    max: i32,
}

/// The vectors of four filters, r1 on, times those of the patches, q0 and q1.
#[cfg(all(target_arch = "arm", feature = "mve"))]
#[inline(always)]
fn run(patches: [&[i8]; PATCHES], filters: &Filters<'_>, out: &mut [i8]) {
    let requant = &filters.requant;
    let [first, second] = patches;
    let (second, skip) = if out.len() >= filters.pitch.wrapping_add(filters.bias.len()) {
        (second, filters.pitch)
    } else {
        (first, 0)
    };
    let outputs = [out.as_mut_ptr(), out.as_mut_ptr().wrapping_add(skip)];
    let mut arguments = Arguments {
        weights: filters.weights.as_ptr(),
        patches: [first.as_ptr(), second.as_ptr()],
        values: first.len(),
        bias: filters.bias.as_ptr(),
        multipliers: requant.multipliers.as_ptr(),
        out: outputs,
        channels: filters.bias.len(),
        shift: requant.shift & 31,
        zero_point: requant.zero_point,
        min: requant.min,
        max: requant.max,
    };
    // SAFETY: by the caller's checks, with V values, a multiple of 16, and O filters: the outer loop runs ⌈O / 4⌉ times
    // and reads 4 · V bytes of weights each, which are there in all; the inner loop runs V / 16 times and reads V bytes
    // of both patches. Biases, multipliers and outputs are read and written four at a time under the predicate that VCTP
    // makes of the number of filters left, so that nothing beyond O is touched; `out` has O bytes, and O more from `pitch` on where the second patch's lie there; where not, the second
    // patch is the first, whose outputs are written twice. Tables
    // are aligned to words, being of i32. r6 and r7, which the compiler keeps for itself, are saved on the stack; all
    // other registers that change are declared.
    unsafe {
        core::arch::asm!(
            "push {{r6, r7}}",
            "mov r11, r0",
            "ldr r2, [r11, #44]",
            "ldr r3, [r11, #48]",
            "vdup.32 q4, r2",
            "vdup.32 q5, r3",
            "ldr r1, [r11]",
            // Four filters.
            "2:",
            "ldrd r3, r5, [r11, #4]",
            "ldr r7, [r11, #12]",
            "add r7, r7, r3",
            "movs r0, #0",
            "movs r2, #0",
            "movs r4, #0",
            "movs r6, #0",
            "mov r8, #0",
            "mov r10, #0",
            "mov r12, #0",
            "mov lr, #0",
            "3:",
            "vldrb.u8 q0, [r3], #16",
            "vldrb.u8 q2, [r1], #16",
            "vmladava.s8 r0, q2, q0",
            "vldrb.u8 q1, [r5], #16",
            "vmladava.s8 r8, q2, q1",
            "vldrb.u8 q3, [r1], #16",
            "vmladava.s8 r2, q3, q0",
            "vldrb.u8 q2, [r1], #16",
            "vmladava.s8 r10, q3, q1",
            "vldrb.u8 q3, [r1], #16",
            "vmladava.s8 r4, q2, q0",
            "vmladava.s8 r12, q2, q1",
            "vmladava.s8 r6, q3, q0",
            "vmladava.s8 lr, q3, q1",
            "cmp r3, r7",
            "bne 3b",
            // Back to i8.
            "vmov q0[2], q0[0], r0, r4",
            "vmov q0[3], q0[1], r2, r6",
            "vmov q1[2], q1[0], r8, r12",
            "vmov q1[3], q1[1], r10, lr",
            "ldr r0, [r11, #32]",
            "ldrd r2, r4, [r11, #16]",
            "vctp.32 r0",
            "vpstt",
            "vldrwt.u32 q2, [r2], #16",
            "vldrwt.u32 q3, [r4], #16",
            "strd r2, r4, [r11, #16]",
            "ldrd r6, r8, [r11, #36]",
            "vadd.i32 q0, q0, q2",
            "vadd.i32 q1, q1, q2",
            "vshl.s32 q0, r6",
            "vshl.s32 q1, r6",
            "vrmulh.s32 q0, q0, q3",
            "vrmulh.s32 q1, q1, q3",
            "vadd.i32 q0, q0, r8",
            "vadd.i32 q1, q1, r8",
            "vmax.s32 q0, q0, q4",
            "vmax.s32 q1, q1, q4",
            "vmin.s32 q0, q0, q5",
            "vmin.s32 q1, q1, q5",
            "ldrd r2, r4, [r11, #24]",
            "vpstt",
            "vstrbt.32 q0, [r2], #4",
            "vstrbt.32 q1, [r4], #4",
            "strd r2, r4, [r11, #24]",
            "subs r0, r0, #4",
            "str r0, [r11, #32]",
            "bgt 2b",
            "pop {{r6, r7}}",
            inout("r0") &raw mut arguments => _,
            out("r1") _, out("r2") _, out("r3") _, out("r4") _, out("r5") _, out("r8") _, out("r9") _,
            out("r10") _, out("r11") _, out("r12") _, out("lr") _,
            out("d0") _, out("d1") _, out("d2") _, out("d3") _, out("d4") _, out("d5") _, out("d6") _, out("d7") _,
            out("d8") _, out("d9") _, out("d10") _, out("d11") _,
        );
    }
}

/// The same, portable.
#[cfg(not(all(target_arch = "arm", feature = "mve")))]
fn run(patches: [&[i8]; PATCHES], filters: &Filters<'_>, out: &mut [i8]) {
    use super::super::requant::requantize;
    use super::super::shape::{take, take_pixel};
    /// Words of a vector.
    const WORDS: usize = VECTOR / 4;
    let words = (patches[0].len() / VECTOR).wrapping_mul(WORDS * FILTERS);
    let mut rest = out;
    for patch in patches {
        let out = take_pixel(&mut rest, filters.pitch, filters.bias.len());
        let mut weights = filters.weights;
        let (mut group, mut filter) = (take(&mut weights, words), 0);
        let tables = filters.bias.iter().zip(filters.requant.multipliers);
        for (out, (&bias, &multiplier)) in out.iter_mut().zip(tables) {
            if filter == FILTERS {
                (group, filter) = (take(&mut weights, words), 0);
            }
            let mut acc = bias;
            let (mut values, mut rest) = (patch, group);
            while let Some((vector, next)) = values.split_first_chunk::<VECTOR>() {
                let vectors = take(&mut rest, WORDS * FILTERS);
                let filter = vectors.get(filter.wrapping_mul(WORDS)..).unwrap_or(&[]);
                for (values, word) in vector.chunks_exact(4).zip(filter) {
                    for (&x, w) in values.iter().zip(word.to_le_bytes()) {
                        acc = acc.wrapping_add(i32::from(x).wrapping_mul(i32::from(w as i8)));
                    }
                }
                values = next;
            }
            *out = requantize(acc, multiplier, &filters.requant);
            filter = filter.wrapping_add(1);
        }
    }
}
