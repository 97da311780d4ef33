
/// What the crate should answer to each.
{ANSWERS}

#[test]
fn answers_are_those_of_the_simulation() {
    let mut arena = Box::new(Arena::new());
    for (bytes, answer) in INPUTS.chunks_exact(INPUT_LEN).zip(ANSWERS) {
        let mut input: Input = [0; INPUT_LEN];
        for (value, &byte) in input.iter_mut().zip(bytes) {
            *value = {value};
        }
        assert_eq!(infer(&mut arena, &input).answer(), answer);
    }
}
