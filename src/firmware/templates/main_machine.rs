//! Classifies the golden record and prints class, score and ticks through semihosting.
//!
//! `cargo run --release` starts QEMU. Exit code 1 if the scores are not those of the crate's own test.
#![no_std]
#![no_main]

use ::network_library as network;

mod chip;
mod line;

/// A record of the crate's own test.
static GOLDEN: [u8; network::INPUT_LEN] = *include_bytes!("../golden/input.bin");

/// Its scores.
static SCORES: [u8; network::CLASSES.len()] = *include_bytes!("../golden/scores.bin");

chip::main!(start);

fn start(arena: &mut network::Arena, input: &mut network::Input) -> ! {
    use core::fmt::Write;

    chip::start_clock();
    for (to, from) in input.iter_mut().zip(&GOLDEN) {
        *to = *from as _;
    }
    let stack = chip::stack_of(|| {
        network::infer(arena, input);
    });
    let before = chip::clock();
    let prediction = network::infer(arena, input);
    let ticks = chip::clock().wrapping_sub(before);
    let score = prediction
        .scores
        .get(prediction.class)
        .copied()
        .unwrap_or_default();
    let mut line = line::Line::new();
    // A line that is too long is cut.
    let _ = writeln!(
        line,
        "class {} score {score} ticks {ticks} stack {stack}",
        prediction.label()
    );
    chip::print(line.text());
    let right = prediction
        .scores
        .iter()
        .zip(SCORES)
        .all(|(score, golden)| *score as u8 == golden);
    chip::exit(u32::from(!right))
}
