//! Bytes from tensors to patches.

use super::super::shape::Element;

/// Writes `source`, quantized, to `target`; as much as both have.
#[inline(always)]
pub fn copy<T: Element>(source: &[T], target: &mut [i8]) {
    #[cfg(all(target_arch = "arm", feature = "mve"))]
    if core::mem::size_of::<T>() == 1 {
        let count = source.len().min(target.len());
        // SAFETY: a T is one byte; the loop reads `count` bytes at `source` and writes as many at `target`, which both
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
                flip = in(reg) u32::from(T::FLIP),
                count = in(reg) count,
                source = inout(reg) source.as_ptr() => _,
                target = inout(reg) target.as_mut_ptr() => _,
                out("lr") _,
                out("d0") _, out("d1") _, out("d2") _, out("d3") _,
                options(nostack)
            );
        }
        return;
    }
    for (value, x) in target.iter_mut().zip(source) {
        *value = x.quantized() as i8;
    }
}
