//! Which kernels can run a layer.

use fratc_runtime::{dsp, mve, scalar, taps};

use super::Kernel;
use super::needs::{columns, filter_len, hwc, window};
use crate::qir::{Add, AvgPool, Bias, Conv, Hwc, Layer, Op, PadValue, Program, Window};
use crate::target::{Core, RustTarget, Target};

/// What the code may use of a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Features {
    /// The DSP extension.
    pub dsp: bool,
    /// The kernels for convolutions of a core without it: dense and depthwise.
    pub others: Option<[Kernel; 2]>,
}

impl Features {
    /// What every core has.
    pub const NONE: Self = Self { dsp: false, others: None };

    /// Of a target. A compiler for Armv8-M takes DSP and vector instructions only if it is told the core.
    pub fn of(target: &Target) -> Self {
        let core = matches!(target.core, Core::M4 | Core::M7 | Core::M33);
        let compiler = match target.rust_target {
            RustTarget::V7em | RustTarget::V7emHf => true,
            RustTarget::V8m | RustTarget::V8mHf => target.target_cpu.is_some(),
            RustTarget::V6m | RustTarget::V7m => false,
        };
        let others = match target.core {
            Core::M0 | Core::M0Plus => Some([Kernel::ScalarV6m, Kernel::ScalarDepthwiseV6m]),
            Core::M3 => Some([Kernel::ScalarV7m, Kernel::ScalarDepthwiseV7m]),
            Core::M4 | Core::M7 | Core::M33 => None,
            // Where floats are software the vector unit, which is the FPU's, stays off.
            Core::M55 => {
                let on = target.target_cpu.is_some() && target.rust_target == RustTarget::V8mHf;
                on.then_some([Kernel::MveConv, Kernel::MveDepthwise])
            }
        };
        Self { dsp: core && compiler, others }
    }
}

/// Every kernel that can run `layer` on a core with `features`: the portable one first, one that was made to be faster
/// after those it is to replace.
pub(super) fn kernels_for(program: &Program, layer: &Layer, features: Features) -> Vec<Kernel> {
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
    if matches!(layer.op, Op::Dense(_)) && features.dsp && from_arena {
        let widens = dense_widens(program, layer);
        // Slower than `dsp::dense`, but no code of its own where convolutions run on it.
        kernels.extend(widens.then_some(Kernel::DspConv));
        kernels.push(Kernel::DspDense);
        kernels.extend(widens.then_some(Kernel::DspConvWide));
    }
    if let Op::AvgPool(pool) = &layer.op
        && features.dsp
        && from_arena
        && pool_takes(pool, input, output)
    {
        kernels.push(Kernel::DspPool);
    }
    if let Op::MaxPool(pool) = &layer.op
        && features.dsp
        && from_arena
        && max_pool_takes(pool, input, output)
    {
        kernels.push(Kernel::DspMaxPool);
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
        kernels.extend(features.others.map(|[dense, _]| dense));
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
    } else if from_arena {
        let depthwise = features.others.map(|[_, depthwise]| depthwise);
        kernels.extend(depthwise.filter(|kernel| depthwise_takes(*kernel, conv, input)));
        if features.dsp && dsp::depthwise::takes(channels, conv.window.kernel[0] * conv.window.kernel[1]) {
            kernels.push(Kernel::DspDepthwise);
        }
        if features.dsp && lines_takes(conv, input, output) {
            kernels.push(Kernel::DspLines);
        }
    }
    kernels
}

/// Whether Winograd's kernel can run a layer exactly.
pub(super) fn winograd_takes(program: &Program, layer: &Layer) -> bool {
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

/// Whether `dsp::pool` can run a mean pool.
pub(super) fn pool_takes(pool: &AvgPool, input: Hwc, output: Hwc) -> bool {
    dsp::pool::takes(hwc(input), hwc(output), &window(&pool.window))
}

/// Whether `dsp::max_pool` can run a max pool.
pub(super) fn max_pool_takes(pool: &Window, input: Hwc, output: Hwc) -> bool {
    dsp::max_pool::takes(hwc(input), hwc(output), &window(pool))
}

/// Inputs of a fully connected layer up to which it is worth to widen all of them at once.
const DENSE: usize = 512;

/// Whether `dsp::conv` may run a fully connected layer.
pub(super) fn dense_widens(program: &Program, layer: &Layer) -> bool {
    program.tensor(layer.inputs[0]).shape.len() <= DENSE && program.tensor(layer.output).shape.len() > 1
}

/// Whether `dsp::add` can run a sum.
pub(super) fn add_takes(add: &Add) -> bool {
    let Add { factors, constant, shift, zero_point, min, max } = *add;
    dsp::add::takes(&fratc_runtime::add::Add { factors, constant, shift, zero_point, min, max })
}

/// Whether `dsp::lines` can run a depthwise convolution.
pub(super) fn lines_takes(conv: &Conv, input: Hwc, output: Hwc) -> bool {
    let requant = &conv.requant;
    let plain = requant.shift == 0 && requant.min == -128 && requant.max == 127;
    plain && dsp::lines::takes(input.c, &window(&conv.window), columns(&conv.window, output))
}

/// Whether `kernel`, of a core without the DSP extension, can run a depthwise convolution.
pub(super) fn depthwise_takes(kernel: Kernel, conv: &Conv, input: Hwc) -> bool {
    let taps = conv.window.kernel[0] * conv.window.kernel[1];
    if kernel == Kernel::MveDepthwise {
        let weights = conv.weights.iter().all(|w| *w >= mve::depthwise::LEAST);
        weights && taps::takes(input.c, taps, mve::depthwise::CHANNELS)
    } else {
        taps::takes(input.c, taps, scalar::depthwise::CHANNELS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vector_kernels_want_the_fpu_of_the_vector_unit() {
        let mut target = Target::load("qemu-m55").expect("a shipped target");
        assert!(Features::of(&target).others.is_some());
        target.rust_target = RustTarget::V8m;
        assert!(Features::of(&target).others.is_none());
    }
}
