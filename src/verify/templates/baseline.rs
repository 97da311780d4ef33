/// The same firmware without the network: what remains when this is subtracted is the network.
mod network {
    pub use network_library::{Arena, Input, Prediction, CLASSES, INPUT_LEN};

    pub fn infer(_: &mut Arena, input: &Input) -> Prediction {
        let scores = [input[0] as i8; CLASSES.len()];
        Prediction { class: 0, scores }
    }
}
