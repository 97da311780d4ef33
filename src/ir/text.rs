//! Text form: one line a node, for `inspect`, snapshots and error reports.

use std::fmt;

use crate::ir::op::{Op, Window};
use crate::ir::{Graph, Node};

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, node) in self.nodes.iter().enumerate() {
            write!(f, "%{i} = {}", node.op.name())?;
            for (k, input) in node.inputs.iter().enumerate() {
                write!(f, "{}%{}", if k == 0 { " " } else { ", " }, input.0)?;
            }
            write_attributes(node, f)?;
            writeln!(f, " -> {} \"{}\"", node.shape, node.name)?;
        }
        writeln!(f, "output %{}", self.output.0)
    }
}

fn write_attributes(node: &Node, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match &node.op {
        Op::Conv(conv) => {
            write_window(&conv.window, f)?;
            if conv.groups > 1 {
                write!(f, " groups={}", conv.groups)?;
            }
            Ok(())
        }
        Op::MaxPool(pool) => write_window(&pool.window, f),
        Op::AvgPool(pool) => {
            write_window(&pool.window, f)?;
            write!(f, " count_include_pad={}", pool.count_include_pad)
        }
        Op::Clip(clip) => write!(f, " {}..{}", clip.lo, clip.hi),
        Op::LeakyRelu(leaky) => write!(f, " alpha={}", leaky.alpha),
        Op::HardSigmoid(h) => write!(f, " alpha={} beta={}", h.alpha, h.beta),
        Op::Adapt(adapt) => {
            write!(f, " block={} first={:?} grey={}", adapt.block, adapt.first, adapt.grey)
        }
        Op::Pad(pad) => write!(f, " pad={:?} value={}", pad.pad, pad.value),
        Op::Input
        | Op::Dense(_)
        | Op::Affine(_)
        | Op::Relu
        | Op::Sigmoid
        | Op::HardSwish
        | Op::Add
        | Op::Gate
        | Op::Concat
        | Op::GlobalAvgPool
        | Op::Flatten
        | Op::Softmax => Ok(()),
    }
}

fn write_window(window: &Window, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Window { kernel, stride, dilation, pad } = window;
    write!(f, " {}x{}", kernel[0], kernel[1])?;
    if *stride != [1, 1] {
        write!(f, " stride={}x{}", stride[0], stride[1])?;
    }
    if *dilation != [1, 1] {
        write!(f, " dilation={}x{}", dilation[0], dilation[1])?;
    }
    if *pad != [0; 4] {
        write!(f, " pad={pad:?}")?;
    }
    Ok(())
}
