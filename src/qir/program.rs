//! Types of the int8 program.

use serde::{Deserialize, Serialize};

/// Index of a tensor of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TensorId(pub u32);

impl TensorId {
    /// As a slice index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Shape of a tensor: rows, columns, channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hwc {
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
    /// Channels.
    pub c: usize,
}

impl Hwc {
    /// Values, and bytes.
    pub fn len(self) -> usize {
        self.h * self.w * self.c
    }

    /// Whether any dimension is zero.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// `real = scale · (q − zero_point)`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quant {
    /// Step.
    pub scale: f32,
    /// The `q` that stands for 0, within `−128..=127`.
    pub zero_point: i32,
}

/// What the device hands to the first layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InputKind {
    /// Raw pixels; `q = pixel − 128`.
    U8,
    /// Raw features; `q` as they are.
    I8,
}

/// One tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tensor {
    /// Name of the float node it stands for.
    pub name: String,
    /// Shape.
    pub shape: Hwc,
    /// Scale and zero point. For the program's input this is informative only: the first layers hold the input contract.
    pub quant: Quant,
}

/// A sliding window; pairs are `[vertical, horizontal]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Taps.
    pub kernel: [usize; 2],
    /// Step.
    pub stride: [usize; 2],
    /// Distance between taps.
    pub dilation: [usize; 2],
    /// Padding above and to the left; the rest follows from the output shape.
    pub pad: [usize; 2],
}

/// Back to `i8`, see `fratc_runtime::requant`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requant {
    /// Per output channel (pooling: one, or one per count of positions).
    pub multipliers: Vec<i32>,
    /// Left shift before the multiplication.
    pub shift: u32,
    /// Zero point of the output.
    pub zero_point: i32,
    /// Smallest output.
    pub min: i32,
    /// Largest output.
    pub max: i32,
}

/// Value of padded positions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PadValue {
    /// One for all channels.
    Uniform(i8),
    /// One per input channel.
    Channel(Vec<i8>),
}

/// Start of the accumulators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bias {
    /// One per output channel.
    Channel(Vec<i32>),
    /// One per border class and output channel.
    Border {
        /// Class of each output row.
        rows: Vec<u8>,
        /// Class of each output column.
        cols: Vec<u8>,
        /// Number of column classes.
        col_classes: usize,
        /// `[row class][column class][output channel]`.
        table: Vec<i32>,
    },
}

/// Convolution; weights `[O][KH][KW][I]`. As `Depthwise`: `[KH][KW][C]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conv {
    /// Window.
    pub window: Window,
    /// Weights.
    pub weights: Vec<i8>,
    /// Bias, input zero point included.
    pub bias: Bias,
    /// Padding.
    pub pad: PadValue,
    /// Back to `i8`.
    pub requant: Requant,
}

/// Fully connected; weights `[O][I]`, `I` in the input tensor's memory order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dense {
    /// Weights.
    pub weights: Vec<i8>,
    /// Bias, input zero point included.
    pub bias: Vec<i32>,
    /// Back to `i8`.
    pub requant: Requant,
}

/// Convolution whose groups of outputs see their own inputs only; weights `[O][KH][KW][I / groups]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grouped {
    /// Groups; they divide the channels of the input and of the output.
    pub groups: usize,
    /// All else.
    pub conv: Conv,
}

/// Product of a tensor and one value per channel, see `fratc_runtime::gate::Gate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// Zero points of the features and of the gate.
    pub zero_points: [i32; 2],
    /// Back to `i8`; one multiplier.
    pub requant: Requant,
}

/// Sum, see `fratc_runtime::add::Add`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Add {
    /// Factor of each input.
    pub factors: [i32; 2],
    /// Added before the shift.
    pub constant: i32,
    /// Arithmetic right shift.
    pub shift: u32,
    /// Zero point of the output.
    pub zero_point: i32,
    /// Smallest output.
    pub min: i32,
    /// Largest output.
    pub max: i32,
}

/// Mean of windows; global pooling has a window as large as the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AvgPool {
    /// Window.
    pub window: Window,
    /// Zero point of the input.
    pub input_zero_point: i32,
    /// Back to `i8`; the divisor is in the multipliers.
    pub requant: Requant,
}

/// Pixels at another size or in grey, see `fratc_runtime::adapt::Adapt`. Both tensors hold `pixel − 128`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adapt {
    /// Side of the blocks of pixels whose mean is taken.
    pub block: usize,
    /// Row and column where the first block begins.
    pub first: [usize; 2],
    /// Whether red, green and blue become grey.
    pub grey: bool,
}

impl Adapt {
    /// Largest side of a block: sums stay far below 2³².
    pub const LARGEST_BLOCK: usize = 16;
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Dense convolution.
    Conv(Conv),
    /// Depthwise convolution.
    Depthwise(Conv),
    /// Fully connected layer.
    Dense(Dense),
    /// Sum of two tensors.
    Add(Add),
    /// Largest value of windows.
    MaxPool(Window),
    /// Mean of windows.
    AvgPool(AvgPool),
    /// Channels side by side; one scale for all.
    Concat,
    /// Element-wise table of 256 entries, indexed by `q + 128`.
    Lookup(Vec<i8>),
    /// Convolution in groups.
    Grouped(Grouped),
    /// Features `[H, W, C]` times a gate `[1, 1, C]`.
    Gate(Gate),
    /// A map as a vector in channel-major order.
    Flatten,
    /// Means over blocks of pixels.
    Adapt(Adapt),
}

/// One layer: one kernel call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Unique name, from the source model's layer.
    pub name: String,
    /// What it does.
    pub op: Op,
    /// Tensors it reads.
    pub inputs: Vec<TensorId>,
    /// The tensor it writes.
    pub output: TensorId,
}

/// Where a program comes from; goes into file headers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Provenance {
    /// File name of the source model (no folder) and SHA-256 of its bytes, one pair per source.
    pub models: Vec<(String, String)>,
    /// Options that shaped the program, as `--option value` words.
    pub options: Vec<String>,
}

/// A straight-line int8 network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// Name, a valid crate name.
    pub name: String,
    /// What the device hands over.
    pub input_kind: InputKind,
    /// Tensors; index 0 is the input. A layer that only changes the shape (flatten) does not exist: the
    /// consumer reads the same memory order.
    pub tensors: Vec<Tensor>,
    /// Layers in execution order; each tensor but the input is written exactly once, before it is read.
    pub layers: Vec<Layer>,
    /// The scores, shape `[1, 1, classes]`.
    pub output: TensorId,
    /// Class names, in output order.
    pub classes: Vec<String>,
    /// When the answer is none of the classes; `None` if there always is one.
    pub reject: Option<super::Reject>,
    /// Origin.
    pub provenance: Provenance,
}

impl Op {
    /// The window that slides over its input, if one does.
    pub fn window(&self) -> Option<&Window> {
        match self {
            Op::Conv(conv) | Op::Depthwise(conv) | Op::Grouped(Grouped { groups: _, conv }) => Some(&conv.window),
            Op::MaxPool(window) => Some(window),
            Op::AvgPool(pool) => Some(&pool.window),
            Op::Dense(_) | Op::Add(_) | Op::Concat | Op::Lookup(_) | Op::Gate(_) | Op::Flatten | Op::Adapt(_) => None,
        }
    }
}

impl Program {
    /// The input tensor's id.
    pub fn input(&self) -> TensorId {
        TensorId(0)
    }

    /// The tensor `id`.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.index()]
    }

    /// Multiply-accumulates of one layer for one inference.
    pub fn layer_macs(&self, layer: &Layer) -> u64 {
        let out = self.tensor(layer.output).shape;
        match &layer.op {
            Op::Conv(conv) | Op::Depthwise(conv) => (out.h * out.w * conv.weights.len()) as u64,
            Op::Dense(dense) => dense.weights.len() as u64,
            Op::Grouped(grouped) => (out.h * out.w * grouped.conv.weights.len()) as u64,
            Op::Add(_)
            | Op::MaxPool(_)
            | Op::AvgPool(_)
            | Op::Concat
            | Op::Lookup(_)
            | Op::Gate(_)
            | Op::Flatten
            | Op::Adapt(_) => 0,
        }
    }

    /// Multiply-accumulates of one inference.
    pub fn macs(&self) -> u64 {
        self.layers.iter().map(|l| self.layer_macs(l)).sum()
    }
}
