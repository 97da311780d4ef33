//! Classifies raw records: on the host, in QEMU or on a board.
//!
//! `cargo run --example infer -- FILE` reads records of `INPUT_LEN` bytes, `[H, W, C]`, and prints one line
//! each: the label, a colon, the `i8` scores. Without FILE the golden record runs and is checked.
//! `cargo run --release --example infer --target …` does the same on the device, through the runner of
//! `.cargo/config.toml`; see `infer/bare_metal.rs`.
#![cfg_attr(target_os = "none", no_std, no_main)]

use network_library as network;

#[cfg(target_os = "none")]
#[path = "infer/bare_metal.rs"]
mod bare_metal;

/// First golden record.
static GOLDEN_INPUT: [u8; network::INPUT_LEN] = first(include_bytes!("../tests/golden/inputs.bin"));

/// Its scores.
static GOLDEN_SCORES: [u8; network::CLASSES.len()] =
    first(include_bytes!("../tests/golden/scores.bin"));

/// The first `N` bytes, so that the other records do not end up in flash.
const fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    let mut i = 0;
    while i < N && i < bytes.len() {
        out[i] = bytes[i];
        i += 1;
    }
    out
}

#[cfg(not(target_os = "none"))]
fn main() -> std::process::ExitCode {
    use std::process::ExitCode;

    let mut arena = Box::new(network::Arena::new());
    let path = std::env::args_os().nth(1).map(std::path::PathBuf::from);
    let Some(path) = path else {
        let scores = classify(&mut arena, &GOLDEN_INPUT);
        return ExitCode::from(u8::from(scores.map(|score| score as u8) != GOLDEN_SCORES));
    };
    let records = match std::fs::read(&path) {
        Ok(records) => records,
        Err(error) => {
            eprintln!("cannot read {}: {error}", path.display());
            return ExitCode::from(2);
        }
    };
    let records = records.chunks_exact(network::INPUT_LEN);
    let rest = records.remainder().len();
    for record in records {
        classify(&mut arena, record);
    }
    if rest != 0 {
        eprintln!(
            "{rest} bytes at the end are no whole record of {} bytes",
            network::INPUT_LEN
        );
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}

/// Prints the class and the scores of one record.
#[cfg(not(target_os = "none"))]
fn classify(arena: &mut network::Arena, record: &[u8]) -> [i8; network::CLASSES.len()] {
    let mut input: network::Input = [0; network::INPUT_LEN];
    for (to, from) in input.iter_mut().zip(record) {
        *to = *from as _;
    }
    let prediction = network::infer(arena, &input);
    let scores = prediction.scores.map(|score| score.to_string());
    println!("{}: {}", prediction.label(), scores.join(" "));
    prediction.scores
}
