const PAINT: u32 = 0xA5C3_5A3C;

/// Bytes of stack below this call that `work` uses; at most 64 KiB are looked at.
#[inline(never)]
pub fn stack_of(work: impl FnOnce()) -> u32 {
    let stack: u32;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, sp", out(reg) stack, options(nomem, nostack, preserves_flags)) };
    let low = stack_low().max(stack.saturating_sub(64 * 1024));
    let mut at = low;
    while at < stack {
        // SAFETY: between the end of the statics and the stack pointer lies RAM that no object occupies.
        unsafe { write_volatile(at as *mut u32, PAINT) };
        at += 4;
    }
    work();
    at = low;
    // SAFETY: as above.
    while at < stack && unsafe { read_volatile(at as *const u32) } == PAINT {
        at += 4;
    }
    stack - at
}
