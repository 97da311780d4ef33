//! Exact simplifications of a program: the scores stay the same, byte for byte, for every input.
//!
//! In: a verified [`Program`]. Out: a verified program that gives the same scores with less work, and a [`Summary`] of
//! what went. Guaranteed: every kept channel of every kept tensor holds the bytes that it held before; names of layers
//! and tensors stay; the same program for the same input.
//!
//! Passes run in turn until none finds anything:
//! - `ranges` (an analysis): the values that each channel can take, by interval arithmetic through the rounding
//! - `constants`: a channel that holds one value whatever the input moves into the biases of the layers that read it
//! - `unread`: channels that nothing reads go, with the weights that make them and the zeros that read them
//! - `tables`: tables and pools that change nothing go; a table after a table joins it; a table that only clamps
//!   joins the layer before it
//! - `windows`: rows and columns of a kernel that add nothing, or only ever read padding, go
//! - `clamps`: bounds that no sum reaches become the ends of `i8`
//!
//! `taps` and `cut` are what they share, `summary` compares the programs.

mod clamps;
mod constants;
mod cut;
mod ranges;
mod summary;
mod tables;
mod taps;
mod unread;
mod windows;

pub use ranges::{Range, ranges};
pub use summary::{LayerChange, Summary};

use crate::diag::Result;
use crate::qir::Program;

/// One simplification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Constant channels into biases.
    Constants,
    /// Unread channels and layers.
    Unread,
    /// Tables and pools that change nothing, tables that join a neighbour.
    Tables,
    /// Rows and columns of kernels.
    Windows,
    /// Bounds that never bind.
    Clamps,
}

impl Pass {
    /// All of them, in the order in which they run.
    pub const ALL: [Self; 5] = [Self::Constants, Self::Unread, Self::Tables, Self::Windows, Self::Clamps];

    /// Runs once; whether anything changed.
    fn run(self, program: &mut Program, granule: usize) -> bool {
        match self {
            Self::Constants => constants::fold(program),
            Self::Unread => unread::remove(program, granule),
            Self::Tables => tables::join(program),
            Self::Windows => windows::crop(program),
            Self::Clamps => clamps::open(program),
        }
    }
}

/// How to simplify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options<'a> {
    /// What to run, in this order.
    pub passes: &'a [Pass],
    /// A tensor that loses channels keeps a multiple of this many, as long as it has them: kernels that load words
    /// have no use for an odd channel less. 1: every unread channel goes.
    pub granule: usize,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { passes: &Pass::ALL, granule: 1 }
    }
}

/// Runs passes until none changes anything. `program` is verified; so is the result.
///
/// Every change lessens the number of non-zero weights, channels, taps, layers or binding bounds, so this ends.
///
/// # Errors
/// Those of [`Program::verify`], where a pass broke an invariant.
pub fn simplify(program: &Program, options: &Options<'_>) -> Result<(Program, Summary)> {
    let mut simple = program.clone();
    loop {
        let mut changed = false;
        for pass in options.passes {
            changed |= pass.run(&mut simple, options.granule);
        }
        if !changed {
            break;
        }
    }
    simple.verify()?;
    let summary = summary::summary(program, &simple);
    Ok((simple, summary))
}
