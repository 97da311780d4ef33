//! Classifies the golden record over and over in an async task that lets others run after every layer, and reports
//! over defmt: class, score, cycles.
//!
//! `cargo run --release` flashes it and shows what it says. Put your sensor where the golden record is taken, and your
//! own tasks beside `others`.
#![no_std]
#![no_main]

use ::network_library as network;

use core::sync::atomic::{AtomicU32, Ordering};
use defmt_rtt as _;
use embassy_futures::yield_now;
use panic_probe as _;

mod chip;
mod inference;

/// A record of the crate's own test.
static GOLDEN: [u8; network::INPUT_LEN] = *include_bytes!("../golden/input.bin");

/// Cycles between two inferences.
const PAUSE: u32 = {pause};

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
    let stack = inference::stack(arena, input);
    defmt::info!(
        "{=str}: stack of one inference {=u32} bytes",
        "{name}",
        stack
    );
    loop {
        for (to, from) in input.iter_mut().zip(&GOLDEN) {
            *to = *from as _;
        }
        let start = chip::clock();
        let before = TURNS.load(Ordering::Relaxed);
        let (prediction, ticks) = inference::infer(arena, input).await;
        let turns = TURNS.load(Ordering::Relaxed).wrapping_sub(before);
        let score = prediction
            .scores
            .get(prediction.class)
            .copied()
            .unwrap_or_default();
        defmt::info!(
            "class {=str} score {=i8} cycles {=u32} longest layer {=u32} others' turns {=u32}",
            prediction.label(),
            score,
            ticks.sum,
            ticks.longest,
            turns
        );
        while chip::clock().wrapping_sub(start) < PAUSE {
            yield_now().await;
        }
    }
}
