//! Which kernel runs a layer, what it needs beside its tensors, and its weights as it reads them.

use fratc_runtime::dsp;

use crate::qir::{Bias, Conv, Layer, Op, PadValue, Program};
use crate::target::{Core, RustTarget, Target};

/// Kernels of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// Plain Rust; weights as the program has them.
    Portable,
    /// `fratc_runtime::dsp::conv`; weights by [`pack`].
    DspConv,
}

/// What the code may use of a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Features {
    /// The DSP extension.
    pub dsp: bool,
}

impl Features {
    /// What every core has.
    pub const NONE: Self = Self { dsp: false };

    /// Of a target. A compiler for Armv8-M takes DSP instructions only if it is told the core. M55 has vectors,
    /// which the compiler finds in the portable kernels.
    pub fn of(target: &Target) -> Self {
        let core = matches!(target.core, Core::M4 | Core::M7 | Core::M33);
        let compiler = match target.rust_target {
            RustTarget::V7em | RustTarget::V7emHf => true,
            RustTarget::V8m | RustTarget::V8mHf => target.target_cpu.is_some(),
            RustTarget::V6m | RustTarget::V7m => false,
        };
        Self { dsp: core && compiler }
    }
}

/// The kernel of `layer`.
pub(super) fn choose(layer: &Layer, features: Features) -> Kernel {
    match &layer.op {
        Op::Conv(Conv { bias: Bias::Channel(_), pad: PadValue::Uniform(_), .. }) if features.dsp => Kernel::DspConv,
        _ => Kernel::Portable,
    }
}

/// Bytes of memory that `kernel` needs while it runs `layer`, beside the layer's tensors.
pub(super) fn scratch_bytes(program: &Program, layer: &Layer, kernel: Kernel) -> usize {
    match (&layer.op, kernel) {
        (Op::Conv(conv), Kernel::DspConv) => dsp::conv::scratch_bytes(filter_len(program, layer, conv)),
        _ => 0,
    }
}

/// Weights of one filter.
fn filter_len(program: &Program, layer: &Layer, conv: &Conv) -> usize {
    let [kh, kw] = conv.window.kernel;
    kh * kw * program.tensor(layer.inputs[0]).shape.c
}

/// Weights as `kernel` reads them: words of four values, first value in the low byte. `None` where it reads them as
/// the program has them.
pub fn pack(program: &Program, layer: &Layer, kernel: Kernel) -> Option<Vec<i32>> {
    match (&layer.op, kernel) {
        (Op::Conv(conv), Kernel::DspConv) => {
            let filters = conv.weights.chunks(filter_len(program, layer, conv));
            Some(filters.flat_map(|filter| filter.chunks(4).map(word)).collect())
        }
        _ => None,
    }
}

/// Up to four values in a word.
fn word(values: &[i8]) -> i32 {
    let mut bytes = [0; 4];
    for (byte, value) in bytes.iter_mut().zip(values) {
        *byte = value.cast_unsigned();
    }
    i32::from_le_bytes(bytes)
}
