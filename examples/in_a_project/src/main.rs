//! Firmware with cortex-m-rt and a memory map of its own, which takes an emitted crate as a dependency.
#![no_std]
#![no_main]

use core::panic::PanicInfo;

use arrows::{Arena, Input, INPUT_LEN};
// Brings the critical sections that the printing needs.
use cortex_m as _;
use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};

/// In place of a camera: the records of the crate's own test, one after the other.
static FRAMES: &[u8] = include_bytes!("../arrows/tests/golden/inputs.bin");

#[entry]
fn main() -> ! {
    // cortex-m-rt hands these out as `&'static mut`.
    static mut ARENA: Arena = Arena::new();
    static mut INPUT: Input = [0; INPUT_LEN];

    for frame in FRAMES.chunks_exact(INPUT_LEN) {
        INPUT.copy_from_slice(frame);
        let prediction = arrows::infer(ARENA, INPUT);
        hprintln!("{}: {:?}", prediction.label(), prediction.scores);
    }
    debug::exit(debug::EXIT_SUCCESS);
    loop {}
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    debug::exit(debug::EXIT_FAILURE);
    loop {}
}
