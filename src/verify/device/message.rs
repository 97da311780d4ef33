//! Messages, in postcard's encoding; `docs/device.md` describes them for other implementations.
//!
//! The device's half reads and writes the same bytes without postcard. The order of the variants is the protocol.

use serde::{Deserialize, Serialize};

/// Version of the protocol.
pub const VERSION: u8 = 1;

/// Most bytes of one piece of an input or of a tensor.
pub const PIECE: usize = 192;

/// What is sent besides the scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Nothing.
    Scores,
    /// Ticks of every layer.
    Ticks,
    /// Every layer's output.
    Trace,
}

/// What the host asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Who is there?
    Hello,
    /// Bytes of the input.
    Piece {
        /// Of the first byte.
        offset: u32,
        /// At most [`PIECE`].
        bytes: Vec<u8>,
    },
    /// One inference of the input.
    Run(Mode),
}

/// What the device says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Answer to [`Request::Hello`].
    Hello {
        /// [`VERSION`].
        version: u8,
        /// Of the int8 program.
        fingerprint: Vec<u8>,
        /// Bytes of one input.
        input: u32,
        /// Scores.
        classes: u32,
        /// Layers.
        layers: u32,
        /// Bytes of RAM left for the stack.
        stack_room: u32,
    },
    /// A piece was taken, or a run has begun.
    Taken,
    /// A piece of a layer's output; the layer after the last is the scores, where there are many.
    Layer {
        /// Index.
        layer: u32,
        /// Of the first byte.
        offset: u32,
        /// At most [`PIECE`].
        bytes: Vec<u8>,
    },
    /// What one layer took.
    Ticks {
        /// Index.
        layer: u32,
        /// Of the device's clock.
        ticks: u32,
    },
    /// The end of a run.
    Done {
        /// Of the largest score.
        class: u32,
        /// Of the whole inference.
        ticks: u32,
        /// Most bytes of stack that one inference takes.
        stack: u32,
        /// CRC-32 of the input that it ran on.
        input_crc: u32,
        /// Scores; empty if they went ahead as a layer.
        scores: Vec<u8>,
    },
    /// A piece that does not fit the input.
    Refused,
}

/// A message with the number that a reply repeats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered<T> {
    /// Of the request.
    pub sequence: u16,
    /// The message.
    pub message: T,
}
