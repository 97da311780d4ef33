//! Runs of layers that advance together, a few rows at a time, so that the tensors between them are never whole.
//!
//! A convolution needs a few rows of its input for a row of its output. Layers that follow one another can therefore
//! take turns: in each turn every layer computes the rows that the next ones need by then, from the rows that are there. Of a
//! tensor that no layer outside of the strip reads, memory holds only the rows that are still needed; they move to its start
//! before every turn. No row is computed twice. The first layers of a network, whose tensors are the largest, shrink
//! most: inference by patches, but without the patches' overlap.

use std::ops::Range;

use super::bands::{row_window, rows_each_read};
use super::needs;
use crate::qir::{Hwc, Program, TensorId};

/// Layers that advance together. What the program says of the layers decides the turns, given how many rows
/// of the last one a turn has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strip {
    /// The first of the steps.
    pub first: usize,
    /// The last of the steps, itself included.
    pub last: usize,
    /// Output rows of the last layer in a turn; the last turn may have fewer.
    pub rows: usize,
    /// Tensors that are never whole, in order of the layers that write them.
    pub rolling: Vec<Rolling>,
    /// The turns.
    pub turns: Vec<Turn>,
}

/// A tensor of which memory holds some rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rolling {
    /// The tensor.
    pub tensor: TensorId,
    /// The layer that writes it, counted from the strip's first.
    pub layer: usize,
    /// Rows that memory has room for.
    pub rows: usize,
    /// Bytes of one row.
    pub row_bytes: usize,
}

/// What happens in one turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Output rows that each layer of the strip computes: an empty range where it has no turn.
    pub rows: Vec<Range<usize>>,
    /// The row of each rolling tensor that is first in memory during the turn.
    pub held: Vec<usize>,
}

/// How one layer of a strip reads one of its inputs.
#[derive(Debug, Clone, Copy)]
struct Read {
    /// The reader, counted from the strip's first layer.
    by: usize,
    window: fratc_runtime::shape::Window,
}

/// A layer's output, as the strip sees it.
#[derive(Debug, Clone)]
struct Output {
    shape: Hwc,
    tensor: TensorId,
    reads: Vec<Read>,
    /// Whether somebody outside of the strip reads it.
    whole: bool,
}

impl Strip {
    /// Layers `first..=last` in turns of `rows` rows of the last one; `None` if they cannot run so, or if every tensor of theirs
    /// is read by others.
    pub(super) fn of(program: &Program, first: usize, last: usize, rows: usize) -> Option<Self> {
        let outputs = outputs(program, first, last)?;
        let height = outputs.last()?.shape.h;
        if rows == 0 || rows >= height || outputs.iter().all(|output| output.whole) {
            return None;
        }
        let count = height.div_ceil(rows);
        let mut done = vec![0; outputs.len()];
        let mut turns = Vec::with_capacity(count);
        for turn in 1..=count {
            let held = outputs.iter().enumerate().filter(|(_, output)| !output.whole);
            let held = held.map(|(i, output)| output.first_needed(&outputs, &done).min(done[i])).collect();
            let before = done.clone();
            advance(&outputs, turn, count, (turn * rows).min(height), &mut done);
            turns.push(Turn { rows: before.iter().zip(&done).map(|(&from, &to)| from..to).collect(), held });
        }
        let rolls = outputs.iter().enumerate().filter(|(_, output)| !output.whole).enumerate();
        let rolling = rolls.map(|(at, (layer, output))| {
            let rows = turns.iter().map(|turn| turn.rows[layer].end - turn.held[at]).max()?;
            Some(Rolling { tensor: output.tensor, layer, rows, row_bytes: output.shape.w * output.shape.c })
        });
        let rolling = rolling.collect::<Option<Vec<_>>>()?;
        Some(Self { first, last, rows, rolling, turns })
    }

    /// Whether `step` is one of its layers.
    pub fn has(&self, step: usize) -> bool {
        (self.first..=self.last).contains(&step)
    }

    /// Where in [`Turn::held`] the first row of `tensor` in memory is; `None` if all of it is there.
    pub fn rolls(&self, tensor: TensorId) -> Option<usize> {
        self.rolling.iter().position(|rolling| rolling.tensor == tensor)
    }

    /// The turns as numbers, those of one turn after those of the other: the row after the last that each layer has computed by
    /// its end, then the first row in memory of each rolling tensor.
    pub fn table(&self) -> Vec<usize> {
        let of_turn = |turn: &Turn| turn.rows.iter().map(|rows| rows.end).chain(turn.held.clone()).collect::<Vec<_>>();
        self.turns.iter().flat_map(of_turn).collect()
    }

    /// Numbers of one turn in [`Strip::table`].
    pub fn columns(&self) -> usize {
        self.held_column(self.rolling.len())
    }

    /// Where in a turn's numbers the first row in memory of the `at`-th rolling tensor is.
    pub fn held_column(&self, at: usize) -> usize {
        self.last - self.first + 1 + at
    }

    /// Bytes of each number of [`Strip::table`]: one where that is enough for all, else two.
    pub fn number_bytes(&self) -> usize {
        if self.table().iter().all(|&number| u8::try_from(number).is_ok()) { 1 } else { 2 }
    }

    /// Bytes of [`Strip::table`].
    pub fn table_bytes(&self) -> usize {
        self.number_bytes() * self.table().len()
    }

    /// Bytes that move to the start of their tensor's memory in all turns together.
    pub(super) fn moved(&self) -> usize {
        let of_turn = |pair: &[Turn]| -> usize {
            let moved = |(at, rolling): (usize, &Rolling)| {
                let [before, now] = [pair[0].held[at], pair[1].held[at]];
                if now > before { (pair[0].rows[rolling.layer].end - now) * rolling.row_bytes } else { 0 }
            };
            self.rolling.iter().enumerate().map(moved).sum()
        };
        self.turns.windows(2).map(of_turn).sum()
    }
}

impl Rolling {
    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.rows * self.row_bytes
    }
}

impl Output {
    /// The first row that readers need from now on, when all layers have computed the rows of `done`.
    fn first_needed(&self, outputs: &[Self], done: &[usize]) -> usize {
        let needed = |read: &Read| {
            let next = done[read.by];
            let more = next < outputs[read.by].shape.h;
            more.then(|| read.window.rows_read(&(next..next + 1), self.shape.h).start)
        };
        self.reads.iter().filter_map(needed).min().unwrap_or(self.shape.h)
    }
}

/// Takes `done` to the end of turn `turn` of `count`, at which the last layer has computed `rows` rows.
fn advance(outputs: &[Output], turn: usize, count: usize, rows: usize, done: &mut [usize]) {
    let last = outputs.len() - 1;
    for layer in (0..=last).rev() {
        let output = &outputs[layer];
        let height = output.shape.h;
        let needed = output.reads.iter().filter(|read| done[read.by] > 0).map(|read| {
            let rows = 0..done[read.by];
            read.window.rows_read(&rows, height).end
        });
        // What others read grows evenly.
        let share = if layer == last { rows } else { (height * turn).div_ceil(count) };
        let needed = needed.max().unwrap_or(0).max(if output.whole { share } else { 0 });
        done[layer] = done[layer].max(needed);
    }
}

/// The outputs of layers `first..=last`, if these can run some rows at a time.
fn outputs(program: &Program, first: usize, last: usize) -> Option<Vec<Output>> {
    let layers = program.layers.get(first..=last)?;
    let output = |(at, layer): (usize, &crate::qir::Layer)| {
        let tensor = layer.output;
        let shape = program.tensor(tensor).shape;
        let window = needs::window(&row_window(&layer.op)?);
        let inputs = layer.inputs.iter().map(|id| program.tensor(*id).shape.h);
        let by_rows = inputs.into_iter().all(|height| rows_each_read(&window, shape.h, height));
        let read = |(by, reader): (usize, &crate::qir::Layer)| {
            let window = row_window(&reader.op).map(|window| needs::window(&window));
            window.filter(|_| reader.inputs.contains(&tensor)).map(|window| Read { by, window })
        };
        let reads = layers.iter().enumerate().skip(at + 1).filter_map(read).collect();
        let later = program.layers.iter().skip(last + 1).any(|reader| reader.inputs.contains(&tensor));
        (by_rows && tensor != program.output).then_some(Output { shape, tensor, reads, whole: later })
    };
    layers.iter().enumerate().map(output).collect()
}
