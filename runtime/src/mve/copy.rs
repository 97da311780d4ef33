//! Bytes from tensors to patches.

use super::super::shape::Element;

/// The values' bytes; with the bits of [`Element::FLIP`] turned over they are the quantized values.
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

/// Writes `source`, turned over by `flip`, to `target`; as much as both have.
#[inline(always)]
pub fn copy(source: &[i8], flip: u8, target: &mut [i8]) {
    #[cfg(all(target_arch = "arm", feature = "mve"))]
    {
        let count = source.len().min(target.len());
        // SAFETY: the loop reads `count` bytes at `source` and writes as many at `target`, which both
        // have, since WLSTP and LETP leave the lanes beyond `count` out. The bytes written are `i8`s, whatever they are.
        unsafe {
            core::arch::asm!(
                "vdup.8 q1, {flip}",
                "wlstp.8 lr, {count}, 3f",
                "2:",
                "vldrb.u8 q0, [{source}], #16",
                "veor q0, q0, q1",
                "vstrb.8 q0, [{target}], #16",
                "letp lr, 2b",
                "3:",
                flip = in(reg) u32::from(flip),
                count = in(reg) count,
                source = inout(reg) source.as_ptr() => _,
                target = inout(reg) target.as_mut_ptr() => _,
                out("lr") _,
                out("d0") _, out("d1") _, out("d2") _, out("d3") _,
                options(nostack)
            );
        }
    }
    #[cfg(not(all(target_arch = "arm", feature = "mve")))]
    for (value, x) in target.iter_mut().zip(source) {
        *value = x ^ flip as i8;
    }
}
