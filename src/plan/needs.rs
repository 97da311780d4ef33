//! What a kernel needs of a layer beside its tensors, and where they may lie.

use fratc_runtime::{dsp, mve, scalar, taps};

use super::Kernel;
use crate::qir::{Bias, Conv, Hwc, Layer, Op, Program, Window};

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

/// The runtime's form of a window.
pub(super) fn window(window: &Window) -> fratc_runtime::shape::Window {
    let Window { kernel, stride, dilation, pad } = *window;
    fratc_runtime::shape::Window { kernel, stride, dilation, pad }
}

/// The runtime's form of a shape.
pub(super) fn hwc(Hwc { h, w, c }: Hwc) -> fratc_runtime::shape::Hwc {
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
        (Op::Depthwise(_), Kernel::MveDepthwise | Kernel::ScalarDepthwiseV7m | Kernel::ScalarDepthwiseV6m) => {
            taps::scratch_bytes(input.c)
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
        Kernel::Portable
        | Kernel::DspDepthwise
        | Kernel::DspAdd
        | Kernel::DspPool
        | Kernel::DspMaxPool
        | Kernel::DspDense
        | Kernel::MveDepthwise
        | Kernel::ScalarDepthwiseV7m
        | Kernel::ScalarDepthwiseV6m => 1,
    }
}

/// Weights of one filter.
pub(super) fn filter_len(program: &Program, layer: &Layer, conv: &Conv) -> usize {
    let [kh, kw] = conv.window.kernel;
    kh * kw * program.tensor(layer.inputs[0]).shape.c
}
