//! The way back to `i8` where `SMMLAR` and `SSAT` are not all it takes, once for all kernels that call it.

#[cfg(all(target_arch = "arm", feature = "dsp"))]
use super::super::requant::requantize;
use super::super::requant::Requant;

/// Whether they are all it takes: no shift, and the whole range of `i8`.
#[inline(always)]
pub fn is_plain(requant: &Requant<'_>) -> bool {
    let shift = requant.shift & 31;
    shift == 0 && requant.max.wrapping_sub(requant.min) == 255
}

/// `asm!` with a call of [`requantize_all`], which may change what the C ABI lets a function change: besides the integer
/// registers, which are for the caller of this macro to declare, those of an FPU, if there is one.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[allow(
    unused_macros,
    reason = "not every network has a convolution that uses it"
)]
macro_rules! asm_with_call {
    ($($asm:tt)*) => {
        core::arch::asm!(
            $($asm)*
            requantize = sym super::requant::requantize_all,
            out("s0") _,
            out("s1") _,
            out("s2") _,
            out("s3") _,
            out("s4") _,
            out("s5") _,
            out("s6") _,
            out("s7") _,
            out("s8") _,
            out("s9") _,
            out("s10") _,
            out("s11") _,
            out("s12") _,
            out("s13") _,
            out("s14") _,
            out("s15") _,
        )
    };
}
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[allow(unused_imports, reason = "as above")]
pub(super) use asm_with_call;

/// Sums of one filter to outputs, in place.
///
/// # Safety
/// `sums` must be `count` aligned words that can be read and written.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[inline(never)]
pub(super) unsafe extern "C" fn requantize_all(
    sums: *mut i32,
    count: usize,
    multiplier: i32,
    requant: &Requant<'_>,
) {
    // SAFETY: by the contract.
    let sums = unsafe { core::slice::from_raw_parts_mut(sums, count) };
    for sum in sums {
        // A loop that is not unrolled.
        core::hint::black_box(());
        *sum = i32::from(requantize(*sum, multiplier, requant));
    }
}
