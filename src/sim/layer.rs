//! One layer: one kernel call (a concatenation: one per input).

use fratc_runtime as rt;

use crate::qir::{Layer, Op, Program};
use crate::sim::views;

/// Values of one tensor, as its reader sees them.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// Quantized.
    I8(&'a [i8]),
    /// Raw pixels; they stand for `pixel − 128`.
    U8(&'a [u8]),
}

/// Calls `$kernel` with the element type of `$values`.
macro_rules! for_values {
    ($values:expr, $x:ident => $kernel:expr) => {
        match $values {
            Values::I8($x) => $kernel,
            Values::U8($x) => $kernel,
        }
    };
}

/// The output of `layer`, given its inputs in order.
///
/// `program` is verified: input counts are right, and sums, gates, concatenations and flattenings do not read raw pixels.
pub fn run_layer(program: &Program, layer: &Layer, inputs: &[Values<'_>]) -> Vec<i8> {
    let output = program.tensor(layer.output).shape;
    let mut out = vec![0; output.len()];
    let first = inputs.first().copied().unwrap_or(Values::I8(&[]));
    let input = program.tensor(layer.inputs[0]).shape;
    match &layer.op {
        Op::Conv(op) => {
            let kernel = views::conv(op, input, output);
            for_values!(first, x => rt::conv::conv2d(&kernel, x, &mut out));
        }
        Op::Depthwise(op) => {
            let kernel = views::depthwise(op, input, output);
            for_values!(first, x => rt::depthwise::depthwise(&kernel, x, &mut out));
        }
        Op::Dense(op) => {
            let kernel = views::dense(op);
            for_values!(first, x => rt::dense::dense(&kernel, x, &mut out));
        }
        Op::Add(op) => {
            if let [Values::I8(a), Values::I8(b)] = inputs {
                rt::add::add(&views::add(op), a, b, &mut out);
            }
        }
        Op::MaxPool(op) => {
            let kernel = views::max_pool(op, input, output);
            for_values!(first, x => rt::max_pool::max_pool(&kernel, x, &mut out));
        }
        Op::AvgPool(op) => {
            let kernel = views::avg_pool(op, input, output);
            for_values!(first, x => rt::avg_pool::avg_pool(&kernel, x, &mut out));
        }
        Op::Concat => {
            let mut offset = 0;
            for (&id, values) in layer.inputs.iter().zip(inputs) {
                let channels = program.tensor(id).shape.c;
                if let Values::I8(x) = values {
                    rt::concat::concat_part(x, channels, &mut out, output.c, offset);
                }
                offset += channels;
            }
        }
        Op::Grouped(op) => {
            let kernel = views::grouped(op, input, output);
            for_values!(first, x => rt::grouped::grouped(&kernel, x, &mut out));
        }
        Op::Gate(op) => {
            if let [Values::I8(features), Values::I8(gate)] = inputs {
                rt::gate::gate(&views::gate(op), features, gate, &mut out);
            }
        }
        Op::Adapt(op) => {
            let kernel = views::adapt(*op, input, output);
            for_values!(first, x => rt::adapt::adapt(&kernel, x, &mut out));
        }
        Op::Flatten => {
            if let Values::I8(x) = first {
                rt::flatten::flatten(x, input.c, &mut out);
            }
        }
        Op::Lookup(table) => {
            if let Ok(table) = table.as_slice().try_into() {
                for_values!(first, x => rt::lookup::lookup(table, x, &mut out));
            }
        }
    }
    out
}
