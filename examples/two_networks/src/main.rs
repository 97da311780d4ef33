//! Firmware with two emitted crates that run one after the other in the same working memory.
#![no_std]
#![no_main]

use core::panic::PanicInfo;

// Brings the critical sections that the printing needs.
use cortex_m as _;
use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};

/// In place of a camera: the records of both crates' own tests, one after the other.
static FRAMES: [&[u8]; 2] =
    [include_bytes!("../arrows/tests/golden/inputs.bin"), include_bytes!("../stations/tests/golden/inputs.bin")];

/// Bytes of the larger arena.
const MEMORY_BYTES: usize =
    if arrows::ARENA_BYTES > stations::ARENA_BYTES { arrows::ARENA_BYTES } else { stations::ARENA_BYTES };

/// Working memory of both networks.
#[repr(align(4))]
struct Memory([i8; MEMORY_BYTES]);

// Both see the same picture.
const INPUT_LEN: usize = arrows::INPUT_LEN;
const _: () = assert!(stations::INPUT_LEN == INPUT_LEN);

#[entry]
fn main() -> ! {
    // cortex-m-rt hands these out as `&'static mut`.
    static mut MEMORY: Memory = Memory([0; MEMORY_BYTES]);
    static mut INPUT: arrows::Input = [0; INPUT_LEN];

    for frame in FRAMES.iter().flat_map(|frames| frames.chunks_exact(INPUT_LEN)) {
        INPUT.copy_from_slice(frame);
        // `None` would mean too short or not aligned: here neither can be.
        let Some(arrow) = arrows::infer_in(&mut MEMORY.0, INPUT) else {
            break;
        };
        let Some(station) = stations::infer_in(&mut MEMORY.0, INPUT) else {
            break;
        };
        hprintln!("arrows {}: {:?}", arrow.label(), arrow.scores);
        hprintln!("stations {}: {:?}", station.label(), station.scores);
    }
    debug::exit(debug::EXIT_SUCCESS);
    loop {}
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    debug::exit(debug::EXIT_FAILURE);
    loop {}
}
