//! Small deterministic int8 programs that together hold every operation.
//!
//! Weights come from a fixed integer generator; multipliers are set so that each layer's outputs spread over
//! `i8`. They are not trained: what counts is that every path of kernels, planner and emitter runs.

use fratc::qir::{
    Adapt, Add, AvgPool, Bias, Conv, Dense, Gate, Grouped, Hwc, InputKind, Layer, Op, PadValue, Program, Provenance,
    Quant, Requant, Tensor, TensorId, Window,
};

/// A 32-bit linear congruential generator (Numerical Recipes); the high bits are used.
pub struct Pattern(u32);

impl Pattern {
    /// A generator with its own sequence.
    pub fn new(seed: u32) -> Self {
        Self(seed.wrapping_mul(2_654_435_761).wrapping_add(12_345))
    }

    /// A value in `lo..=hi`.
    pub fn int(&mut self, lo: i32, hi: i32) -> i32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        lo + ((u64::from(self.0) * (hi - lo + 1) as u64) >> 32) as i32
    }

    /// `n` values in `lo..=hi`.
    pub fn i8s(&mut self, n: usize, lo: i32, hi: i32) -> Vec<i8> {
        (0..n).map(|_| self.int(lo, hi) as i8).collect()
    }

    /// One raw sample for `program`: a level and a slope per channel, with noise.
    pub fn sample(&mut self, program: &Program) -> Vec<u8> {
        let Hwc { h, w, c } = program.tensor(program.input()).shape;
        let planes: Vec<[i32; 3]> = (0..c).map(|_| [self.int(0, 255), self.int(-12, 12), self.int(-12, 12)]).collect();
        let mut values = Vec::with_capacity(h * w * c);
        for y in 0..h as i32 {
            for x in 0..w as i32 {
                for [level, down, right] in &planes {
                    let value = level + down * (y - h as i32 / 2) + right * (x - w as i32 / 2) + self.int(-40, 40);
                    let value = value.clamp(0, 255) as u8;
                    values.push(if program.input_kind == InputKind::U8 { value } else { value.wrapping_sub(128) });
                }
            }
        }
        values
    }
}

/// Adds layers one by one.
pub struct Builder {
    /// What there is so far.
    pub program: Program,
    /// Source of its numbers.
    pub pattern: Pattern,
}

impl Builder {
    pub fn new(name: &str, seed: u32, input_kind: InputKind, input: [usize; 3]) -> Self {
        let [h, w, c] = input;
        let tensor = Tensor {
            name: "input".into(),
            shape: Hwc { h, w, c },
            quant: Quant { scale: 1.0 / 64.0, zero_point: if input_kind == InputKind::U8 { -128 } else { 3 } },
        };
        let program = Program {
            name: name.into(),
            input_kind,
            tensors: vec![tensor],
            layers: Vec::new(),
            output: TensorId(0),
            classes: Vec::new(),
            reject: None,
            provenance: Provenance {
                models: vec![(format!("{name}.onnx"), format!("{:064x}", u64::from(seed) * 0x9e37_79b9))],
                options: vec!["--classes".into(), "a,b".into()],
            },
        };
        Self { program, pattern: Pattern::new(seed) }
    }

    pub fn shape(&self, id: TensorId) -> Hwc {
        self.program.tensor(id).shape
    }

    fn push(&mut self, name: &str, op: Op, inputs: &[TensorId], shape: Hwc, quant: Quant) -> TensorId {
        let output = TensorId(self.program.tensors.len() as u32);
        self.program.tensors.push(Tensor { name: name.into(), shape, quant });
        self.program.layers.push(Layer { name: name.into(), op, inputs: inputs.to_vec(), output });
        output
    }

    /// A scale and zero point that differ from layer to layer.
    fn quant(&mut self, relu: bool) -> Quant {
        let zero_point = if relu { -128 } else { self.pattern.int(-20, 20) };
        Quant { scale: 1.0 / self.pattern.int(20, 60) as f32, zero_point }
    }

    /// Multipliers for sums of `taps` products: a sum of weights of ±60 and values of ±90 becomes about 50, under a
    /// ReLU 100.
    fn requant(&mut self, channels: usize, taps: usize, quant: Quant, relu: bool) -> Requant {
        let real = if relu { 100.0 } else { 50.0 } / ((taps as f64).sqrt() * 35.0 * 52.0);
        let multipliers = (0..channels)
            .map(|_| (real * f64::from(self.pattern.int(80, 125)) / 100.0 * 4_294_967_296.0) as i32)
            .collect();
        let min = if relu { quant.zero_point } else { -128 };
        Requant { multipliers, shift: 0, zero_point: quant.zero_point, min, max: 127 }
    }

    /// One per filter: `−zero_point · Σ weights` and a little.
    fn biases<'a>(&mut self, input: TensorId, filters: impl Iterator<Item = Vec<&'a i8>>) -> Vec<i32> {
        // Raw pixels have their middle at 0.
        let zero_point = if input == TensorId(0) { 0 } else { i32::from(self.zero_point(input)) };
        filters
            .map(|f| self.pattern.int(-2000, 2000) - zero_point * f.into_iter().map(|&w| i32::from(w)).sum::<i32>())
            .collect()
    }

    pub fn conv(&mut self, name: &str, input: TensorId, channels: usize, window: Window, relu: bool) -> TensorId {
        let shape = out_shape(self.shape(input), &window, channels);
        self.conv_to(name, input, shape, window, relu)
    }

    /// A convolution whose padding at the end is whatever `shape` asks for.
    fn conv_to(&mut self, name: &str, input: TensorId, shape: Hwc, window: Window, relu: bool) -> TensorId {
        let from = self.shape(input);
        let channels = shape.c;
        let taps = window.kernel[0] * window.kernel[1] * from.c;
        let quant = self.quant(relu);
        let weights = self.pattern.i8s(channels * taps, -60, 60);
        let conv = Conv {
            bias: Bias::Channel(self.biases(input, weights.chunks(taps).map(|f| f.iter().collect()))),
            weights,
            pad: PadValue::Uniform(self.zero_point(input)),
            requant: self.requant(channels, taps, quant, relu),
            window,
        };
        self.push(name, Op::Conv(conv), &[input], shape, quant)
    }

    pub fn depthwise(&mut self, name: &str, input: TensorId, window: Window, relu: bool) -> TensorId {
        let from = self.shape(input);
        let taps = window.kernel[0] * window.kernel[1];
        let quant = self.quant(relu);
        let weights = self.pattern.i8s(from.c * taps, -60, 60);
        let filters = (0..from.c).map(|c| weights[c..].iter().step_by(from.c).collect());
        let conv = Conv {
            bias: Bias::Channel(self.biases(input, filters)),
            weights: weights.clone(),
            pad: PadValue::Uniform(self.zero_point(input)),
            requant: self.requant(from.c, taps, quant, relu),
            window,
        };
        self.push(name, Op::Depthwise(conv), &[input], out_shape(from, &window, from.c), quant)
    }

    pub fn grouped(&mut self, name: &str, input: TensorId, channels: usize, groups: usize, window: Window) -> TensorId {
        let from = self.shape(input);
        let filter = window.kernel[0] * window.kernel[1] * from.c / groups;
        let quant = self.quant(true);
        let weights = self.pattern.i8s(channels * filter, -60, 60);
        let conv = Conv {
            bias: Bias::Channel(self.biases(input, weights.chunks(filter).map(|f| f.iter().collect()))),
            weights,
            pad: PadValue::Uniform(self.zero_point(input)),
            requant: self.requant(channels, filter, quant, true),
            window,
        };
        let shape = out_shape(from, &window, channels);
        self.push(name, Op::Grouped(Grouped { groups, conv }), &[input], shape, quant)
    }

    /// `gate` with a scale of 1/255: a multiplier of 2³²/255.
    pub fn gate(&mut self, name: &str, features: TensorId, gate: TensorId) -> TensorId {
        let quant = Quant { zero_point: 7, ..self.program.tensor(features).quant };
        let zero_points = [features, gate].map(|id| self.program.tensor(id).quant.zero_point);
        let requant = Requant { multipliers: vec![16_843_009], shift: 0, zero_point: 7, min: -128, max: 127 };
        self.push(name, Op::Gate(Gate { zero_points, requant }), &[features, gate], self.shape(features), quant)
    }

    pub fn flatten(&mut self, name: &str, input: TensorId) -> TensorId {
        let tensor = self.program.tensor(input).clone();
        self.push(name, Op::Flatten, &[input], Hwc { h: 1, w: 1, c: tensor.shape.len() }, tensor.quant)
    }

    /// Means of `block` × `block` pixels from row and column `first`; one channel if `grey`.
    fn adapt(
        &mut self,
        name: &str,
        input: TensorId,
        block: usize,
        first: [usize; 2],
        [h, w, c]: [usize; 3],
    ) -> TensorId {
        let grey = c != self.shape(input).c;
        let quant = Quant { scale: 1.0, zero_point: -128 };
        self.push(name, Op::Adapt(Adapt { block, first, grey }), &[input], Hwc { h, w, c }, quant)
    }

    fn zero_point(&self, input: TensorId) -> i8 {
        self.program.tensor(input).quant.zero_point.clamp(-128, 127) as i8
    }

    pub fn max_pool(&mut self, name: &str, input: TensorId, window: Window) -> TensorId {
        let from = self.shape(input);
        let quant = self.program.tensor(input).quant;
        self.push(name, Op::MaxPool(window), &[input], out_shape(from, &window, from.c), quant)
    }

    /// `divisors`: one for every window, or one per count of positions.
    pub fn avg_pool(&mut self, name: &str, input: TensorId, window: Window, divisors: &[f64]) -> TensorId {
        let from = self.shape(input);
        let Quant { scale, zero_point } = self.program.tensor(input).quant;
        let quant = Quant { scale: scale * 0.5, zero_point: 5 };
        // The real factor is 2 / divisor: up to 2, so accumulators go two bits up.
        let multipliers = divisors.iter().map(|d| (2.0 / d * f64::from(1 << 30)).min(2_147_483_647.0) as i32).collect();
        let requant = Requant { multipliers, shift: 2, zero_point: quant.zero_point, min: -128, max: 127 };
        let pool = AvgPool { window, input_zero_point: zero_point, requant };
        self.push(name, Op::AvgPool(pool), &[input], out_shape(from, &window, from.c), quant)
    }

    pub fn add(&mut self, name: &str, a: TensorId, b: TensorId) -> TensorId {
        const SHIFT: u32 = 16;
        let quant = self.quant(true);
        let [qa, qb] = [a, b].map(|id| self.program.tensor(id).quant);
        let factors = [qa, qb].map(|q| (f64::from(q.scale) / f64::from(quant.scale) * f64::from(1 << SHIFT)) as i32);
        let constant = (1 << (SHIFT - 1)) - factors[0] * qa.zero_point - factors[1] * qb.zero_point;
        let zero_point = quant.zero_point;
        let add = Add { factors, constant, shift: SHIFT, zero_point, min: zero_point, max: 127 };
        self.push(name, Op::Add(add), &[a, b], self.shape(a), quant)
    }

    pub fn concat(&mut self, name: &str, inputs: &[TensorId]) -> TensorId {
        let first = self.program.tensor(inputs[0]).clone();
        let c = inputs.iter().map(|&id| self.shape(id).c).sum();
        self.push(name, Op::Concat, inputs, Hwc { c, ..first.shape }, first.quant)
    }

    pub fn lookup(&mut self, name: &str, input: TensorId, quant: Quant, f: impl Fn(i32) -> i32) -> TensorId {
        let table = (-128..128).map(|q| f(q).clamp(-128, 127) as i8).collect();
        self.push(name, Op::Lookup(table), &[input], self.shape(input), quant)
    }

    pub fn dense(&mut self, name: &str, input: TensorId, channels: usize, relu: bool) -> TensorId {
        let from = self.shape(input);
        let quant = self.quant(relu);
        let weights = self.pattern.i8s(channels * from.len(), -60, 60);
        let dense = Dense {
            bias: self.biases(input, weights.chunks(from.len()).map(|f| f.iter().collect())),
            weights,
            requant: self.requant(channels, from.len(), quant, relu),
        };
        self.push(name, Op::Dense(dense), &[input], Hwc { h: 1, w: 1, c: channels }, quant)
    }

    pub fn finish(mut self, output: TensorId, classes: &[&str]) -> Program {
        self.program.output = output;
        self.program.classes = classes.iter().map(ToString::to_string).collect();
        self.program
    }
}

/// Undilated, same step in both directions, padded alike on all sides.
pub fn square(kernel: usize, stride: usize, pad: usize) -> Window {
    Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], pad: [pad; 2] }
}

/// The output shape with as much padding at the end as at the start.
fn out_shape(input: Hwc, window: &Window, c: usize) -> Hwc {
    let size = |axis: usize, n: usize| {
        let extent = (window.kernel[axis] - 1) * window.dilation[axis] + 1;
        (n + 2 * window.pad[axis] - extent) / window.stride[axis] + 1
    };
    Hwc { h: size(0, input.h), w: size(1, input.w), c }
}

/// Plain convolutions, max pool and two dense layers on 12 × 12 RGB pixels.
pub fn plain() -> Program {
    let mut b = Builder::new("plain", 1, InputKind::U8, [12, 12, 3]);
    let x = b.conv("conv1", TensorId(0), 8, square(3, 1, 1), true);
    let x = b.max_pool("pool1", x, square(2, 2, 0));
    let x = b.conv("conv2", x, 16, square(3, 2, 1), true);
    let x = b.dense("fc1", x, 20, true);
    let x = b.dense("fc2", x, 4, false);
    b.finish(x, &["cat", "dog", "ship", "frog"])
}

/// A residual block with a strided 1 × 1 shortcut, then one with an identity; global mean.
pub fn residual() -> Program {
    let mut b = Builder::new("residual-net", 2, InputKind::U8, [10, 10, 3]);
    let stem = b.conv("stem", TensorId(0), 8, square(3, 1, 1), true);
    let x = b.conv("block1/conv1", stem, 12, square(3, 2, 1), true);
    let x = b.conv("block1/conv2", x, 12, square(3, 1, 1), false);
    let shortcut = b.conv("block1/shortcut", stem, 12, square(1, 2, 0), false);
    let sum1 = b.add("block1/add", x, shortcut);
    let x = b.conv("block2/conv1", sum1, 12, square(3, 1, 1), true);
    let x = b.conv("block2/conv2", x, 12, square(3, 1, 1), false);
    let sum2 = b.add("block2/add", x, sum1);
    let x = b.avg_pool("mean", sum2, square(5, 1, 0), &[25.0]);
    let x = b.dense("fc", x, 3, false);
    b.finish(x, &["left", "right", "none"])
}

/// Depthwise and pointwise pairs, a mean pool that leaves padding out, a stand-alone activation.
pub fn separable() -> Program {
    let mut b = Builder::new("separable_net", 3, InputKind::U8, [14, 14, 1]);
    let x = b.conv("conv", TensorId(0), 10, square(3, 2, 1), true);
    let x = b.depthwise("dw1", x, square(3, 1, 1), true);
    let x = b.conv("pw1", x, 12, square(1, 1, 0), false);
    let quant = Quant { scale: 1.0 / 32.0, zero_point: -10 };
    let x = b.lookup("leaky", x, quant, |q| if q < 0 { q / 8 - 10 } else { q - 10 });
    let x = b.depthwise("dw2", x, square(3, 2, 1), true);
    let counts: Vec<f64> = (1..=9).map(f64::from).collect();
    let x = b.avg_pool("mean", x, square(3, 2, 1), &counts);
    let x = b.dense("fc", x, 2, false);
    b.finish(x, &["no", "yes"])
}

/// Two branches and a 3 × 3 step-1 max pool side by side (Inception style).
pub fn branches() -> Program {
    let mut b = Builder::new("branches", 4, InputKind::U8, [9, 11, 3]);
    let stem = b.conv("stem", TensorId(0), 6, square(3, 1, 1), true);
    let quant = b.program.tensor(stem).quant;
    let one = b.conv("branch1x1", stem, 5, square(1, 1, 0), true);
    let three = b.conv("branch3x3", stem, 7, square(3, 1, 1), true);
    // A concatenation needs one scale: its inputs' producers write in the stem's.
    for id in [one, three] {
        b.program.tensors[id.index()].quant = quant;
    }
    let pool = b.max_pool("branch_pool", stem, square(3, 1, 1));
    let x = b.concat("concat", &[one, three, pool]);
    let x = b.max_pool("pool", x, square(3, 2, 0));
    let x = b.avg_pool("mean", x, Window { kernel: [4, 5], ..square(1, 1, 0) }, &[20.0]);
    let x = b.dense("fc", x, 5, false);
    b.finish(x, &["a", "b", "c", "d", "e"])
}

/// i8 features `[49, 10, 1]` and rectangular kernels (keyword spotting style), dilation included.
pub fn features() -> Program {
    let mut b = Builder::new("features", 5, InputKind::I8, [49, 10, 1]);
    let first = Window { kernel: [10, 4], stride: [2, 2], dilation: [1, 1], pad: [4, 1] };
    let x = b.conv("conv", TensorId(0), 8, first, true);
    let wide = Window { kernel: [3, 2], stride: [1, 1], dilation: [2, 1], pad: [2, 0] };
    let x = b.depthwise("dw", x, wide, true);
    let x = b.conv("pw", x, 6, square(1, 1, 0), true);
    let x = b.conv("dilated", x, 6, Window { dilation: [2, 2], ..square(2, 2, 1) }, true);
    let x = b.dense("fc", x, 3, false);
    b.finish(x, &["on", "off", "unknown"])
}

/// Raw pixels whose zero is no integer: pad values per channel and a bias per border class.
pub fn border() -> Program {
    let mut b = Builder::new("border", 6, InputKind::U8, [8, 7, 3]);
    let x = b.conv("conv", TensorId(0), 6, square(3, 1, 1), true);
    let classes = |n: usize| (0..n).map(|i| if i == 0 { 0 } else { 1 + u8::from(i + 1 == n) }).collect();
    let table = (0..9 * 6).map(|_| b.pattern.int(-2000, 2000)).collect();
    if let Op::Conv(conv) = &mut b.program.layers[0].op {
        conv.pad = PadValue::Channel(vec![-5, 3, -13]);
        conv.bias = Bias::Border { rows: classes(8), cols: classes(7), col_classes: 3, table };
    }
    // Padding at the bottom and right only, as TensorFlow's SAME with step 2.
    let x = b.conv_to("conv2", x, Hwc { h: 4, w: 4, c: 8 }, square(3, 2, 0), true);
    let x = b.avg_pool("mean", x, square(4, 1, 0), &[16.0]);
    let x = b.dense("fc", x, 3, false);
    b.finish(x, &["red", "green", "blue"])
}

/// Convolutions in groups, two gates (one in place), a flatten that moves values.
pub fn gated() -> Program {
    let mut b = Builder::new("gated", 8, InputKind::U8, [9, 8, 3]);
    let stem = b.conv("stem", TensorId(0), 8, square(3, 2, 1), true);
    let x = b.grouped("groups", stem, 12, 4, square(3, 1, 1));
    let squeeze = b.avg_pool("squeeze", x, Window { kernel: [5, 4], ..square(1, 1, 0) }, &[20.0]);
    let hidden = b.dense("hidden", squeeze, 4, true);
    let excite = b.dense("excite", hidden, 12, false);
    let quant = Quant { scale: 1.0 / 255.0, zero_point: -128 };
    let excite = b.lookup("sigmoid", excite, quant, |q| q);
    let x = b.gate("gate", x, excite);
    let again = b.gate("again", x, excite);
    let x = b.add("add", x, again);
    let x = b.grouped("multiplier", x, 24, 12, Window { dilation: [2, 1], ..square(3, 2, 2) });
    let quant = b.program.tensor(x).quant;
    let mean = b.avg_pool("mean", x, Window { kernel: [3, 3], ..square(1, 1, 0) }, &[9.0]);
    let zero_point = b.program.tensor(mean).quant.zero_point;
    let mean = b.lookup("rescale", mean, quant, |q| (q - zero_point) / 2 + quant.zero_point);
    let flat = b.flatten("flatten", x);
    let x = b.concat("concat", &[flat, mean]);
    let x = b.dense("fc", x, 4, false);
    b.finish(x, &["north", "east", "south", "west"])
}

/// Two branches that see a colour image smaller, one of them in grey and twice.
pub fn adapted() -> Program {
    let mut b = Builder::new("adapted", 9, InputKind::U8, [13, 12, 3]);
    let grey = b.adapt("grey", TensorId(0), 2, [1, 2], [6, 5, 1]);
    let x = b.conv("conv1", grey, 6, square(3, 1, 1), true);
    let one = b.avg_pool("mean1", x, Window { kernel: [6, 5], ..square(1, 1, 0) }, &[30.0]);
    let small = b.adapt("small", TensorId(0), 3, [0, 0], [4, 4, 3]);
    let smaller = b.adapt("smaller", small, 1, [1, 0], [3, 3, 3]);
    let x = b.conv("conv2", smaller, 6, square(3, 1, 1), true);
    let other = b.avg_pool("mean2", x, square(3, 1, 0), &[9.0]);
    b.program.tensors[other.index()].quant = b.program.tensor(one).quant;
    let x = b.concat("concat", &[one, other]);
    let x = b.dense("fc", x, 3, false);
    b.finish(x, &["near", "far", "none"])
}

/// The shapes of MLPerf Tiny's ResNet-8 on CIFAR-10: 12.5 M multiply-accumulates. Too large for a snapshot.
pub fn resnet8() -> Program {
    let mut b = Builder::new("resnet8", 7, InputKind::U8, [32, 32, 3]);
    let mut x = b.conv("stem", TensorId(0), 16, square(3, 1, 1), true);
    for (i, channels) in [16, 32, 64].into_iter().enumerate() {
        let stride = if i == 0 { 1 } else { 2 };
        let y = b.conv(&format!("stack{i}/conv1"), x, channels, square(3, stride, 1), true);
        let y = b.conv(&format!("stack{i}/conv2"), y, channels, square(3, 1, 1), false);
        if stride > 1 {
            x = b.conv(&format!("stack{i}/shortcut"), x, channels, square(1, stride, 0), false);
        }
        x = b.add(&format!("stack{i}/add"), y, x);
    }
    let x = b.avg_pool("mean", x, square(8, 1, 0), &[64.0]);
    let x = b.dense("fc", x, 10, false);
    b.finish(x, &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"])
}

/// All of them but the large one.
pub fn all() -> Vec<Program> {
    vec![plain(), residual(), separable(), branches(), features(), border(), gated(), adapted()]
}
