//! {title}: an int8 classifier of {class_count} classes without allocation, floats or dependencies.
//!
//! In: `{shape}` {kind} (rows, columns, channels; channel fastest). Out: the class and one `i8`
//! score per class. All memory is the caller's: an [`Arena`] of [`ARENA_BYTES`] bytes, which fits a `static`,
//! and the [`Input`].
//!
//! ```
//! use {crate}::{infer, Arena, Input, INPUT_LEN};
//!
//! let mut arena = Arena::new();
//! let input: Input = [0; INPUT_LEN];
//! let prediction = infer(&mut arena, &input);
//! println!("{}: {:?}", prediction.label(), prediction.scores);
//! ```
//!
//! # Origin
//!
{origin}
#![no_std]
#![{level}(unsafe_code)]
#![warn(missing_docs)]

#[allow(dead_code, reason = "each kernel is copied whole")]
mod kernels;
mod layers;

/// Shape of the input: rows, columns, channels.
pub const INPUT_SHAPE: [usize; 3] = {shape};

/// Values of one input, and its bytes.
pub const INPUT_LEN: usize = {input_len};

/// Names of the classes, in the order of the scores.
{CLASSES}

/// Step of the scores: a score's real value is `SCORE_SCALE * (score - SCORE_ZERO_POINT)`.
pub const SCORE_SCALE: f32 = {scale};

/// The score that stands for a real value of 0.
pub const SCORE_ZERO_POINT: i32 = {zero_point};

/// Bytes of working memory for one inference, beside the input.
pub const ARENA_BYTES: usize = {arena_bytes};

/// Multiply-accumulates of one inference.
pub const MACS: u64 = {macs};

/// Names of the layers in order of execution, for [`infer_traced`].
{LAYERS}

/// One input: {kind}, `{shape}`, channel fastest.
pub type Input = [{element}; INPUT_LEN];

/// Working memory. What it holds between two inferences has no meaning; one serves any number.
#[repr(C, align(4))]
pub struct Arena {
    bytes: [i8; ARENA_BYTES],
}

impl Arena {
    /// A zeroed arena.
    pub const fn new() -> Self {
        Self {
            bytes: [0; ARENA_BYTES],
        }
    }
}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

/// What one inference says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prediction {
    /// Index of the largest score, the first of equals; an index into [`CLASSES`].
    pub class: usize,
    /// One score per class, see [`SCORE_SCALE`].
    pub scores: [i8; CLASSES.len()],
}

impl Prediction {
    /// Name of the class.
    pub fn label(&self) -> &'static str {
        CLASSES.get(self.class).copied().unwrap_or_default()
    }
}

/// Classifies one input: {macs} multiply-accumulates, the same scores on every machine.
pub fn infer(arena: &mut Arena, input: &Input) -> Prediction {
    run(arena, input, |_, _| {})
}

/// Like [`infer`]; after each layer `observe` is called with the layer's index in [`LAYERS`] and its output.
///
/// It tells where two machines part. Firmware that does not call it does not hold it.
pub fn infer_traced(
    arena: &mut Arena,
    input: &Input,
    observe: &mut dyn FnMut(usize, &[i8]),
) -> Prediction {
    run(arena, input, observe)
}

#[inline(always)]
fn run(arena: &mut Arena, input: &Input, observe: impl FnMut(usize, &[i8])) -> Prediction {
    let mut scores = [0; CLASSES.len()];
    layers::run(&mut arena.bytes, input, &mut scores, observe);
    Prediction {
        class: kernels::argmax::argmax(&scores),
        scores,
    }
}
