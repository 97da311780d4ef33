//! One function of `src/layers.rs` per layer; one file per operator.
//!
//! A function holds its layer's constants as statics, in the order in which the kernel's struct names them, and
//! makes one kernel call. Constants of more than one value are files under `weights/`.

mod adapt;
mod add;
mod avg_pool;
mod concat;
mod conv;
mod dense;
mod depthwise;
mod flatten;
mod gate;
mod grouped;
mod lookup;
mod max_pool;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::EmittedFile;
use super::text::{code, grouped};
use crate::plan::{Home, LayerBytes, Plan, Shapes, Step};
use crate::qir::{Bias, Conv, Hwc, InputKind, Layer, Op, Program, Requant, TensorId, Window};

/// A table of this many values and more may take rustc over the limit of its lint against endless loops, which
/// lies between 1.1 and 3 million; such a table costs about 1.5 s of compile time per million.
const LONG_TABLE: usize = 500_000;

/// Support items at the end of `src/layers.rs`, in the order in which they stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Support {
    /// Shape constructor.
    Hwc,
    /// Window constructor.
    Window,
    /// `u8` tables.
    U8s,
    /// `i8` tables.
    I8s,
    /// `i32` tables.
    I32s,
}

/// A layer with what an operator's emitter needs to know.
pub(super) struct Context<'a> {
    pub program: &'a Program,
    pub plan: &'a Plan,
    pub layer: &'a Layer,
    pub step: &'a Step,
    pub name: &'a str,
}

impl Context<'_> {
    fn shape(&self, id: TensorId) -> Hwc {
        self.program.tensor(id).shape
    }

    fn input(&self) -> Hwc {
        self.shape(self.layer.inputs[0])
    }

    fn output(&self) -> Hwc {
        self.shape(self.layer.output)
    }

    /// The output's shape as kernels take it: with the channels of the tensor that it lies in, if it does.
    fn written(&self) -> Hwc {
        match self.plan.home(self.program, self.layer.output) {
            Home::Part { offset: _, pitch } => Hwc { c: pitch, ..self.output() },
            Home::Arena(_) | Home::Input | Home::Scores => self.output(),
        }
    }

    /// Element type of the `index`-th input, as Rust spells it.
    fn element(&self, index: usize) -> &'static str {
        let raw = self.layer.inputs[index] == self.program.input();
        if raw && self.program.input_kind == InputKind::U8 { "u8" } else { "i8" }
    }

    /// `x: &[i8], y: &mut [i8]`.
    fn one_to_one(&self) -> String {
        format!("x: &[{}], y: &mut [i8]", self.element(0))
    }
}

/// What an operator's emitter returns.
#[derive(Default)]
pub(super) struct Function {
    /// The operation in words: `3×3 convolution, stride 2`.
    words: String,
    /// Parameters.
    parameters: String,
    /// Statements: statics, then the call.
    body: String,
    /// Kernel modules it names.
    pub kernels: BTreeSet<&'static str>,
    /// Support items it names.
    pub support: BTreeSet<Support>,
    /// Its constants.
    pub tables: Vec<EmittedFile>,
}

impl Function {
    fn new(words: impl Into<String>, parameters: impl Into<String>, kernels: &[&'static str]) -> Self {
        let kernels = kernels.iter().copied().collect();
        Self { words: words.into(), parameters: parameters.into(), kernels, ..Self::default() }
    }

    /// Adds `line` to the body.
    fn line(&mut self, line: &str) {
        let _ = writeln!(self.body, "    {line}");
    }

    fn i8_table(&mut self, context: &Context<'_>, name: &str, values: &[i8]) {
        let bytes = values.iter().map(|value| value.cast_unsigned()).collect();
        self.table(context, name, ("i8", Support::I8s), values.len(), bytes);
    }

    fn u8_table(&mut self, context: &Context<'_>, name: &str, values: &[u8]) {
        self.table(context, name, ("u8", Support::U8s), values.len(), values.to_vec());
    }

    fn i32_table(&mut self, context: &Context<'_>, name: &str, values: &[i32]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.table(context, name, ("i32", Support::I32s), values.len(), bytes);
    }

    /// A static called `name`, read from a file of the layer's and the static's name.
    fn table(
        &mut self,
        context: &Context<'_>,
        name: &str,
        (element, support): (&str, Support),
        len: usize,
        bytes: Vec<u8>,
    ) {
        let file = format!("{}.{}", context.name, name.to_lowercase());
        if len >= LONG_TABLE {
            self.line("#[allow(long_running_const_eval, reason = \"one step per weight\")]");
        }
        self.line(&format!("static {name}: [{element}; {len}] = {element}s!(\"{file}\");"));
        self.support.insert(support);
        self.tables.push(EmittedFile { path: format!("weights/{file}.bin"), bytes });
    }

    /// The multipliers' table, and `name: Requant { … },` as a field of `LAYER` for later.
    fn requant_table(&mut self, context: &Context<'_>, requant: &Requant) -> String {
        self.kernels.insert("requant");
        if let [one] = requant.multipliers[..] {
            self.line(&format!("static MULTIPLIERS: [i32; 1] = [{}];", grouped(one)));
        } else {
            self.i32_table(context, "MULTIPLIERS", &requant.multipliers);
        }
        let Requant { multipliers: _, shift, zero_point, min, max } = requant;
        format!(
            "        requant: requant::Requant {{\n            multipliers: &MULTIPLIERS,\n            shift: {shift},\n            zero_point: {zero_point},\n            min: {min},\n            max: {max},\n        }},\n"
        )
    }

    /// Hides `value`, from then on called `name`, and `arguments` from the optimizer, which would else make a copy of the
    /// kernel for them.
    fn opaque(&mut self, name: &str, value: &str, arguments: &str) {
        self.line(&format!("let ({name}, {arguments}) = black_box(({value}, {arguments}));"));
    }

    /// Says that the layer computes some rows at a time, if it does.
    fn say_rows(&mut self, step: &Step) {
        let rows = match step.bands {
            Some(bands) if bands.rows == 1 => "a row".into(),
            Some(bands) => format!("{} rows", bands.rows),
            None if step.strip.is_some() => "some rows".into(),
            None => return,
        };
        let _ = write!(self.words, ", {rows} at a time");
    }

    /// The call of a kernel that reads its window's rows: with `LAYER`, a `kind`, or with a band of it. `others`: whether
    /// that struct has fields beside shapes and window.
    fn call(&mut self, context: &Context<'_>, kind: &str, kernel: &str, arguments: &str, others: bool) {
        // Kernels for DSP instructions do it themselves: once, and not for each layer.
        let opaque = !kernel.starts_with("dsp::");
        if !context.step.by_rows() {
            if opaque {
                self.opaque("layer", "&LAYER", arguments);
            }
            let layer = if opaque { "layer" } else { "&LAYER" };
            self.line(&format!("{kernel}({layer}, {arguments});"));
            return;
        }
        self.say_rows(context.step);
        self.parameters.push_str(", rows: Range<usize>");
        self.line("let (input, output, window) = LAYER.window.band(LAYER.input, LAYER.output, &rows);");
        let mut fields = vec!["input,", "output,", "window,"];
        if let Op::Conv(Conv { bias: Bias::Border { .. }, .. })
        | Op::Depthwise(Conv { bias: Bias::Border { .. }, .. }) = &context.layer.op
        {
            fields.push("bias: LAYER.bias.band(&rows),");
        }
        if others {
            fields.push("..LAYER");
        }
        self.line(&format!("let band = {kind} {{\n        {}\n    }};", fields.join("\n        ")));
        if opaque {
            self.opaque("layer", "&band", arguments);
        }
        let layer = if opaque { "layer" } else { "&band" };
        self.line(&format!("{kernel}({layer}, {arguments});"));
    }

    /// `static LAYER` of type `kind` with `fields`, indented lines.
    fn layer_static(&mut self, kind: &str, lifetime: &str, fields: &str) {
        let _ = write!(self.body, "    static LAYER: {kind}{lifetime} = {kind} {{\n{fields}    }};\n");
    }

    /// The shapes and the window as fields of `LAYER`.
    fn geometry(&mut self, context: &Context<'_>, window: &Window) -> String {
        self.geometry_of(&Shapes { window: *window, input: context.input(), output: context.written() })
    }

    /// [`Self::geometry`] of these shapes.
    fn geometry_of(&mut self, Shapes { window, input, output }: &Shapes) -> String {
        self.kernels.insert("shape");
        self.support.extend([Support::Hwc, Support::Window]);
        let hwc = |shape: &Hwc| format!("hwc({}, {}, {})", shape.h, shape.w, shape.c);
        let Window { kernel, stride, dilation, pad } = window;
        format!(
            "        input: {},\n        output: {},\n        window: window({kernel:?}, {stride:?}, {dilation:?}, {pad:?}),\n",
            hwc(input),
            hwc(output),
        )
    }

    /// The whole function with its documentation.
    pub fn text(&self, context: &Context<'_>, bytes: LayerBytes) -> String {
        let shape = |shape: Hwc| format!("[{}, {}, {}]", shape.h, shape.w, shape.c);
        let inputs: Vec<String> = context.layer.inputs.iter().map(|id| shape(context.shape(*id))).collect();
        let mut out = format!(
            "/// {}: {}, `{}` to `{}`.\n",
            code(&context.layer.name),
            self.words,
            inputs.join(" + "),
            shape(context.output())
        );
        if let Some(part) = context.plan.part(context.layer.output) {
            let total = context.shape(part.whole).c;
            let channels = part.channel..part.channel + context.output().c;
            let _ = write!(out, "///\n/// Its channels are the channels {channels:?} of a concatenation's {total}.\n");
        }
        let macs = context.program.layer_macs(context.layer);
        let costs: Vec<String> = [
            (macs, "multiply-accumulates"),
            (bytes.weights as u64, "bytes of weights"),
            (bytes.tables as u64, "bytes of tables"),
        ]
        .iter()
        .filter(|(amount, _)| *amount > 0)
        .map(|(amount, unit)| format!("{} {unit}", grouped(*amount)))
        .collect();
        if !costs.is_empty() {
            let _ = write!(out, "///\n/// {}.\n", costs.join(", "));
        }
        let _ = write!(out, "#[inline(never)]\nfn {}({}) {{\n{}}}\n", context.name, self.parameters, self.body);
        out
    }
}

/// The function of one layer.
pub(super) fn function(context: &Context<'_>) -> Function {
    match &context.layer.op {
        Op::Conv(conv) => conv::conv(context, conv),
        Op::Depthwise(conv) => depthwise::depthwise(context, conv),
        Op::Dense(dense) => dense::dense(context, dense),
        Op::Add(add) => add::add(context, add),
        Op::MaxPool(window) => max_pool::max_pool(context, window),
        Op::AvgPool(pool) => avg_pool::avg_pool(context, pool),
        Op::Concat => concat::concat(context),
        Op::Lookup(table) => lookup::lookup(context, table),
        Op::Grouped(grouped) => grouped::grouped(context, grouped),
        Op::Gate(gate) => gate::gate(context, gate),
        Op::Flatten => flatten::flatten(context),
        Op::Adapt(adapt) => adapt::adapt(context, adapt),
    }
}

/// `3×3`, with stride and dilation where they are not 1: `3×3 {what}, stride 2`.
fn window_words(window: &Window, what: &str) -> String {
    let mut words = format!("{}×{} {what}", window.kernel[0], window.kernel[1]);
    for (name, [v, h]) in [("stride", window.stride), ("dilation", window.dilation)] {
        if v != h {
            let _ = write!(words, ", {name} {v}×{h}");
        } else if v != 1 {
            let _ = write!(words, ", {name} {v}");
        }
    }
    words
}
