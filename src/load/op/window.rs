//! Sliding windows: kernel, stride, dilation, and explicit, automatic and rounded-up padding.

use crate::diag::Result;
use crate::ir::Shape;
use crate::ir::op::Window;
use crate::load::attributes::Source;
use crate::load::layout::{Activation, NCHW};

/// A window as the ONNX node gives it, and how far rounding up reaches past its padding.
pub(super) struct Sliding {
    pub window: Window,
    /// Extra rows and columns at the bottom and right that `ceil_mode` adds.
    pub growth: [usize; 2],
}

/// Reads the window of a convolution (`ceil` false) or pooling on `x`.
pub(super) fn read(node: Source, x: &Activation, kernel: [usize; 2], ceil: bool) -> Result<Sliding> {
    if !x.is(NCHW) {
        return node
            .unsupported("the operator does not run on rows and columns of channel-first maps")
            .expected("[batch, channels, rows, columns]", format!("axes {:?}", x.axes))
            .err();
    }
    let stride = node.sizes("strides", 1, [1, 1])?;
    let dilation = node.sizes("dilations", 1, [1, 1])?;
    let mut window = Window { kernel, stride, dilation, pad: [0; 4] };
    let size = [x.shape.h, x.shape.w];
    let same = |late: bool| {
        let mut pad = [0; 4];
        for axis in 0..2 {
            let out = size[axis].div_ceil(stride[axis]);
            let total = ((out - 1) * stride[axis] + window.extent()[axis]).saturating_sub(size[axis]);
            let more = total - total / 2;
            (pad[axis], pad[axis + 2]) = if late { (total / 2, more) } else { (more, total / 2) };
        }
        pad
    };
    let auto_pad = node.text("auto_pad", "NOTSET")?;
    window.pad = match auto_pad {
        "NOTSET" | "" => node.sizes("pads", 0, [0; 4])?,
        "VALID" => [0; 4],
        "SAME_UPPER" => same(true),
        "SAME_LOWER" => same(false),
        other => return node.unsupported(format!("auto_pad = {other}")).err(),
    };
    let mut growth = [0; 2];
    if ceil && node.int("ceil_mode", 0)? != 0 {
        for axis in 0..2 {
            growth[axis] = growth_of(&window, axis, size[axis]);
        }
        // By the text of ONNX automatic padding fixes the size; onnxruntime rounds up all the same.
        if growth != [0; 2] && !matches!(auto_pad, "NOTSET" | "") {
            return node
                .unsupported(format!("ceil_mode with auto_pad = {auto_pad}, which runtimes read differently"))
                .err();
        }
    }
    Ok(Sliding { window, growth })
}

/// How much padding makes the floor formula give the rounded-up size; windows that would start past the input
/// and the leading padding do not count.
fn growth_of(window: &Window, axis: usize, size: usize) -> usize {
    let padded = size + window.pad[axis] + window.pad[axis + 2];
    let (extent, stride) = (window.extent()[axis], window.stride[axis]);
    let mut out = padded.saturating_sub(extent).div_ceil(stride) + 1;
    if (out - 1) * stride >= size + window.pad[axis] {
        out -= 1;
    }
    (out.saturating_sub(1) * stride + extent).saturating_sub(padded)
}

impl Sliding {
    /// The window with the growth added to its bottom and right padding.
    pub fn grown(&self) -> Window {
        let [top, left, bottom, right] = self.window.pad;
        Window { pad: [top, left, bottom + self.growth[0], right + self.growth[1]], ..self.window }
    }

    /// Whether it is one window that covers exactly all of `shape`.
    pub fn covers(&self, shape: Shape) -> bool {
        self.window.kernel == [shape.h, shape.w] && self.window.pad == [0; 4] && self.window.dilation == [1, 1]
    }
}
