//! Runs an int8 program on the host, with the very kernels that the emitted crate carries.
//!
//! In: a verified [`Program`] and raw samples, as bytes in `[H, W, C]` order (`i8` features as their bits).
//! Out: scores, or every tensor. Guaranteed: the same bytes as the emitted crate on any chip, since all
//! arithmetic is in integers and there is one rounding.

mod layer;
mod views;

use rayon::prelude::*;

use crate::qir::{InputKind, Program};

pub use layer::{Values, run_layer};
pub use views::{
    add, avg_pool, bias, conv, dense, depthwise, gate, grouped, hwc, max_pool, pad_value, requant, window,
};

/// The scores of one sample.
pub fn run(program: &Program, input: &[u8]) -> Vec<i8> {
    let mut tensors = trace(program, input);
    tensors.swap_remove(program.output.index())
}

/// Every tensor of one sample, by id; the input as the first layer reads it (`pixel − 128`).
pub fn trace(program: &Program, input: &[u8]) -> Vec<Vec<i8>> {
    let mut tensors = vec![Vec::new(); program.tensors.len()];
    tensors[program.input().index()] = match program.input_kind {
        InputKind::U8 => input.iter().map(|p| p.wrapping_sub(128) as i8).collect(),
        InputKind::I8 => input.iter().map(|&p| p as i8).collect(),
    };
    for layer in &program.layers {
        let inputs: Vec<Values<'_>> = layer
            .inputs
            .iter()
            .map(|&id| match program.input_kind {
                InputKind::U8 if id == program.input() => Values::U8(input),
                InputKind::U8 | InputKind::I8 => Values::I8(&tensors[id.index()]),
            })
            .collect();
        tensors[layer.output.index()] = run_layer(program, layer, &inputs);
    }
    tensors
}

/// The scores of many samples, in their order, on the current thread pool.
pub fn run_many(program: &Program, samples: &[&[u8]]) -> Vec<Vec<i8>> {
    samples.par_iter().map(|sample| run(program, sample)).collect()
}

/// The predicted class of one sample: the first of the largest scores.
pub fn predict(program: &Program, input: &[u8]) -> usize {
    fratc_runtime::argmax::argmax(&run(program, input))
}
