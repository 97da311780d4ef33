//! Drawings as samples, and the case that `fratc demo` builds.

use crate::data::{InputContract, InputKind, Samples};
use crate::demo::{CLASSES, SIZE, draw};

/// Seeds of the demo's splits. The trainer draws with [`TRAIN_SEED`] and above only.
const CALIBRATION_SEED: u64 = 1;
const TEST_SEED: u64 = 2;
/// First seed of the trainer.
pub const TRAIN_SEED: u64 = 1000;

/// Calibration drawings per class.
const CALIBRATION: usize = 150;
/// Test drawings per class.
const TEST: usize = 60;

/// What a case file says, for the built-in network.
#[derive(Debug, Clone, PartialEq)]
pub struct DemoCase {
    /// Raw bytes to network inputs.
    pub input: InputContract,
    /// The 16 symbols, in the order of the outputs.
    pub label_names: Vec<String>,
    /// For selection, calibration and every choice.
    pub calibration: Samples,
    /// Only ever scored; the network has seen none of them.
    pub test: Samples,
}

/// The demo's input and data.
pub fn case() -> DemoCase {
    DemoCase {
        input: contract(),
        label_names: label_names(),
        calibration: samples(CALIBRATION, CALIBRATION_SEED),
        test: samples(TEST, TEST_SEED),
    }
}

/// The classes that `fratc demo` builds for.
pub fn default_classes() -> [&'static str; 3] {
    ["left", "right", "stop"]
}

/// The names of [`CLASSES`].
pub fn label_names() -> Vec<String> {
    CLASSES.map(String::from).to_vec()
}

/// Grey pixels, `x = (p/255 − 0.4) / 0.25`.
pub fn contract() -> InputContract {
    let mut contract = InputContract::new(InputKind::U8, [SIZE, SIZE, 1], 1.0 / 255.0);
    contract.mean = vec![0.4];
    contract.std = vec![0.25];
    contract
}

/// `per_class` drawings of every class, classes taking turns. Different seeds share no drawing.
pub fn samples(per_class: usize, seed: u64) -> Samples {
    let mut samples = Samples::empty(&contract());
    for i in 0..per_class as u64 {
        for class in 0..CLASSES.len() {
            samples.raw.extend(draw(class, (seed << 32) | i));
            samples.labels.push(class as u32);
        }
    }
    samples
}

/// The trained network, ONNX.
pub fn model_bytes() -> &'static [u8] {
    include_bytes!("../../examples/floor_markers/markers.onnx")
}
