//! {title}: an int8 classifier of {class_count} classes without allocation, floats or dependencies.
//!
//! In: `{shape}` {kind} (rows, columns, channels; channel fastest). Out: the class and one `i8`
//! score per class. All memory is the caller's: an [`Arena`] of [`ARENA_BYTES`] bytes, which fits a `static`,
//! and the [`Input`]. [`infer_in`] takes any memory as arena, which several networks may share; [`Run`] goes layer
//! by layer and leaves the core to others in between.
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
    {label}
}

/// Classifies one input: {macs} multiply-accumulates, the same scores on every machine.
#[inline(never)]
pub fn infer(arena: &mut Arena, input: &Input) -> Prediction {
    run(&mut arena.bytes, input, |_, _| {})
}

/// Like [`infer`], with the first [`ARENA_BYTES`] of `memory` as arena; `None` if they are not there or do not start
/// at the alignment of an [`Arena`].
///
/// Several networks can share one memory, as large as the largest of their arenas: none of them expects anything in it.
///
/// ```
/// use {crate}::{infer_in, ARENA_BYTES, INPUT_LEN};
///
/// #[repr(align(4))]
/// struct Memory([i8; ARENA_BYTES + 1000]);
///
/// let mut memory = Memory([0; ARENA_BYTES + 1000]);
/// assert!(infer_in(&mut memory.0, &[0; INPUT_LEN]).is_some());
/// ```
pub fn infer_in(memory: &mut [i8], input: &Input) -> Option<Prediction> {
    Some(run(arena_in(memory)?, input, |_, _| {}))
}

/// The arena at the start of `memory`.
fn arena_in(memory: &mut [i8]) -> Option<&mut [i8; ARENA_BYTES]> {
    let aligned = memory.as_ptr().cast::<Arena>().is_aligned();
    memory.first_chunk_mut().filter(|_| aligned)
}

/// One inference, a layer at a time: what else there is to do can be done in between.
///
/// Firmware that does not use it does not hold it.
///
/// ```
/// use {crate}::{infer, Arena, Run, INPUT_LEN};
///
/// let (mut arena, input) = (Arena::new(), [0; INPUT_LEN]);
/// let mut run = Run::new(&mut arena, &input);
/// while run.step() {
///     // Something else: poll a sensor, yield to other tasks.
/// }
/// let prediction = run.finish();
/// assert_eq!(prediction, infer(&mut arena, &input));
/// ```
#[must_use = "nothing runs before `step` or `finish`"]
pub struct Run<'a> {
    memory: &'a mut [i8; ARENA_BYTES],
    input: &'a Input,
    scores: [i8; CLASSES.len()],
    next: usize,
}

impl<'a> Run<'a> {
    /// Begins an inference; no layer has run yet.
    pub fn new(arena: &'a mut Arena, input: &'a Input) -> Self {
        Self::over(&mut arena.bytes, input)
    }

    /// Like [`Run::new`], with the first [`ARENA_BYTES`] of `memory` as arena, see [`infer_in`].
    pub fn new_in(memory: &'a mut [i8], input: &'a Input) -> Option<Self> {
        Some(Self::over(arena_in(memory)?, input))
    }

    fn over(memory: &'a mut [i8; ARENA_BYTES], input: &'a Input) -> Self {
        Self {
            memory,
            input,
            scores: [0; CLASSES.len()],
            next: 0,
        }
    }

    /// Runs the next layer of [`LAYERS`]; whether another one is left. After the last one nothing happens.
    pub fn step(&mut self) -> bool {
        layers::step(self.next, self.memory, self.input, &mut self.scores);
        self.next = self.next.wrapping_add(1).min(LAYERS.len());
        self.next < LAYERS.len()
    }

    /// Runs the layers that are left; what the inference says.
    pub fn finish(mut self) -> Prediction {
        while self.step() {}
        predict(self.scores)
    }
}

/// Like [`infer`]; after each layer `observe` is called with the layer's index in [`LAYERS`] and its output.
///
/// It tells where two machines part. Firmware that does not call it does not hold it.{parts}
pub fn infer_traced(
    arena: &mut Arena,
    input: &Input,
    observe: &mut dyn FnMut(usize, &[i8]),
) -> Prediction {
    run(&mut arena.bytes, input, observe)
}

#[inline(always)]
fn run(
    memory: &mut [i8; ARENA_BYTES],
    input: &Input,
    observe: impl FnMut(usize, &[i8]),
) -> Prediction {
    let mut scores = [0; CLASSES.len()];
    layers::run(memory, input, &mut scores, observe);
    predict(scores)
}

#[inline(always)]
fn predict(scores: [i8; CLASSES.len()]) -> Prediction {
    Prediction {
        class: kernels::argmax::argmax(&scores),
        scores,
    }
}
