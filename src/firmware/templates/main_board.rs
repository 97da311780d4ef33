//! Classifies the golden record over and over and reports over defmt: class, scores, cycles.
//!
//! `cargo run --release` flashes it and shows what it says. Put your sensor where the golden record is taken.
#![no_std]
#![no_main]

use ::network_library as network;

use defmt_rtt as _;
use panic_probe as _;

mod chip;

/// A record of the crate's own test.
static GOLDEN: [u8; network::INPUT_LEN] = *include_bytes!("../golden/input.bin");

chip::main!(start);

fn start(arena: &mut network::Arena, input: &mut network::Input) -> ! {
    chip::start_clock();
    let stack = chip::stack_of(|| {
        network::infer(arena, input);
    });
    defmt::info!(
        "{=str}: stack of one inference {=u32} bytes",
        "{name}",
        stack
    );
    loop {
        for (to, from) in input.iter_mut().zip(&GOLDEN) {
            *to = *from as _;
        }
        let before = chip::clock();
        let prediction = network::infer(arena, input);
        let cycles = chip::clock().wrapping_sub(before);
        let score = prediction
            .scores
            .get(prediction.class)
            .copied()
            .unwrap_or_default();
        defmt::info!(
            "class {=str} score {=i8} cycles {=u32}",
            prediction.label(),
            score,
            cycles
        );
        cortex_m::asm::delay({pause});
    }
}
