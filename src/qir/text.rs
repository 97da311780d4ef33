//! Text form: one line a layer, for `inspect`, snapshots and error reports.

use std::fmt;

use crate::qir::{Bias, Conv, Hwc, InputKind, Op, PadValue, Program, Quant, Requant, Window};

impl fmt::Display for Hwc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { h, w, c } = self;
        write!(f, "[{h}, {w}, {c}]")
    }
}

impl fmt::Display for Quant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} zero {}", self.scale, self.zero_point)
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.input_kind {
            InputKind::U8 => "u8",
            InputKind::I8 => "i8",
        };
        writeln!(f, "program {}", self.name)?;
        if let Some(input) = self.tensors.first() {
            writeln!(f, "%0 = input {kind} -> {} {}", input.shape, input.quant)?;
        }
        for layer in &self.layers {
            write!(f, "%{} = {}", layer.output.0, layer.op.name())?;
            for (k, input) in layer.inputs.iter().enumerate() {
                write!(f, "{}%{}", if k == 0 { " " } else { ", " }, input.0)?;
            }
            write_attributes(&layer.op, f)?;
            if let Some(tensor) = self.tensors.get(layer.output.index()) {
                write!(f, " -> {} {}", tensor.shape, tensor.quant)?;
            }
            writeln!(f, " {:?}", layer.name)?;
        }
        writeln!(f, "output %{} {:?}", self.output.0, self.classes)?;
        match self.reject {
            Some(reject) => writeln!(f, "reject wanted={} threshold={}", reject.wanted, reject.threshold),
            None => Ok(()),
        }
    }
}

impl Op {
    /// Name in the text form.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Conv(_) => "conv",
            Op::Depthwise(_) => "depthwise",
            Op::Dense(_) => "dense",
            Op::Add(_) => "add",
            Op::MaxPool(_) => "max_pool",
            Op::AvgPool(_) => "avg_pool",
            Op::Concat => "concat",
            Op::Lookup(_) => "lookup",
            Op::Grouped(_) => "grouped",
            Op::Gate(_) => "gate",
            Op::Flatten => "flatten",
            Op::Adapt(_) => "adapt",
        }
    }
}

fn write_attributes(op: &Op, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match op {
        Op::Conv(conv) | Op::Depthwise(conv) => write_conv(conv, f),
        Op::Dense(dense) => write_requant(&dense.requant, f),
        Op::Add(add) => write!(
            f,
            " factors={:?} constant={} shift={} clamp={}..{}",
            add.factors, add.constant, add.shift, add.min, add.max
        ),
        Op::MaxPool(window) => write_window(window, f),
        Op::AvgPool(pool) => {
            write_window(&pool.window, f)?;
            write_requant(&pool.requant, f)?;
            if pool.requant.multipliers.len() > 1 { write!(f, " by_positions") } else { Ok(()) }
        }
        Op::Grouped(grouped) => {
            write!(f, " groups={}", grouped.groups)?;
            write_conv(&grouped.conv, f)
        }
        Op::Gate(gate) => write_requant(&gate.requant, f),
        Op::Adapt(adapt) => write!(f, " block={} first={:?} grey={}", adapt.block, adapt.first, adapt.grey),
        Op::Concat | Op::Lookup(_) | Op::Flatten => Ok(()),
    }
}

fn write_conv(conv: &Conv, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_window(&conv.window, f)?;
    match &conv.pad {
        PadValue::Uniform(value) => write!(f, " pad_value={value}")?,
        PadValue::Channel(values) => write!(f, " pad_value={values:?}")?,
    }
    if let Bias::Border { col_classes, table, .. } = &conv.bias {
        let channels = conv.requant.multipliers.len().max(1);
        write!(f, " border={}x{col_classes}", table.len() / channels / (*col_classes).max(1))?;
    }
    write_requant(&conv.requant, f)
}

fn write_requant(requant: &Requant, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if requant.shift > 0 {
        write!(f, " shift={}", requant.shift)?;
    }
    write!(f, " clamp={}..{}", requant.min, requant.max)
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
    if *pad != [0, 0] {
        write!(f, " pad={}x{}", pad[0], pad[1])?;
    }
    Ok(())
}
