//! Which kernel runs a layer, what it needs beside its tensors, and its weights as it reads them.

use fratc_runtime::dsp;

use crate::qir::{Bias, Conv, Hwc, Layer, Op, PadValue, Program, Window};
use crate::target::{Core, RustTarget, Target};

/// Kernels of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// Plain Rust; weights as the program has them.
    Portable,
    /// `fratc_runtime::dsp::conv`: any dense convolution, eight patches at a time.
    DspConv,
    /// `fratc_runtime::dsp::rows`: dense, three columns wide, step 1 along a row.
    DspRows,
    /// `fratc_runtime::dsp::depthwise`.
    DspDepthwise,
}

impl Kernel {
    /// A short name, for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::DspConv => "dsp conv",
            Self::DspRows => "dsp rows",
            Self::DspDepthwise => "dsp depthwise",
        }
    }
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

/// The kernel of `layer`: of those that can run it, the one with the fewest instructions.
pub(super) fn choose(program: &Program, layer: &Layer, features: Features) -> Kernel {
    let uniform = |conv: &Conv| matches!((&conv.bias, &conv.pad), (Bias::Channel(_), PadValue::Uniform(_)));
    // Kernels that load words want tensors of the arena: the caller's input may be raw pixels, and lies anywhere.
    let from_arena = layer.inputs[0] != program.input();
    let (input, output) = (program.tensor(layer.inputs[0]).shape, program.tensor(layer.output).shape);
    match &layer.op {
        Op::Conv(conv) if features.dsp && uniform(conv) => {
            let rows = from_arena
                && dsp::rows::takes(input.c, &window(&conv.window))
                && rows_cost(conv, input, output) < patches_cost(conv, input, output);
            if rows { Kernel::DspRows } else { Kernel::DspConv }
        }
        Op::Depthwise(conv) if features.dsp && uniform(conv) => {
            let taps = conv.window.kernel[0] * conv.window.kernel[1];
            if from_arena && dsp::depthwise::takes(input.c, taps) { Kernel::DspDepthwise } else { Kernel::Portable }
        }
        _ => Kernel::Portable,
    }
}

/// Instructions for one filter's eight sums beside its products: biases in, scores out.
const FILTER_COST: usize = 75;

/// Instructions of `dsp::conv`, about: 55 for two groups of four values, 20 to gather a group of one patch.
fn patches_cost(conv: &Conv, input: Hwc, output: Hwc) -> usize {
    let groups = dsp::conv::filter_words(conv.window.kernel[0] * conv.window.kernel[1] * input.c);
    let blocks = (output.h * output.w).div_ceil(dsp::dot::POSITIONS);
    blocks * (output.c * (groups * 55 / 2 + FILTER_COST) + dsp::dot::POSITIONS * groups * 20)
}

/// Instructions of `dsp::rows`, about: 79 for four channels of one kernel row, 100 to widen them.
fn rows_cost(conv: &Conv, input: Hwc, output: Hwc) -> usize {
    let [rows, _] = conv.window.kernel;
    let blocks = output.h * output.w.div_ceil(dsp::dot::POSITIONS);
    let widened = rows.min(conv.window.stride[0]);
    blocks * (output.c * (rows * input.c / 4 * 79 + FILTER_COST) + widened * input.c / 4 * 100)
}

/// The runtime's form of a window.
pub(super) fn window(window: &Window) -> fratc_runtime::shape::Window {
    let Window { kernel, stride, dilation, pad } = *window;
    fratc_runtime::shape::Window { kernel, stride, dilation, pad }
}

/// Bytes of memory that `kernel` needs while it runs `layer`, beside the layer's tensors.
pub(super) fn scratch_bytes(program: &Program, layer: &Layer, kernel: Kernel) -> usize {
    let Some(input) = layer.inputs.first().map(|id| program.tensor(*id).shape) else { return 0 };
    match (&layer.op, kernel) {
        (Op::Conv(conv), Kernel::DspConv) => dsp::conv::scratch_bytes(filter_len(program, layer, conv)),
        (Op::Conv(conv), Kernel::DspRows) => dsp::rows::scratch_bytes(input.c, conv.window.kernel[0]),
        (Op::Depthwise(conv), Kernel::DspDepthwise) => {
            dsp::depthwise::scratch_bytes(input.c, conv.window.kernel[0] * conv.window.kernel[1])
        }
        _ => 0,
    }
}

/// Output rows that `kernel` does at once: fewer cost it nearly as much.
pub(super) fn band_unit(kernel: Kernel, output: Hwc) -> usize {
    match kernel {
        // Positions go by eights over the ends of rows.
        Kernel::DspConv => (1..dsp::dot::POSITIONS)
            .find(|rows| (rows * output.w).is_multiple_of(dsp::dot::POSITIONS))
            .unwrap_or(dsp::dot::POSITIONS),
        // Each band widens the rows above it anew.
        Kernel::DspRows => 2,
        Kernel::Portable | Kernel::DspDepthwise => 1,
    }
}

/// Weights of one filter.
fn filter_len(program: &Program, layer: &Layer, conv: &Conv) -> usize {
    let [kh, kw] = conv.window.kernel;
    kh * kw * program.tensor(layer.inputs[0]).shape.c
}

/// Weights as `kernel` reads them, see its documentation. `None` where it reads them as the program has them.
pub fn pack(program: &Program, layer: &Layer, kernel: Kernel) -> Option<Vec<i32>> {
    match (&layer.op, kernel) {
        (Op::Conv(conv), Kernel::DspConv) => {
            let filters = conv.weights.chunks(filter_len(program, layer, conv));
            Some(filters.flat_map(|filter| filter.chunks(4).map(word)).collect())
        }
        (Op::Conv(conv), Kernel::DspRows) => {
            let channels = program.tensor(layer.inputs[0]).shape.c;
            let rows = conv.weights.chunks(dsp::rows::TAPS * channels);
            let words = rows.flat_map(|row| {
                (0..channels)
                    .step_by(4)
                    .flat_map(move |first| row.chunks(channels).map(move |tap| word(&tap[first..first + 4])))
            });
            Some(words.collect())
        }
        (Op::Depthwise(conv), Kernel::DspDepthwise) => {
            let channels = program.tensor(layer.inputs[0]).shape.c;
            let fours = (0..channels).step_by(4).flat_map(|first| {
                let taps = conv.weights.chunks(channels).map(move |tap| &tap[first..first + 4]);
                taps.flat_map(|four| [lanes(four[0], four[2]), lanes(four[1], four[3])])
            });
            Some(fours.collect())
        }
        _ => None,
    }
}

/// Two 16-bit lanes.
fn lanes(low: i8, high: i8) -> i32 {
    (i32::from(low) & 0xffff) | (i32::from(high) << 16)
}

/// Up to four values in a word.
fn word(values: &[i8]) -> i32 {
    let mut bytes = [0; 4];
    for (byte, value) in bytes.iter_mut().zip(values) {
        *byte = value.cast_unsigned();
    }
    i32::from_le_bytes(bytes)
}
