//! Every score of the golden samples must be what the compiler's simulation said, on every machine.

use {crate}::{infer, Arena, Input, CLASSES, INPUT_LEN};

/// {count} inputs, one after the other.
const INPUTS: &[u8] = include_bytes!("golden/inputs.bin");

/// Their scores, as the bits of `i8`.
const SCORES: &[u8] = include_bytes!("golden/scores.bin");

#[test]
fn scores_are_those_of_the_simulation() {
    assert_eq!(INPUTS.len(), {count} * INPUT_LEN);
    assert_eq!(SCORES.len(), {count} * CLASSES.len());
    let mut arena = Box::new(Arena::new());
    let samples = INPUTS
        .chunks_exact(INPUT_LEN)
        .zip(SCORES.chunks_exact(CLASSES.len()));
    for (sample, (bytes, scores)) in samples.enumerate() {
        let mut input: Input = [0; INPUT_LEN];
        for (value, &byte) in input.iter_mut().zip(bytes) {
            *value = {value};
        }
        let expected: Vec<i8> = scores.iter().map(|&byte| byte as i8).collect();
        let prediction = infer(&mut arena, &input);
        assert_eq!(prediction.scores[..], expected[..], "sample {sample}");
        assert!(expected.iter().all(|&s| s <= expected[prediction.class]));
    }
}
