//! Layers that pass their input on as it is, and tables that can join a neighbour.
//!
//! Tables are judged on the values that can reach them, not on all 256. Two tensors become one only where scale and
//! zero point agree, since pools and concatenations ask for both.

use super::ranges::{Range, ranges};
use crate::qir::{Conv, Dense, Gate, Grouped, Layer, Op, Program, TensorId};

/// Removes and joins one after the other; whether there was any.
pub(super) fn join(program: &mut Program) -> bool {
    let mut changed = false;
    // After each change ids and ranges are new.
    while step(program) {
        changed = true;
    }
    changed
}

fn step(program: &mut Program) -> bool {
    let ranges = ranges(program);
    for index in 0..program.layers.len() {
        let layer = &program.layers[index];
        let reach = reach(&ranges[layer.inputs[0].index()]);
        if passes_on(program, layer, reach) {
            return drop_layer(program, index);
        }
        let Op::Lookup(table) = &layer.op else { continue };
        let Some(producer) = sole_producer(program, layer) else { continue };
        let same = program.tensor(layer.inputs[0]).quant == program.tensor(layer.output).quant;
        let bounds = if same { as_clamp(table, reach) } else { None };
        let table = table.clone();
        if join_producer(&mut program.layers[producer].op, &table, bounds) {
            return drop_producer_tensor(program, producer, index);
        }
    }
    false
}

/// The values of all channels together.
fn reach(channels: &[Range]) -> Range {
    let (lo, hi) = channels.iter().fold((i8::MAX, i8::MIN), |(lo, hi), r| (lo.min(r.lo), hi.max(r.hi)));
    Range { lo, hi }
}

fn entry(table: &[i8], q: i8) -> i8 {
    table[usize::from((i16::from(q) + 128) as u8)]
}

/// Whether `layer`'s output is its input, and the input can take its place.
fn passes_on(program: &Program, layer: &Layer, reach: Range) -> bool {
    let (from, to) = (program.tensor(layer.inputs[0]), program.tensor(layer.output));
    let same = match &layer.op {
        Op::Lookup(table) => (reach.lo..=reach.hi).all(|q| entry(table, q) == q),
        Op::MaxPool(window) => window.kernel == [1, 1] && window.stride == [1, 1],
        Op::Concat => layer.inputs.len() == 1,
        Op::Conv(_)
        | Op::Depthwise(_)
        | Op::Grouped(_)
        | Op::Dense(_)
        | Op::Add(_)
        | Op::Gate(_)
        | Op::AvgPool(_)
        | Op::Adapt(_)
        | Op::Flatten => false,
    };
    same && from.shape == to.shape
        && from.quant == to.quant
        && layer.inputs[0] != program.input()
        && layer.output != program.output
}

/// The layer that writes what `layer` reads, if nobody else reads it.
fn sole_producer(program: &Program, layer: &Layer) -> Option<usize> {
    let id = layer.inputs[0];
    let readers = program.layers.iter().flat_map(|l| &l.inputs).filter(|read| **read == id).count();
    let producer = program.layers.iter().position(|l| l.output == id)?;
    (readers == 1 && id != program.output).then_some(producer)
}

/// The bounds to which `table` clamps the values of `reach`, if that is all it does.
fn as_clamp(table: &[i8], reach: Range) -> Option<(i8, i8)> {
    let (min, max) = (entry(table, reach.lo), entry(table, reach.hi));
    let clamps = min <= max && (reach.lo..=reach.hi).all(|q| entry(table, q) == q.clamp(min, max));
    clamps.then_some((min, max))
}

/// Makes `op` do what `table` does to its result.
fn join_producer(op: &mut Op, table: &[i8], bounds: Option<(i8, i8)>) -> bool {
    if let Op::Lookup(first) = op {
        for q in first.iter_mut() {
            *q = entry(table, *q);
        }
        return true;
    }
    let Some((lo, hi)) = bounds.map(|(lo, hi)| (i32::from(lo), i32::from(hi))) else { return false };
    let (min, max) = match op {
        Op::Conv(Conv { requant, .. })
        | Op::Depthwise(Conv { requant, .. })
        | Op::Grouped(Grouped { conv: Conv { requant, .. }, .. })
        | Op::Dense(Dense { requant, .. })
        | Op::Gate(Gate { requant, .. }) => (&mut requant.min, &mut requant.max),
        Op::AvgPool(pool) => (&mut pool.requant.min, &mut pool.requant.max),
        Op::Add(add) => (&mut add.min, &mut add.max),
        Op::MaxPool(_) | Op::Concat | Op::Flatten | Op::Lookup(_) | Op::Adapt(_) => return false,
    };
    (*min, *max) = ((*min).clamp(lo, hi), (*max).clamp(lo, hi));
    true
}

/// Removes layer `index`, whose readers read its input from now on.
fn drop_layer(program: &mut Program, index: usize) -> bool {
    let layer = program.layers.remove(index);
    for id in program.layers.iter_mut().flat_map(|l| &mut l.inputs).filter(|id| **id == layer.output) {
        *id = layer.inputs[0];
    }
    forget(program, layer.output);
    true
}

/// Removes layer `index`, whose output `producer` writes from now on, and the tensor between them.
fn drop_producer_tensor(program: &mut Program, producer: usize, index: usize) -> bool {
    let layer = program.layers.remove(index);
    let between = program.layers[producer].output;
    program.layers[producer].output = layer.output;
    forget(program, between);
    true
}

/// Removes a tensor that no layer names any more.
fn forget(program: &mut Program, gone: TensorId) {
    program.tensors.remove(gone.index());
    let ids = program.layers.iter_mut().flat_map(|l| l.inputs.iter_mut().chain([&mut l.output]));
    for id in ids.chain([&mut program.output]).filter(|id| id.0 > gone.0) {
        id.0 -= 1;
    }
}
