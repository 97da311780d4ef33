//! Which kernel runs a layer, and what it needs beside its tensors.

use fratc_runtime::{dsp, mve, scalar};

use super::sizes;
use crate::qir::{Add, AvgPool, Bias, Conv, Hwc, Layer, Op, PadValue, Program, Window};
use crate::target::{Core, RustTarget, Target};

/// Kernels of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// Plain Rust; weights as the program has them.
    Portable,
    /// `fratc_runtime::dsp::conv`: any dense convolution, four patches and two filters at a time.
    DspConv,
    /// The same with weights of 16 bits: twice the flash, an eighth fewer instructions.
    DspConvWide,
    /// `fratc_runtime::dsp::rows`: dense, three columns wide, step 1 along a row.
    DspRows,
    /// `fratc_runtime::dsp::winograd`: dense, 3×3, step 1; 3.6 bytes of flash for a weight.
    DspWinograd,
    /// `fratc_runtime::dsp::depthwise`.
    DspDepthwise,
    /// `fratc_runtime::dsp::lines`: depthwise 3×3, two outputs of a channel at a time.
    DspLines,
    /// `fratc_runtime::dsp::add`: sums, four elements at a time.
    DspAdd,
    /// `fratc_runtime::dsp::pool`: mean pools, four channels and two positions at a time.
    DspPool,
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
            Self::DspConv
            | Self::DspConvWide
            | Self::DspRows
            | Self::DspWinograd
            | Self::DspDepthwise
            | Self::DspLines
            | Self::DspAdd
            | Self::DspPool => Some(Family::Dsp),
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
            Self::DspConvWide => "dsp conv of 16-bit weights",
            Self::DspWinograd => "dsp winograd",
            Self::DspRows => "dsp rows",
            Self::DspDepthwise => "dsp depthwise",
            Self::MveConv => "mve conv",
            Self::ScalarV7m => "v7m conv",
            Self::ScalarV6m => "v6m conv",
            Self::DspLines => "dsp depthwise lines",
            Self::DspAdd => "dsp add",
            Self::DspPool => "dsp mean pool",
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

/// A kernel that takes more flash and fewer instructions.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    layer: usize,
    kernel: Kernel,
    /// Instructions saved.
    saved: u64,
    /// Bytes of flash beyond those of the layer's small kernel.
    more: u64,
}

/// Flash that is kept for code, in bytes: kernels, start-up, the caller.
const CODE: u64 = 32 << 10;

/// The kernel of each layer: the one with the fewest instructions as long as all constants fit `flash` bytes beside
/// the code. Those that cost flash come in the order of instructions saved per byte.
pub(super) fn choose(program: &Program, features: Features, flash: u64) -> Vec<Kernel> {
    let mut kernels: Vec<Kernel> = program.layers.iter().map(|layer| small(program, layer, features)).collect();
    let mut bytes = sizes::sizes(program, &kernels).total() as u64 + CODE;
    let mut wanted: Vec<Wanted> = Vec::new();
    for (index, (layer, &kernel)) in program.layers.iter().zip(&kernels).enumerate() {
        let Some(shapes) = as_conv(program, layer) else { continue };
        let (now, wide) = match kernel {
            Kernel::DspConv => (patches_cost(&shapes, false), Some(patches_cost(&shapes, true))),
            Kernel::DspRows => (rows_cost(&shapes), None),
            _ => continue,
        };
        let winograd = winograd_takes(program, layer).then(|| winograd_cost(&shapes));
        let bytes = |kernel: Kernel| sizes::layer_total(program, layer, kernel) as u64;
        for (kernel, cost) in [(Kernel::DspConvWide, wide), (Kernel::DspWinograd, winograd)] {
            let saved = now.saturating_sub(cost.unwrap_or(now)) as u64;
            if saved > 0 {
                let more = bytes(kernel).saturating_sub(bytes(kernels[index])).max(1);
                wanted.push(Wanted { layer: index, kernel, saved, more });
            }
        }
    }
    wanted.sort_by_key(|w| (std::cmp::Reverse((w.saved << 16) / w.more), w.layer));
    let mut taken: Vec<Option<Wanted>> = vec![None; kernels.len()];
    for wanted in wanted {
        let (saved, spent) = taken[wanted.layer].map_or((0, 0), |taken| (taken.saved, taken.more));
        if wanted.saved > saved && bytes - spent + wanted.more <= flash {
            bytes = bytes - spent + wanted.more;
            kernels[wanted.layer] = wanted.kernel;
            taken[wanted.layer] = Some(wanted);
        }
    }
    kernels
}

/// Whether Winograd's kernel can run a layer exactly.
fn winograd_takes(program: &Program, layer: &Layer) -> bool {
    let Op::Conv(conv) = &layer.op else { return false };
    let (Bias::Channel(bias), PadValue::Uniform(_)) = (&conv.bias, &conv.pad) else { return false };
    let channels = program.tensor(layer.inputs[0]).shape.c;
    let filters = conv.weights.chunks(filter_len(program, layer, conv));
    // Four times every sum that can occur is an i32.
    let fits = filters.zip(bias).all(|(filter, bias)| {
        let weights: i64 = filter.iter().map(|w| i64::from(*w).abs()).sum();
        4 * (i64::from(*bias).abs() + 128 * weights) <= i64::from(i32::MAX)
    });
    layer.inputs[0] != program.input() && dsp::winograd::takes(channels, bias.len(), &window(&conv.window)) && fits
}

/// The kernel of `layer` that needs no more flash than its weights: of those that can run it, the one with the fewest
/// instructions.
fn small(program: &Program, layer: &Layer, features: Features) -> Kernel {
    let uniform = |conv: &Conv| matches!((&conv.bias, &conv.pad), (Bias::Channel(_), PadValue::Uniform(_)));
    // Kernels that load words want tensors of the arena: the caller's input may be raw pixels, and lies anywhere.
    let from_arena = layer.inputs[0] != program.input();
    let (input, output) = (program.tensor(layer.inputs[0]).shape, program.tensor(layer.output).shape);
    match &layer.op {
        Op::Conv(conv) if features.dsp && output.c > 1 => {
            let rows = from_arena
                && uniform(conv)
                && dsp::rows::takes(input.c, &window(&conv.window))
                && as_conv(program, layer).is_some_and(|shapes| rows_cost(&shapes) < patches_cost(&shapes, false));
            if rows { Kernel::DspRows } else { Kernel::DspConv }
        }
        Op::Depthwise(conv) if features.dsp && uniform(conv) => {
            let taps = conv.window.kernel[0] * conv.window.kernel[1];
            if from_arena && lines_takes(conv, input, output) {
                Kernel::DspLines
            } else if from_arena && dsp::depthwise::takes(input.c, taps) {
                Kernel::DspDepthwise
            } else {
                Kernel::Portable
            }
        }
        Op::Dense(_) if features.dsp && dense_takes(program, layer) => Kernel::DspConv,
        Op::Conv(conv) if uniform(conv) => features.conv.unwrap_or(Kernel::Portable),
        Op::Add(add) if features.dsp && add_takes(add) => Kernel::DspAdd,
        Op::AvgPool(pool) if features.dsp && from_arena && pool_takes(pool, input, output) => Kernel::DspPool,
        _ => Kernel::Portable,
    }
}

/// What a convolution works on.
#[derive(Debug, Clone, Copy)]
pub struct Shapes {
    /// Window.
    pub window: Window,
    /// Shape of the input.
    pub input: Hwc,
    /// Shape of the output.
    pub output: Hwc,
}

/// Those of a dense convolution; a fully connected layer is one whose input is one position. `None` for others.
pub fn as_conv(program: &Program, layer: &Layer) -> Option<Shapes> {
    let (input, output) = (program.tensor(*layer.inputs.first()?).shape, program.tensor(layer.output).shape);
    let position = |shape: Hwc| Hwc { h: 1, w: 1, c: shape.len() };
    let window = Window { kernel: [1, 1], stride: [1, 1], dilation: [1, 1], pad: [0, 0] };
    match &layer.op {
        Op::Conv(conv) => Some(Shapes { window: conv.window, input, output }),
        Op::Dense(_) => Some(Shapes { window, input: position(input), output: position(output) }),
        _ => None,
    }
}

/// Whether `dsp::pool` can run a mean pool.
fn pool_takes(pool: &AvgPool, input: Hwc, output: Hwc) -> bool {
    dsp::pool::takes(hwc(input), hwc(output), &window(&pool.window))
}

/// Inputs of a fully connected layer up to which it is worth to widen all of them at once.
const DENSE: usize = 512;

/// Whether `dsp::conv` should run a fully connected layer.
fn dense_takes(program: &Program, layer: &Layer) -> bool {
    let values = program.tensor(layer.inputs[0]).shape.len();
    layer.inputs[0] != program.input() && values <= DENSE && program.tensor(layer.output).shape.len() > 1
}

/// Whether `dsp::add` can run a sum.
fn add_takes(add: &Add) -> bool {
    let Add { factors, constant, shift, zero_point, min, max } = *add;
    dsp::add::takes(&fratc_runtime::add::Add { factors, constant, shift, zero_point, min, max })
}

/// Whether `dsp::lines` can run a depthwise convolution.
fn lines_takes(conv: &Conv, input: Hwc, output: Hwc) -> bool {
    let requant = &conv.requant;
    let plain = requant.shift == 0 && requant.min == -128 && requant.max == 127;
    plain && dsp::lines::takes(input.c, &window(&conv.window), columns(&conv.window, output))
}

/// Whether `kernel` can write the output of `layer` over its only input, byte for byte.
pub(super) fn takes_in_place(program: &Program, layer: &Layer, kernel: Kernel) -> bool {
    let shape = |id: crate::qir::TensorId| program.tensor(id).shape;
    let (input, output) = (shape(layer.inputs[0]), shape(layer.output));
    match (&layer.op, kernel) {
        (Op::Depthwise(conv), Kernel::DspLines) => {
            let columns = columns(&conv.window, output);
            dsp::lines::takes_in_place(hwc(input), hwc(output), &window(&conv.window), columns)
        }
        (Op::Conv(conv), Kernel::DspConv | Kernel::DspConvWide) => {
            let one_start = matches!(conv.bias, Bias::Channel(_));
            one_start && dsp::conv::takes_in_place(hwc(input), hwc(output), &window(&conv.window))
        }
        _ => false,
    }
}

/// Whether positions taken four at a time leave one over.
pub fn leaves_one(output: Hwc) -> bool {
    (output.h * output.w) % dsp::dot::POSITIONS == 1
}

/// Whether `dsp::lines` should take columns for lines: if so it computes fewer outputs that nobody wants.
pub fn columns(window: &Window, output: Hwc) -> bool {
    let computed =
        |along: usize, across: usize, step: usize| across * if step == 1 { along.div_ceil(2) } else { along };
    let [down, right] = window.stride;
    let rows = computed(output.w, output.h, right);
    (1..=2).contains(&down) && (computed(output.h, output.w, down) < rows || right > 2)
}

/// Instructions for one filter's eight sums beside its products: biases in, scores out.
const FILTER_COST: usize = 75;

/// Instructions of `dsp::conv`, about: for four patches and a pair of filters 31 for four values (27 if `wide`) and 60
/// beside; to gather a patch 8 for four values, 10 for a kernel row and 60 beside.
fn patches_cost(&Shapes { window, input, output }: &Shapes, wide: bool) -> usize {
    let [rows, columns] = window.kernel;
    let groups = dsp::conv::filter_words(rows * columns * input.c);
    let positions = output.h * output.w;
    let pair = groups * if wide { 27 } else { 31 } + 60;
    positions.div_ceil(dsp::dot::POSITIONS) * output.c.div_ceil(2) * pair + positions * (groups * 8 + rows * 10 + 60)
}

/// Instructions of `dsp::rows`, about: 79 for four channels of one kernel row, 100 to widen them.
fn rows_cost(&Shapes { window, input, output }: &Shapes) -> usize {
    let [rows, _] = window.kernel;
    let blocks = output.h * output.w.div_ceil(dsp::rows::POSITIONS);
    let widened = rows.min(window.stride[0]);
    blocks * (output.c * (rows * input.c / 4 * 79 + FILTER_COST) + widened * input.c / 4 * 100)
}

/// Instructions of `dsp::winograd`, about: for four tiles a filter takes 16 sums of I / 2 products, 13 instructions for
/// 8 of these, and 260 for its outputs; their input takes 37 per tile, row and four channels.
fn winograd_cost(&Shapes { window: _, input, output }: &Shapes) -> usize {
    let blocks = output.h.div_ceil(2) * output.w.div_ceil(8);
    blocks * (output.c * (16 * (input.c / 2 * 13 / 2 + 12) + 260) + input.c / 4 * 16 * 37)
}

/// The runtime's form of a window.
pub(super) fn window(window: &Window) -> fratc_runtime::shape::Window {
    let Window { kernel, stride, dilation, pad } = *window;
    fratc_runtime::shape::Window { kernel, stride, dilation, pad }
}

/// The runtime's form of a shape.
fn hwc(Hwc { h, w, c }: Hwc) -> fratc_runtime::shape::Hwc {
    fratc_runtime::shape::Hwc { h, w, c }
}

/// Bytes of memory that `kernel` needs while it runs `layer`, beside the layer's tensors.
pub(super) fn scratch_bytes(program: &Program, layer: &Layer, kernel: Kernel) -> usize {
    let Some(input) = layer.inputs.first().map(|id| program.tensor(*id).shape) else { return 0 };
    match (&layer.op, kernel) {
        (Op::Conv(_) | Op::Dense(_), Kernel::DspConv | Kernel::DspConvWide) => {
            let of_shapes = |s: Shapes| dsp::conv::scratch_bytes(hwc(s.input), hwc(s.output), &window(&s.window));
            as_conv(program, layer).map_or(0, of_shapes)
        }
        (Op::Conv(conv), Kernel::DspRows) => dsp::rows::scratch_bytes(input.c, conv.window.kernel[0]),
        (Op::Conv(_), Kernel::DspWinograd) => dsp::winograd::scratch_bytes(input.c),
        (Op::Depthwise(conv), Kernel::DspLines) => {
            let output = program.tensor(layer.output).shape;
            let columns = columns(&conv.window, output);
            dsp::lines::scratch_bytes(hwc(output), &window(&conv.window), columns)
        }
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
        Kernel::DspConv | Kernel::DspConvWide => positions(dsp::dot::POSITIONS),
        Kernel::MveConv => positions(mve::dot::PATCHES),
        Kernel::ScalarV7m | Kernel::ScalarV6m => positions(scalar::conv::POSITIONS),
        // Each band widens the rows above it anew.
        Kernel::DspRows | Kernel::DspWinograd => 2,
        // As many rows as the planes hold; where columns are lines, long ones.
        Kernel::DspLines if output.w.is_multiple_of(2) => 8,
        Kernel::DspLines => output.h.div_ceil(2).next_multiple_of(2).min(16),
        Kernel::Portable | Kernel::DspDepthwise | Kernel::DspAdd | Kernel::DspPool => 1,
    }
}

/// Weights of one filter.
pub(super) fn filter_len(program: &Program, layer: &Layer, conv: &Conv) -> usize {
    let [kh, kw] = conv.window.kernel;
    kh * kw * program.tensor(layer.inputs[0]).shape.c
}

/// Every kernel that can run `layer` on a core with `features`: the portable one first, one that was made to be faster
/// after those it is to replace.
pub(super) fn candidates(program: &Program, layer: &Layer, features: Features) -> Vec<Kernel> {
    let mut kernels = vec![Kernel::Portable];
    if let Op::Add(add) = &layer.op
        && features.dsp
        && add_takes(add)
    {
        kernels.push(Kernel::DspAdd);
    }
    let (input, output) = (program.tensor(layer.inputs[0]).shape, program.tensor(layer.output).shape);
    // Kernels that load words want tensors of the arena: the caller's input may be raw pixels, and lies anywhere.
    let from_arena = layer.inputs[0] != program.input();
    if matches!(layer.op, Op::Dense(_)) && features.dsp && dense_takes(program, layer) {
        kernels.extend([Kernel::DspConv, Kernel::DspConvWide]);
    }
    if let Op::AvgPool(pool) = &layer.op
        && features.dsp
        && from_arena
        && pool_takes(pool, input, output)
    {
        kernels.push(Kernel::DspPool);
    }
    let (Op::Conv(conv) | Op::Depthwise(conv)) = &layer.op else { return kernels };
    if !matches!((&conv.bias, &conv.pad), (Bias::Channel(_), PadValue::Uniform(_))) {
        if features.dsp && matches!(layer.op, Op::Conv(_)) && output.c > 1 {
            kernels.extend([Kernel::DspConv, Kernel::DspConvWide]);
        }
        return kernels;
    }
    let channels = input.c;
    if matches!(layer.op, Op::Conv(_)) {
        kernels.extend(features.conv);
        if features.dsp && output.c > 1 {
            kernels.push(Kernel::DspConv);
            if from_arena && dsp::rows::takes(channels, &window(&conv.window)) {
                kernels.push(Kernel::DspRows);
            }
            kernels.push(Kernel::DspConvWide);
            if winograd_takes(program, layer) {
                kernels.push(Kernel::DspWinograd);
            }
        }
    } else if features.dsp && from_arena {
        if dsp::depthwise::takes(channels, conv.window.kernel[0] * conv.window.kernel[1]) {
            kernels.push(Kernel::DspDepthwise);
        }
        if lines_takes(conv, input, output) {
            kernels.push(Kernel::DspLines);
        }
    }
    kernels
}
