//! What a kernel will cost on a layer, reckoned from shapes alone.
//!
//! Each form of kernel has a few features: how often its inner loops run. What one round costs was fitted, for each
//! class of cores, to counts measured in QEMU (`tests/bench/layers.txt`); [`FITTED`] holds the result with the error
//! that remained. `cargo test --release --test it -- --ignored counts::fit` measures and fits anew.

use std::collections::BTreeSet;

use fratc_runtime::dsp;

use super::candidates::{Features, kernels_for};
use super::fitted::FITTED;
use super::{Kernel, Shapes, Sizes, as_conv, code, needs};
use crate::qir::{Conv, Layer, Op, Program, Window};
use crate::target::{Core, RustTarget, Target};

/// Features of a form.
pub const FEATURES: usize = 5;

/// What was fitted for one form of kernel on one class of cores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fitted {
    /// Class of cores, see [`class`].
    pub class: &'static str,
    /// Form of kernel, see [`form`].
    pub form: &'static str,
    /// Instructions for one of each feature.
    pub instructions: [f64; FEATURES],
    /// Bytes of code, once for all layers of the form; of the form `call`: for a layer, and for the rest of the crate.
    pub code: [f64; 2],
    /// Largest error of the instructions among the layers it was fitted to, as a share.
    pub error: f64,
}

/// Cores on which the same code runs.
pub fn class(target: &Target) -> &'static str {
    match (target.core, target.rust_target) {
        (_, RustTarget::V6m) => "v6m",
        (_, RustTarget::V7m) => "v7m",
        (_, RustTarget::V7em | RustTarget::V7emHf) => "dsp",
        (Core::M33, _) if target.target_cpu.is_some() => "dsp",
        (Core::M55, _) if target.target_cpu.is_some() => "mve",
        (_, RustTarget::V8m | RustTarget::V8mHf) => "v7m",
    }
}

/// The form of kernel that runs `op`.
pub fn form(op: &Op, kernel: Kernel) -> &'static str {
    match (op, kernel) {
        (Op::Conv(_), Kernel::Portable) => "conv",
        (Op::Depthwise(_), Kernel::Portable) => "depthwise",
        (Op::Dense(_), Kernel::Portable) => "dense",
        (Op::Add(_), Kernel::Portable) => "add",
        (Op::MaxPool(_), Kernel::Portable) => "max pool",
        (Op::AvgPool(_), Kernel::Portable) => "mean pool",
        (Op::Concat, _) => "concat",
        (Op::Lookup(_), _) => "lookup",
        (Op::Grouped(_), _) => "grouped",
        (Op::Gate(_), _) => "gate",
        (Op::Flatten, _) => "flatten",
        (Op::Adapt(_), _) => "adapt",
        (Op::Conv(_) | Op::Depthwise(_) | Op::Dense(_) | Op::Add(_) | Op::MaxPool(_) | Op::AvgPool(_), special) => {
            special.name()
        }
    }
}

/// How often the loops of `kernel` run on `layer`; what the numbers stand for depends on the form.
pub fn features(program: &Program, layer: &Layer, kernel: Kernel) -> [f64; FEATURES] {
    let (input, output) = (program.tensor(layer.inputs[0]).shape, program.tensor(layer.output).shape);
    let positions = output.h * output.w;
    let values = output.len();
    let macs = program.layer_macs(layer) as usize;
    let taps = |window: &Window| window.kernel[0] * window.kernel[1];
    // Kernels that hold some channels' sums at once.
    let pooled = |window: &Window| {
        [values * taps(window), positions * output.c.div_ceil(8) * taps(window), values, positions, 1]
    };
    let counts = match (&layer.op, kernel) {
        (Op::Conv(_) | Op::Dense(_), Kernel::DspConv) => {
            let Some(Shapes { window, input, output }) = as_conv(program, layer) else { return [0.0; FEATURES] };
            let positions = output.h * output.w;
            let groups = dsp::conv::filter_words(taps(&window) * input.c);
            let blocks = positions.div_ceil(dsp::dot::POSITIONS);
            // Channels that are no multiple of four are gathered byte by byte.
            let pieces = if input.c.is_multiple_of(4) { 1 } else { 4 };
            [
                blocks * output.c * groups,
                blocks * output.c,
                positions * groups * pieces,
                positions * window.kernel[0],
                1,
            ]
        }
        (Op::Conv(Conv { window, .. }), Kernel::DspRows) => {
            let blocks = output.h * output.w.div_ceil(dsp::rows::POSITIONS);
            let widened = window.kernel[0].min(window.stride[0]);
            let fours = input.c.div_ceil(4);
            [blocks * output.c * window.kernel[0] * fours, blocks * output.c, blocks * widened * fours, blocks, 1]
        }
        (Op::Depthwise(Conv { window, .. }), Kernel::DspDepthwise) => {
            [values * taps(window), values, positions * taps(window), positions, 1]
        }
        (Op::Conv(Conv { window, .. }), _) => [macs, values * window.kernel[0], values, positions, 1],
        (Op::Grouped(_), _) => [macs, values, positions, 1, 0],
        (Op::Depthwise(Conv { window, .. }) | Op::MaxPool(window), _) => pooled(window),
        (Op::Dense(_), Kernel::DspConvWide) => [macs, values, values, 1, 1],
        (Op::Dense(_), _) => [macs, values, 1, 0, 0],
        (Op::Add(_) | Op::Lookup(_) | Op::Gate(_) | Op::Flatten, _) => [values, 1, 0, 0, 0],
        (Op::Adapt(adapt), _) => [adapt.block * adapt.block * output.h * output.w * input.c, values, 1, 0, 0],
        (Op::Concat, _) => [values, positions * layer.inputs.len(), 1, 0, 0],
        (Op::AvgPool(pool), _) => pooled(&pool.window),
    };
    counts.map(|count| count as f64)
}

/// What was fitted for a form on a class of cores.
pub fn fitted(class: &str, form: &str) -> Option<&'static Fitted> {
    FITTED.iter().find(|fitted| fitted.class == class && fitted.form == form)
}

/// Estimated instructions of `layer` under `kernel`; `None` for a form that was never measured on the class.
pub fn instructions(program: &Program, layer: &Layer, kernel: Kernel, class: &str) -> Option<u64> {
    let fitted = fitted(class, form(&layer.op, kernel))?;
    let features = features(program, layer, kernel);
    let sum: f64 = fitted.instructions.iter().zip(features).map(|(each, count)| each * count).sum();
    Some(sum.round() as u64)
}

/// Estimated bytes of code of a crate whose layers have these forms, of [`form`] or [`code::form`].
pub fn code(class: &str, forms: &[&str]) -> u64 {
    if let Some(bytes) = code::of_forms(class, forms) {
        return bytes;
    }
    let distinct: BTreeSet<&str> = forms.iter().map(|form| code::plain(form)).collect();
    let of = |form: &str| fitted(class, form).map_or([0.0; 2], |fitted| fitted.code);
    let [layer, rest] = of("call");
    let bytes: f64 = distinct.into_iter().map(|form| of(form)[0]).sum::<f64>() + layer * forms.len() as f64 + rest;
    bytes.round() as u64
}

/// One way to run a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The kernel.
    pub kernel: Kernel,
    /// Estimated instructions; `None` for a form that was never measured on the core.
    pub instructions: Option<u64>,
    /// Weights as it reads them, in bytes.
    pub weights: usize,
    /// Other constants, in bytes.
    pub tables: usize,
    /// Scratch memory, in bytes.
    pub scratch: usize,
}

/// Every kernel that can run each layer of `program` on `target`.
pub fn candidates(program: &Program, target: &Target) -> Vec<Vec<Candidate>> {
    let class = class(target);
    let features = Features::of(target);
    let kernels: Vec<Vec<Kernel>> = program.layers.iter().map(|layer| kernels_for(program, layer, features)).collect();
    let most = kernels.iter().map(Vec::len).max().unwrap_or(0);
    // Constants of every layer under its first kernel, under its second, and so on.
    let of_rank = |rank: usize| -> Vec<Kernel> { kernels.iter().map(|all| all[rank.min(all.len() - 1)]).collect() };
    let sizes: Vec<Sizes> = (0..most).map(|rank| super::sizes::sizes(program, &of_rank(rank), &[])).collect();
    let of_layer = |(index, layer): (usize, &Layer)| {
        let candidate = |(rank, &kernel): (usize, &Kernel)| Candidate {
            kernel,
            instructions: instructions(program, layer, kernel, class),
            weights: sizes[rank].layers[index].weights,
            tables: sizes[rank].layers[index].tables,
            scratch: needs::scratch_bytes(program, layer, kernel),
        };
        kernels[index].iter().enumerate().map(candidate).collect()
    };
    program.layers.iter().enumerate().map(of_layer).collect()
}
