//! Every score of the golden samples must be what the compiler's simulation said, on every machine.

{import}
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

        let mut run = Run::new(&mut arena, &input);
        let steps = 1 + std::iter::repeat_with(|| run.step())
            .take_while(|&more| more)
            .count();
        assert_eq!(steps, LAYERS.len());
        assert_eq!(run.finish(), prediction, "layer by layer: sample {sample}");
    }
}

/// As a program's own memory may be: larger than needed, and with something in it.
#[repr(align(4))]
struct Memory([i8; ARENA_BYTES + 8]);

#[test]
fn any_aligned_memory_is_an_arena() {
    let mut input: Input = [0; INPUT_LEN];
    for (value, &byte) in input.iter_mut().zip(INPUTS) {
        *value = {value};
    }
    let expected = infer(&mut Box::new(Arena::new()), &input);
    let mut memory = Box::new(Memory([0x55; ARENA_BYTES + 8]));
    assert_eq!(infer_in(&mut memory.0, &input), Some(expected));
    memory.0.fill(-86);
    let run = Run::new_in(&mut memory.0[4..], &input).expect("4 bytes further it is aligned too");
    assert_eq!(run.finish(), expected);
    assert_eq!(infer_in(&mut memory.0[1..], &input), None, "not aligned");
    assert!(Run::new_in(&mut memory.0[2..], &input).is_none());
    if let Some(short) = ARENA_BYTES.checked_sub(1) {
        assert_eq!(infer_in(&mut memory.0[..short], &input), None, "too short");
    }
}
