//! `tests/golden.rs`: samples whose scores the crate must reproduce, byte for byte.

use super::text::{array, fill, import};
use super::{EmittedFile, names};
use crate::qir::{InputKind, Program};

/// One input and the scores that the simulation gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Raw bytes, `[H, W, C]`; of `i8` features their bits.
    pub input: Vec<u8>,
    /// One per class.
    pub scores: Vec<i8>,
}

/// What the test uses of the crate.
const NAMES: [&str; 9] =
    ["infer", "infer_in", "Arena", "Input", "Run", "ARENA_BYTES", "CLASSES", "INPUT_LEN", "LAYERS"];

pub(super) fn golden(program: &Program, samples: &[Sample]) -> Vec<EmittedFile> {
    let value = match program.input_kind {
        InputKind::U8 => "byte",
        InputKind::I8 => "byte as i8",
    };
    let import = import(&names::crate_ident(program), &NAMES);
    let text = fill(
        include_str!("templates/golden.rs"),
        &[("import", &import), ("value", value), ("count", &samples.len().to_string())],
    );
    let answers = program.reject.map_or_else(String::new, |reject| {
        let answers: Vec<String> =
            samples.iter().map(|sample| format!("{:?}", reject.answer(&sample.scores))).collect();
        let list = array(&format!("const ANSWERS: [Option<usize>; {}] = ", answers.len()), &answers);
        fill(include_str!("templates/golden_reject.rs"), &[("ANSWERS", &list), ("value", value)])
    });
    let inputs = samples.iter().flat_map(|sample| sample.input.iter().copied()).collect();
    let scores = samples.iter().flat_map(|sample| sample.scores.iter().map(|score| score.cast_unsigned())).collect();
    vec![
        EmittedFile::text("tests/golden.rs", text + &answers),
        EmittedFile { path: "tests/golden/inputs.bin".into(), bytes: inputs },
        EmittedFile { path: "tests/golden/scores.bin".into(), bytes: scores },
    ]
}
