//! Which kernel runs a layer, what it needs beside its tensors, and its weights as it reads them.

use fratc_runtime::{dsp, mve, scalar};

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
    /// `fratc_runtime::mve::conv`: any dense convolution, two patches at a time.
    MveConv,
    /// `fratc_runtime::scalar::v7m`: any dense convolution, four patches and two filters at a time.
    ScalarV7m,
    /// `fratc_runtime::scalar::v6m`: any dense convolution, four patches and one filter at a time.
    ScalarV6m,
}

/// Kernels with assembly for one sort of core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// The DSP extension: Cortex-M4, M7, M33.
    Dsp,
    /// The vector extension: Cortex-M55.
    Mve,
    /// Armv7-M: Cortex-M3.
    V7m,
    /// Armv6-M: Cortex-M0, M0+.
    V6m,
}

impl Family {
    /// Cargo feature of the emitted crate that turns the assembly on.
    pub fn feature(self) -> &'static str {
        match self {
            Self::Dsp => "dsp",
            Self::Mve => "mve",
            Self::V7m => "v7m",
            Self::V6m => "v6m",
        }
    }

    /// Folder of the kernels in the runtime.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Dsp => "dsp",
            Self::Mve => "mve",
            Self::V7m | Self::V6m => "scalar",
        }
    }
}

impl Kernel {
    /// Whose assembly it is; `None` for plain Rust.
    pub fn family(self) -> Option<Family> {
        match self {
            Self::Portable => None,
            Self::DspConv | Self::DspRows | Self::DspDepthwise => Some(Family::Dsp),
            Self::MveConv => Some(Family::Mve),
            Self::ScalarV7m => Some(Family::V7m),
            Self::ScalarV6m => Some(Family::V6m),
        }
    }
}

impl Kernel {
    /// A short name, for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::DspConv => "dsp conv",
            Self::DspRows => "dsp rows",
            Self::DspDepthwise => "dsp depthwise",
            Self::MveConv => "mve conv",
            Self::ScalarV7m => "v7m conv",
            Self::ScalarV6m => "v6m conv",
        }
    }
}

/// What the code may use of a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Features {
    /// The DSP extension.
    pub dsp: bool,
    /// The kernel for convolutions of a core without it.
    pub conv: Option<Kernel>,
}

impl Features {
    /// What every core has.
    pub const NONE: Self = Self { dsp: false, conv: None };

    /// Of a target. A compiler for Armv8-M takes DSP and vector instructions only if it is told the core.
    pub fn of(target: &Target) -> Self {
        let core = matches!(target.core, Core::M4 | Core::M7 | Core::M33);
        let compiler = match target.rust_target {
            RustTarget::V7em | RustTarget::V7emHf => true,
            RustTarget::V8m | RustTarget::V8mHf => target.target_cpu.is_some(),
            RustTarget::V6m | RustTarget::V7m => false,
        };
        let conv = match target.core {
            Core::M0 | Core::M0Plus => Some(Kernel::ScalarV6m),
            Core::M3 => Some(Kernel::ScalarV7m),
            Core::M4 | Core::M7 | Core::M33 => None,
            Core::M55 => target.target_cpu.is_some().then_some(Kernel::MveConv),
        };
        Self { dsp: core && compiler, conv }
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
        Op::Conv(conv) if uniform(conv) => features.conv.unwrap_or(Kernel::Portable),
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
        (Op::Conv(conv), Kernel::MveConv) => mve::conv::scratch_bytes(filter_len(program, layer, conv)),
        (Op::Conv(conv), Kernel::ScalarV7m | Kernel::ScalarV6m) => {
            scalar::conv::scratch_bytes(filter_len(program, layer, conv))
        }
        _ => 0,
    }
}

/// Output rows that `kernel` does at once: fewer cost it nearly as much.
pub(super) fn band_unit(kernel: Kernel, output: Hwc) -> usize {
    // Positions go by so many over the ends of rows.
    let positions = |n: usize| (1..n).find(|rows| (rows * output.w).is_multiple_of(n)).unwrap_or(n);
    match kernel {
        Kernel::DspConv => positions(dsp::dot::POSITIONS),
        Kernel::MveConv => positions(mve::dot::PATCHES),
        Kernel::ScalarV7m | Kernel::ScalarV6m => positions(scalar::conv::POSITIONS),
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
        (Op::Conv(conv), Kernel::MveConv) => {
            let len = filter_len(program, layer, conv);
            Some(interleaved(&conv.weights, len, mve::conv::padded(len), [mve::dot::FILTERS, mve::dot::VECTOR]))
        }
        (Op::Conv(conv), Kernel::ScalarV7m) => {
            let len = filter_len(program, layer, conv);
            Some(interleaved(&conv.weights, len, scalar::conv::padded(len), [scalar::v7m::FILTERS, 1]))
        }
        (Op::Conv(conv), Kernel::ScalarV6m) => {
            let len = filter_len(program, layer, conv);
            Some(interleaved(&conv.weights, len, scalar::conv::padded(len), [1, 1]))
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

/// Filters of `len` weights, filled up with zeros to `padded` each and to whole groups of `filters`, and in each group
/// `run` weights of one filter, as many of the next, and so on; four weights in a word.
fn interleaved(weights: &[i8], len: usize, padded: usize, [filters, run]: [usize; 2]) -> Vec<i32> {
    let mut bytes = Vec::new();
    for group in weights.chunks(len * filters) {
        for start in (0..padded).step_by(run) {
            for filter in 0..filters {
                let at = |i: usize| if i < len { group.get(filter * len + i).copied().unwrap_or(0) } else { 0 };
                bytes.extend((start..start + run).map(at));
            }
        }
    }
    bytes.chunks(4).map(word).collect()
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

/// Every kernel that can run `layer` on a core with `features`: the portable one first, one that was made to be faster
/// after those it is to replace.
pub(super) fn candidates(program: &Program, layer: &Layer, features: Features) -> Vec<Kernel> {
    let mut kernels = vec![Kernel::Portable];
    let (Op::Conv(conv) | Op::Depthwise(conv)) = &layer.op else { return kernels };
    if !matches!((&conv.bias, &conv.pad), (Bias::Channel(_), PadValue::Uniform(_))) {
        return kernels;
    }
    // Kernels that load words want tensors of the arena: the caller's input may be raw pixels, and lies anywhere.
    let from_arena = layer.inputs[0] != program.input();
    let channels = program.tensor(layer.inputs[0]).shape.c;
    if matches!(layer.op, Op::Conv(_)) {
        kernels.extend(features.conv);
        if features.dsp {
            kernels.push(Kernel::DspConv);
            if from_arena && dsp::rows::takes(channels, &window(&conv.window)) {
                kernels.push(Kernel::DspRows);
            }
        }
    } else if features.dsp
        && from_arena
        && dsp::depthwise::takes(channels, conv.window.kernel[0] * conv.window.kernel[1])
    {
        kernels.push(Kernel::DspDepthwise);
    }
    kernels
}
