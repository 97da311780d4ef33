//! Layers that run a band of output rows at a time, so that their output may lie over their input.
//!
//! Output row `y` reads a few input rows, and rows above them are never read again. Computed from the top, an output may
//! therefore lie *below* its input in memory and grow into rows that are spent; computed from the bottom, it may lie
//! *above*. What must be kept is the distance between the two starts; it depends on the rows of a band. While a band
//! is computed, its output rows and the input rows still needed share no byte: two separate slices.
//!
//! `fratc_runtime::shape::Window` says which rows are read, here and on the device.

use std::ops::Range;

use super::{ALIGN, Kernel, needs};
use crate::qir::{Hwc, Layer, Op, Program};
use fratc_runtime::shape::Window;

/// Bands of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bands {
    /// Output rows of a band; the last in the order of rows may have fewer.
    pub rows: usize,
    /// Whether the last band runs first: the output lies above its input.
    pub upward: bool,
    /// Which of the step's inputs the output lies over; the others of a concatenation lie elsewhere.
    pub over: usize,
}

impl Bands {
    /// The output rows of each band of an output of `height` rows, in order of execution.
    pub fn ranges(self, height: usize) -> Vec<Range<usize>> {
        let start = (0..height).step_by(self.rows.max(1));
        let mut ranges: Vec<Range<usize>> = start.map(|y| y..(y + self.rows).min(height)).collect();
        if self.upward {
            ranges.reverse();
        }
        ranges
    }
}

/// The window by which output rows read the rows of each input; `None` where they need more of it.
pub(super) fn row_window(op: &Op) -> Option<crate::qir::Window> {
    match op {
        Op::Concat | Op::Add(_) | Op::Lookup(_) => {
            Some(crate::qir::Window { kernel: [1, 1], stride: [1, 1], dilation: [1, 1], pad: [0, 0] })
        }
        // Not made to run on some rows.
        Op::Grouped(_) => None,
        op => op.window().copied(),
    }
}

/// Whether each of `outputs` rows reads one of `inputs` rows at least: kernels may refuse an empty input, which rows that read
/// padding only would have.
pub(super) fn rows_each_read(window: &Window, outputs: usize, inputs: usize) -> bool {
    (0..outputs).all(|y| !window.rows_read(&(y..y + 1), inputs).is_empty())
}

/// Rows of a layer that works row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rows {
    input: Hwc,
    output: Hwc,
    window: Window,
    /// Fewer rows in a band would cost the kernel much.
    pub unit: usize,
}

impl Rows {
    /// Those of `layer` over its input `over`, if it can run by bands.
    pub fn of(program: &Program, layer: &Layer, kernel: Kernel, over: usize) -> Option<Self> {
        // A sum of two rows is as fast in place.
        let window = row_window(&layer.op).filter(|_| !matches!(layer.op, Op::Add(_) | Op::Lookup(_)))?;
        let (input, output) = (program.tensor(*layer.inputs.get(over)?).shape, program.tensor(layer.output).shape);
        let unit = needs::band_unit(kernel, output).min(output.h);
        let rows = Self { input, output, window: needs::window(&window), unit };
        (output.h > 1 && rows_each_read(&rows.window, output.h, input.h)).then_some(rows)
    }

    /// Output rows of the tensor.
    pub fn count(&self) -> usize {
        self.output.h
    }

    /// Bytes of output rows `rows`, from the output's start.
    pub fn written(&self, rows: &Range<usize>) -> Range<usize> {
        let row = self.output.w * self.output.c;
        rows.start * row..rows.end * row
    }

    /// Bytes that output rows `rows` read, from the input's start.
    pub fn read(&self, rows: &Range<usize>) -> Range<usize> {
        let row = self.input.w * self.input.c;
        let read = self.window.rows_read(rows, self.input.h);
        read.start * row..read.end * row
    }

    fn most(&self, rows: usize, need: impl Fn(&Range<usize>) -> usize) -> usize {
        let bands = Bands { rows, upward: false, over: 0 }.ranges(self.output.h);
        bands.iter().map(need).max().unwrap_or(0).next_multiple_of(ALIGN)
    }

    /// How far above the output's start the input must start, for an output below it, in bands of `rows`.
    pub fn below(&self, rows: usize) -> usize {
        self.most(rows, |band| self.written(band).end.saturating_sub(self.read(band).start))
    }

    /// How far above the input's start the output must start, for an output above it.
    pub fn above(&self, rows: usize) -> usize {
        self.most(rows, |band| self.read(band).end.saturating_sub(self.written(band).start))
    }

    /// Whether an output at `output` and an input at `input` do not meet, so that the layer may run whole.
    pub fn apart(&self, output: usize, input: usize) -> bool {
        output + self.output.len() <= input || input + self.input.len() <= output
    }

    /// Whether `bands` serve an output at `output` and an input at `input`.
    pub fn allow(&self, bands: Bands, output: usize, input: usize) -> bool {
        if bands.upward { input + self.above(bands.rows) <= output } else { output + self.below(bands.rows) <= input }
    }

    /// The largest bands that serve, whole units first.
    pub fn fit(&self, over: usize, output: usize, input: usize) -> Option<Bands> {
        let units = (1..=self.output.h / self.unit).rev().map(|n| n * self.unit);
        let mut candidates = units.chain((1..self.unit).rev()).map(|rows| Bands { rows, upward: output > input, over });
        candidates.find(|bands| self.allow(*bands, output, input))
    }
}
