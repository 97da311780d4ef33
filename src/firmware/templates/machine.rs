//! The emulated machine: start-up, SysTick, the stack, semihosting for text.

use core::arch::{asm, global_asm};
use core::ptr::{addr_of, read_volatile, write_volatile};
use core::sync::atomic::{AtomicU32, Ordering};

{start_up}

/// Makes `$body` what reset calls, with the arena and the input.
macro_rules! main {
    ($body:path) => {
        struct Taken<T>(core::cell::UnsafeCell<T>);

        // SAFETY: one core, and only `fratc_main`, which runs once, touches the content.
        unsafe impl<T> Sync for Taken<T> {}

        // SAFETY: memory.x places `.bss.arena` in RAM, and reset zeroes it: the value of `Arena::new()`.
        #[unsafe(link_section = ".bss.arena")]
        static ARENA: Taken<network::Arena> =
            Taken(core::cell::UnsafeCell::new(network::Arena::new()));
        static INPUT: Taken<network::Input> =
            Taken(core::cell::UnsafeCell::new([0; network::INPUT_LEN]));

        // SAFETY: the name is the one that reset calls, and nothing else has it.
        #[unsafe(no_mangle)]
        extern "C" fn fratc_main() -> ! {
            // SAFETY: reset calls this function once and nothing else names these two.
            let (arena, input) = unsafe { (&mut *ARENA.0.get(), &mut *INPUT.0.get()) };
            $body(arena, input)
        }
    };
}
pub(crate) use main;

const SYST_CSR: *mut u32 = 0xE000_E010 as *mut u32;
const SYST_RVR: *mut u32 = 0xE000_E014 as *mut u32;
const SYST_CVR: *mut u32 = 0xE000_E018 as *mut u32;

/// Times that the 24-bit counter ran out.
static WRAPS: AtomicU32 = AtomicU32::new(0);

extern "C" fn sys_tick() {
    WRAPS.store(
        WRAPS.load(Ordering::Relaxed).wrapping_add(1),
        Ordering::Relaxed,
    );
}

/// Starts SysTick on the core's clock, with its interrupt.
pub fn start_clock() {
    // SAFETY: the three registers exist on every core this firmware is built for; nothing else uses them.
    unsafe {
        write_volatile(SYST_RVR, 0x00FF_FFFF);
        write_volatile(SYST_CVR, 0);
        write_volatile(SYST_CSR, 7);
        while read_volatile(SYST_CVR) == 0 {}
    }
}

/// Ticks since some moment, modulo 2^32.
pub fn clock() -> u32 {
    loop {
        let wraps = WRAPS.load(Ordering::Relaxed);
        // SAFETY: as in `start_clock`; reading has no side effect.
        let left = unsafe { read_volatile(SYST_CVR) };
        if WRAPS.load(Ordering::Relaxed) == wraps {
            return (wraps << 24).wrapping_add(0x00FF_FFFF - left);
        }
    }
}

/// First address that the stack may use.
fn stack_low() -> u32 {
    addr_of!(__stack_low) as u32
}

/// Bytes between the statics and the top of the stack.
#[allow(dead_code, reason = "the plain firmware does not ask")]
pub fn stack_room() -> u32 {
    addr_of!(__stack_top) as u32 - stack_low()
}

{stack}
/// Ends the machine with an exit code.
#[allow(dead_code, reason = "the validating firmware never ends")]
pub fn exit(code: u32) -> ! {
    semihosting(0x20, &[0x0002_0026, code]);
    loop {
        core::hint::spin_loop();
    }
}

/// Prints text on the debugger's console; it ends with a zero byte.
#[allow(dead_code, reason = "the validating firmware does not print")]
pub fn print(text: &core::ffi::CStr) {
    let result: u32;
    // SAFETY: operation 4 reads a string that ends with a zero byte.
    unsafe {
        asm!("bkpt #0xab", inout("r0") 4_u32 => result, in("r1") text.as_ptr(), options(nostack));
    }
    let _ = result;
}

fn semihosting(operation: u32, block: &[u32]) -> u32 {
    let result;
    // SAFETY: `block` holds the words that the operation takes; it writes nowhere.
    unsafe {
        asm!("bkpt #0xab", inout("r0") operation => result, in("r1") block.as_ptr(), options(nostack));
    }
    result
}

extern "C" fn fault() -> ! {
    exit(3)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(4)
}
