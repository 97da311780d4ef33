//! The board: start-up through cortex-m-rt, the clock that counts cycles, the stack.

use core::arch::asm;
use core::ptr::{addr_of, read_volatile, write_volatile};
{boot}/// Makes `$body` the program, with the arena and the input.
macro_rules! main {
    ($body:path) => {
        // SAFETY: the section is in RAM, which nothing else is placed in; what it holds at first does not matter.
        #[link_section = "{arena_section}"]
        static mut ARENA: core::mem::MaybeUninit<network::Arena> = core::mem::MaybeUninit::uninit();
        static mut INPUT: network::Input = [0; network::INPUT_LEN];

        #[cortex_m_rt::entry]
        fn main() -> ! {
            // SAFETY: reset calls this function once, and nothing else names these two.
            let (arena, input) = unsafe {
                (
                    (*core::ptr::addr_of_mut!(ARENA)).write(network::Arena::new()),
                    &mut *core::ptr::addr_of_mut!(INPUT),
                )
            };
            $body(arena, input)
        }
    };
}
pub(crate) use main;

{clock}
extern "C" {
    static _stack_start: u32;
    static _stack_end: u32;
}

/// First address that the stack may use.
fn stack_low() -> u32 {
    addr_of!(_stack_end) as u32
}

/// Bytes between the statics and the top of the stack.
#[allow(dead_code, reason = "the plain firmware does not ask")]
pub fn stack_room() -> u32 {
    addr_of!(_stack_start) as u32 - stack_low()
}

{stack}
