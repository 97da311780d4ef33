//! Classifies the golden record in an async task that lets another one run after every layer; prints class, score,
//! ticks and the other task's turns through semihosting.
//!
//! `cargo run --release` starts QEMU. Exit code 1 if the scores are not those of the crate's own test, or if the other
//! task had fewer than two turns for each pause between layers: one in each of the executor's rounds.
#![no_std]
#![no_main]

use ::network_library as network;

// Brings the critical sections that the executor needs.
use cortex_m as _;

use core::fmt::Write;
use core::sync::atomic::{AtomicU32, Ordering};
use embassy_futures::yield_now;

mod chip;
mod inference;
mod line;

/// A record of the crate's own test.
static GOLDEN: [u8; network::INPUT_LEN] = *include_bytes!("../golden/input.bin");

/// Its scores.
static SCORES: [u8; network::CLASSES.len()] = *include_bytes!("../golden/scores.bin");

chip::main!(start);

fn start(arena: &'static mut network::Arena, input: &'static mut network::Input) -> ! {
    chip::start_clock();
    inference::execute(|spawner| {
        // Each is there once, so there is room for it.
        if let Ok(task) = classify(arena, input) {
            spawner.spawn(task);
        }
        if let Ok(task) = others() {
            spawner.spawn(task);
        }
    })
}

/// Turns that `others` had.
static TURNS: AtomicU32 = AtomicU32::new(0);

/// Stands for all that the firmware does beside the inference.
#[embassy_executor::task]
async fn others() {
    loop {
        TURNS.store(
            TURNS.load(Ordering::Relaxed).wrapping_add(1),
            Ordering::Relaxed,
        );
        yield_now().await;
    }
}

#[embassy_executor::task]
async fn classify(arena: &'static mut network::Arena, input: &'static mut network::Input) {
    for (to, from) in input.iter_mut().zip(&GOLDEN) {
        *to = *from as _;
    }
    let stack = inference::stack(arena, input);
    // From here on both tasks take turns.
    yield_now().await;
    let before = TURNS.load(Ordering::Relaxed);
    let (prediction, ticks) = inference::infer(arena, input).await;
    let turns = TURNS.load(Ordering::Relaxed).wrapping_sub(before);
    let score = prediction
        .scores
        .get(prediction.class)
        .copied()
        .unwrap_or_default();
    let mut line = line::Line::new();
    // A line that is too long is cut.
    let _ = writeln!(
        line,
        "class {} score {score} ticks {} longest {} stack {stack} turns {turns}",
        prediction.label(),
        ticks.sum,
        ticks.longest
    );
    chip::print(line.text());
    let right = prediction
        .scores
        .iter()
        .zip(SCORES)
        .all(|(score, golden)| *score as u8 == golden);
    let fair = turns as usize >= 2 * (network::LAYERS.len() - 1);
    chip::exit(u32::from(!(right && fair)))
}
