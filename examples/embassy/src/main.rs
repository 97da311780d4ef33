//! Firmware on embassy's executor: another task has its turn after every layer of the network.
#![no_std]
#![no_main]

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};

use arrows::{Arena, Input, Prediction, Run, INPUT_LEN};
use cortex_m_semihosting::{debug, hprintln};
use embassy_executor::Spawner;
use embassy_futures::yield_now;

/// In place of a camera: the records of the crate's own test, one after the other.
static FRAMES: &[u8] = include_bytes!("../arrows/tests/golden/inputs.bin");

/// Turns of `beat`.
static BEATS: AtomicU32 = AtomicU32::new(0);

/// Stands for what has to go on while the network works: a motor, a radio, a button.
#[embassy_executor::task]
async fn beat() {
    loop {
        BEATS.fetch_add(1, Ordering::Relaxed);
        yield_now().await;
    }
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    // Each is there once, so there is room for it.
    if let Ok(task) = beat() {
        spawner.spawn(task);
    }
    let memory = cortex_m::singleton!(: (Arena, Input) = (Arena::new(), [0; INPUT_LEN]));
    if let Some((arena, input)) = memory {
        for frame in FRAMES.chunks_exact(INPUT_LEN) {
            input.copy_from_slice(frame);
            let before = BEATS.load(Ordering::Relaxed);
            let prediction = classify(arena, input).await;
            let beats = BEATS.load(Ordering::Relaxed) - before;
            hprintln!("{}: {:?}", prediction.label(), prediction.scores);
            hprintln!("{} beats in between", beats);
        }
    }
    debug::exit(debug::EXIT_SUCCESS);
}

/// One inference; other tasks run between its layers.
async fn classify(arena: &mut Arena, input: &Input) -> Prediction {
    let mut run = Run::new(arena, input);
    while run.step() {
        // The executor goes round by round, each in the reverse order of the wake-ups before it: after one yield this task
        // might be next again, between two lies a whole round, in which every task that is ready has its turn.
        yield_now().await;
        yield_now().await;
    }
    run.finish()
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    debug::exit(debug::EXIT_FAILURE);
    loop {}
}
