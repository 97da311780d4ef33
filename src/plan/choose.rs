//! The fastest kernel of each layer, without limits on RAM.

use fratc_runtime::dsp;

use super::candidates::{
    Features, add_takes, dense_widens, depthwise_takes, lines_takes, max_pool_takes, pool_takes, winograd_takes,
};
use super::needs::{Shapes, as_conv, window};
use super::{Kernel, sizes};
use crate::qir::{Bias, Conv, Layer, Op, PadValue, Program};

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
    let mut bytes = sizes::sizes(program, &kernels, &[]).total() as u64 + CODE;
    let mut wanted: Vec<Wanted> = Vec::new();
    for (index, (layer, &kernel)) in program.layers.iter().zip(&kernels).enumerate() {
        let Some(shapes) = as_conv(program, layer) else { continue };
        let (now, wide) = match kernel {
            Kernel::DspConv => (patches_cost(&shapes, false), Some(patches_cost(&shapes, true))),
            Kernel::DspRows => (rows_cost(&shapes), None),
            Kernel::DspDense => {
                let wide = dense_widens(program, layer).then(|| dense_cost(&shapes, true));
                (dense_cost(&shapes, false), wide)
            }
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
        Op::Dense(_) if features.dsp && from_arena => Kernel::DspDense,
        Op::Conv(conv) if uniform(conv) => features.others.map_or(Kernel::Portable, |[dense, _]| dense),
        Op::Depthwise(conv) if uniform(conv) && from_arena => {
            let depthwise = features.others.map(|[_, depthwise]| depthwise);
            depthwise.filter(|kernel| depthwise_takes(*kernel, conv, input)).unwrap_or(Kernel::Portable)
        }
        Op::Add(add) if features.dsp && add_takes(add) => Kernel::DspAdd,
        Op::MaxPool(pool) if features.dsp && from_arena && max_pool_takes(pool, input, output) => Kernel::DspMaxPool,
        Op::AvgPool(pool) if features.dsp && from_arena && pool_takes(pool, input, output) => Kernel::DspPool,
        _ => Kernel::Portable,
    }
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

/// Instructions of a fully connected layer, about: of `dsp::dense` seven for four products and 75 for an output; with weights of
/// 16 bits nine for ten products and 30 for an output, but all inputs to widen first.
fn dense_cost(&Shapes { window: _, input, output }: &Shapes, wide: bool) -> usize {
    let products = input.c * output.c;
    if wide { products * 9 / 10 + output.c * 30 + input.c * 4 + 500 } else { products * 7 / 4 + output.c * 75 + 20 }
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
