//! The invariants of an int8 program. Simulation, planner and emitter rely on them.
//!
//! 1. *names*: the program's name is a crate name (lower-case ASCII letters, digits, `-`, `_`; a letter first;
//!    no Rust keyword); layer names are unique and not empty; there is one distinct class name per score, and
//!    the output is `[1, 1, classes]`; where inputs may be rejected, some but not all classes are wanted and the
//!    threshold is one that scores can reach;
//! 2. *order*: tensor 0 is the input; every other tensor is written by exactly one layer, before it is read;
//!    every id is in range;
//! 3. *sizes*: no dimension and no part of a window is zero; no tensor has more than [`MAX_LEN`] values;
//! 4. *shapes*: outputs are what windows make of inputs: less than one step of the input is left over at the end,
//!    and no window starts further than its own extent and the leading padding after the input's end; every pooling
//!    window holds at least one input position; sums, gates and tables keep the shape, concatenations add channels,
//!    flattening makes a vector; a gate has one value per channel, and groups divide the channels;
//! 5. *lengths*: weights, biases, border classes and tables, multipliers, pad values and lookup tables are as long
//!    as the shapes say;
//! 6. *scales*: finite and positive; zero points and clamps within `−128..=127`, `min ≤ max`; a layer's zero point is
//!    its output tensor's, a mean pool's and a gate's input zero points their input tensors'; max pools, concatenations
//!    and flattening have the scale and
//!    zero point of their inputs (the program's input aside: its own are informative);
//! 7. *requantization*: multipliers are not negative (real factors are quotients of scales);
//! 8. *no overflow*: with `|x| ≤ 128`, `(|bias| + Σ |w| · 128) · 2^shift` fits an `i32` for every output channel and
//!    border class; so do the sums of pools and of `Add` and the products of `Gate`;
//! 9. *raw pixels* (`InputKind::U8`) are never read by `Add`, `Gate`, `Concat` or `Flatten`, whose kernels take `i8`, and are never the output.

use std::collections::BTreeSet;

use crate::diag::{Diag, Result};
use crate::qir::{
    Adapt, Add, AvgPool, Bias, Conv, Dense, Grouped, Hwc, InputKind, Layer, Op, PadValue, Program, Quant, Reject,
    Requant, TensorId, Window,
};

/// Values in the largest tensor: more never fits a microcontroller, and offsets stay far from overflow.
pub const MAX_LEN: usize = 1 << 28;

/// Largest absolute value of a quantized value.
const MAX_ABS: i64 = 128;

/// Names that no crate or module can have: Rust's keywords.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "core", "crate", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro",
    "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "std", "struct",
    "super", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while",
    "yield",
];

impl Program {
    /// Checks every invariant of the module; the first violation is the error.
    pub fn verify(&self) -> Result<()> {
        verify_name(&self.name)?;
        self.verify_tensors()?;
        self.verify_order()?;
        for layer in &self.layers {
            self.verify_layer(layer).map_err(|mut e| {
                e.place = Some(format!("layer \"{}\"", layer.name));
                e
            })?;
        }
        self.verify_output()
    }

    fn verify_tensors(&self) -> Result<()> {
        if self.tensors.is_empty() {
            return Diag::new("qir/no-input", "the program has no input tensor").err();
        }
        for (i, tensor) in self.tensors.iter().enumerate() {
            let place = || format!("tensor %{i} \"{}\"", tensor.name);
            let Hwc { h, w, c } = tensor.shape;
            let len = h.checked_mul(w).and_then(|hw| hw.checked_mul(c));
            if !len.is_some_and(|len| (1..=MAX_LEN).contains(&len)) {
                return Diag::new("qir/bad-shape", "a tensor is empty or too large")
                    .at(place())
                    .expected(format!("1 to {MAX_LEN} values"), tensor.shape)
                    .err();
            }
            let Quant { scale, zero_point } = tensor.quant;
            if !(scale.is_finite() && scale > 0.0) {
                return Diag::new("qir/bad-scale", "a scale is not usable")
                    .at(place())
                    .expected("a finite number above 0", scale)
                    .err();
            }
            if i > 0 {
                check_i8("the zero point", zero_point).map_err(|e| Box::new(e.at(place())))?;
            }
        }
        Ok(())
    }

    fn verify_order(&self) -> Result<()> {
        let mut written = vec![false; self.tensors.len()];
        written[0] = true;
        let mut names = BTreeSet::new();
        for layer in &self.layers {
            let place = || format!("layer \"{}\"", layer.name);
            if layer.name.is_empty() || !names.insert(layer.name.as_str()) {
                return Diag::new("qir/bad-layer-name", "a layer's name is empty or not unique").at(place()).err();
            }
            for id in &layer.inputs {
                if !written.get(id.index()).copied().unwrap_or(false) {
                    return Diag::new(
                        "qir/read-before-write",
                        format!("tensor %{} is read before it is written", id.0),
                    )
                    .at(place())
                    .err();
                }
            }
            match written.get_mut(layer.output.index()) {
                Some(written @ false) => *written = true,
                Some(true) => {
                    return Diag::new("qir/written-twice", format!("tensor %{} is written twice", layer.output.0))
                        .at(place())
                        .err();
                }
                None => {
                    return Diag::new("qir/no-such-tensor", format!("there is no tensor %{}", layer.output.0))
                        .at(place())
                        .err();
                }
            }
        }
        if let Some(i) = written.iter().position(|w| !w) {
            return Diag::new("qir/never-written", format!("tensor %{i} is never written")).err();
        }
        Ok(())
    }

    fn verify_output(&self) -> Result<()> {
        let Some(output) = self.tensors.get(self.output.index()) else {
            return Diag::new("qir/no-such-tensor", format!("there is no output tensor %{}", self.output.0)).err();
        };
        if self.output == self.input() {
            return Diag::new("qir/no-layers", "the output is the input").err();
        }
        let expected = Hwc { h: 1, w: 1, c: self.classes.len() };
        if output.shape != expected {
            return Diag::new("qir/class-count", "the output is not one score per class")
                .expected(expected, output.shape)
                .err();
        }
        if let Some(Reject { wanted, threshold }) = self.reject {
            let (wanted, most) = (wanted as usize, self.classes.len().saturating_sub(1));
            if !(1..=most).contains(&wanted) || !(-255..=255).contains(&threshold) {
                return Diag::new("qir/reject", "the wanted classes or the threshold to reject by are out of range")
                    .expected(
                        format!("1 to {most} of the classes, and -255 to 255"),
                        format!("{wanted} and {threshold}"),
                    )
                    .err();
            }
        }
        if self.classes.iter().collect::<BTreeSet<_>>().len() != self.classes.len() {
            return Diag::new("qir/class-names", "two classes have the same name").err();
        }
        Ok(())
    }

    fn verify_layer(&self, layer: &Layer) -> Result<()> {
        let count = match layer.op {
            Op::Add(_) | Op::Gate(_) => 2..=2,
            Op::Concat => 1..=usize::MAX,
            Op::Conv(_)
            | Op::Depthwise(_)
            | Op::Grouped(_)
            | Op::Dense(_)
            | Op::MaxPool(_)
            | Op::AvgPool(_)
            | Op::Lookup(_)
            | Op::Flatten
            | Op::Adapt(_) => 1..=1,
        };
        if !count.contains(&layer.inputs.len()) {
            return Diag::new("qir/input-count", format!("{} has a wrong number of inputs", layer.op.name()))
                .expected(count.start(), layer.inputs.len())
                .err();
        }
        let raw = self.input_kind == InputKind::U8 && layer.inputs.contains(&self.input());
        let (first, out) = (self.tensor(layer.inputs[0]), self.tensor(layer.output));
        let (input, output) = (first.shape, out.shape);
        match &layer.op {
            Op::Conv(conv) => {
                check_window(&conv.window, input, output, false)?;
                let filter = volume(&[conv.window.kernel[0], conv.window.kernel[1], input.c])?;
                check_len("weights", volume(&[output.c, filter])?, conv.weights.len())?;
                check_conv(conv, input, output, out.quant)?;
                check_accumulators(&conv.bias, conv.requant.shift, output.c, |o| {
                    abs_sum(conv.weights[o * filter..(o + 1) * filter].iter())
                })
            }
            Op::Depthwise(conv) => {
                check_window(&conv.window, input, output, false)?;
                check_channels(input, output)?;
                let taps = volume(&[conv.window.kernel[0], conv.window.kernel[1], input.c])?;
                check_len("weights", taps, conv.weights.len())?;
                check_conv(conv, input, output, out.quant)?;
                check_accumulators(&conv.bias, conv.requant.shift, output.c, |o| {
                    abs_sum(conv.weights[o..].iter().step_by(output.c))
                })
            }
            Op::Dense(dense) => check_dense(dense, input, output, out.quant),
            Op::Add(add) => {
                check_not_raw(raw, "a sum")?;
                for &id in &layer.inputs {
                    check_same_shape(self.tensor(id).shape, output)?;
                }
                check_add(add, out.quant)
            }
            Op::MaxPool(window) => {
                check_window(window, input, output, true)?;
                check_channels(input, output)?;
                if layer.inputs[0] == self.input() { Ok(()) } else { check_same_quant(first.quant, out.quant) }
            }
            Op::AvgPool(pool) => {
                check_window(&pool.window, input, output, true)?;
                check_channels(input, output)?;
                if layer.inputs[0] != self.input() && pool.input_zero_point != first.quant.zero_point {
                    return Diag::new("qir/zero-point", "a mean pool has another zero point than its input")
                        .expected(first.quant.zero_point, pool.input_zero_point)
                        .err();
                }
                check_avg_pool(pool, input, out.quant)
            }
            Op::Concat => {
                check_not_raw(raw, "a concatenation")?;
                let mut channels = 0_usize;
                for &id in &layer.inputs {
                    let part = self.tensor(id);
                    check_same_shape(Hwc { c: output.c, ..part.shape }, output)?;
                    if id != self.input() {
                        check_same_quant(part.quant, out.quant)?;
                    }
                    channels = channels.saturating_add(part.shape.c);
                }
                check_len("channels", output.c, channels)
            }
            Op::Lookup(table) => {
                check_same_shape(input, output)?;
                check_len("table entries", 256, table.len())
            }
            Op::Grouped(Grouped { groups, conv }) => {
                check_window(&conv.window, input, output, false)?;
                if *groups == 0 || !input.c.is_multiple_of(*groups) || !output.c.is_multiple_of(*groups) {
                    return Diag::new("qir/groups", "groups do not divide the channels")
                        .expected(format!("a divisor of {} and {}", input.c, output.c), groups)
                        .err();
                }
                let filter = volume(&[conv.window.kernel[0], conv.window.kernel[1], input.c / groups])?;
                check_len("weights", volume(&[output.c, filter])?, conv.weights.len())?;
                check_conv(conv, input, output, out.quant)?;
                check_accumulators(&conv.bias, conv.requant.shift, output.c, |o| {
                    abs_sum(conv.weights[o * filter..(o + 1) * filter].iter())
                })
            }
            Op::Gate(gate) => {
                check_not_raw(raw, "a gate")?;
                check_same_shape(input, output)?;
                check_same_shape(Hwc { h: 1, w: 1, c: input.c }, self.tensor(layer.inputs[1]).shape)?;
                for (&id, &zero_point) in layer.inputs.iter().zip(&gate.zero_points) {
                    let stored = self.tensor(id).quant.zero_point;
                    if id != self.input() && zero_point != stored {
                        return Diag::new("qir/zero-point", "a gate has another zero point than its input")
                            .expected(stored, zero_point)
                            .err();
                    }
                    check_i8("the input's zero point", zero_point)?;
                }
                check_requant(&gate.requant, &[1], out.quant)?;
                // |q − zero point| ≤ 255 on both sides.
                check_bound(255 * 255, gate.requant.shift)
            }
            Op::Adapt(adapt) => check_adapt(*adapt, input, output, self.pixels(layer.inputs[0]), out.quant),
            Op::Flatten => {
                check_not_raw(raw, "a flattening")?;
                check_same_shape(Hwc { h: 1, w: 1, c: input.len() }, output)?;
                if layer.inputs[0] == self.input() { Ok(()) } else { check_same_quant(first.quant, out.quant) }
            }
        }
    }
}

impl Program {
    /// Whether a tensor's values stand for `q + 128`: raw pixels, or a scale of 1 from −128 on.
    fn pixels(&self, id: TensorId) -> bool {
        if id == self.input() { self.input_kind == InputKind::U8 } else { is_pixels(self.tensor(id).quant) }
    }
}

fn is_pixels(quant: Quant) -> bool {
    quant.scale.total_cmp(&1.0).is_eq() && quant.zero_point == -128
}

fn check_adapt(adapt: Adapt, input: Hwc, output: Hwc, reads_pixels: bool, quant: Quant) -> Result<()> {
    let Adapt { block, first, grey } = adapt;
    if !reads_pixels || !is_pixels(quant) {
        return Diag::new("qir/adapt", "only pixels are brought to another size")
            .expected("u8 input, or a scale of 1 and a zero point of -128", quant.scale)
            .err();
    }
    let ends = |axis: usize, size: usize| block.checked_mul(size).and_then(|s| s.checked_add(first[axis]));
    let inside = ends(0, output.h).is_some_and(|h| h <= input.h) && ends(1, output.w).is_some_and(|w| w <= input.w);
    let channels = if grey { (input.c, output.c) == (3, 1) } else { input.c == output.c };
    if inside && channels && (1..=Adapt::LARGEST_BLOCK).contains(&block) {
        return Ok(());
    }
    Diag::new("qir/adapt", "the part to bring to another size does not lie in the input")
        .expected(input, format!("{output} of blocks of {block} from {first:?}"))
        .err()
}

/// Whether `name` can name a crate and, with `-` as `_`, a module.
pub fn is_crate_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
        && !KEYWORDS.contains(&name)
}

fn verify_name(name: &str) -> Result<()> {
    if is_crate_name(name) {
        return Ok(());
    }
    Diag::new("qir/bad-name", "the program's name is no crate name")
        .expected("lower-case letters, digits, `-` and `_`, a letter first, no Rust keyword", format!("{name:?}"))
        .err()
}

fn check_i8(what: &str, value: i32) -> std::result::Result<(), Diag> {
    if (-128..=127).contains(&value) {
        return Ok(());
    }
    Err(Diag::new("qir/not-i8", format!("{what} is no int8 value")).expected("-128..=127", value))
}

fn check_len(what: &str, expected: usize, found: usize) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Diag::new("qir/wrong-length", format!("the number of {what} is wrong")).expected(expected, found).err()
}

fn check_same_shape(found: Hwc, expected: Hwc) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Diag::new("qir/shape-mismatch", "the input's shape is not the output's").expected(expected, found).err()
}

fn check_channels(input: Hwc, output: Hwc) -> Result<()> {
    check_len("output channels", input.c, output.c)
}

fn check_same_quant(input: Quant, output: Quant) -> Result<()> {
    if input == output {
        return Ok(());
    }
    Diag::new("qir/scale-mismatch", "a layer that passes values on changes their scale").expected(input, output).err()
}

fn check_not_raw(raw: bool, what: &str) -> Result<()> {
    if !raw {
        return Ok(());
    }
    Diag::new("qir/raw-pixels", format!("{what} reads raw pixels")).help("put a table or a convolution before it").err()
}

/// Product, as long as it stays within what a tensor may hold.
fn volume(sizes: &[usize]) -> Result<usize> {
    sizes
        .iter()
        .try_fold(1_usize, |v, &s| v.checked_mul(s))
        .map_or_else(|| Diag::new("qir/bad-shape", "a layer's weights are too many").err(), Ok)
}

fn check_window(window: &Window, input: Hwc, output: Hwc, pooling: bool) -> Result<()> {
    let Window { kernel, stride, dilation, pad } = window;
    let limits = [*kernel, *stride, *dilation];
    if limits.iter().flatten().any(|&v| v == 0 || v > MAX_LEN) || pad.iter().any(|&p| p > MAX_LEN) {
        return Diag::new("qir/bad-window", "a part of a window is zero or too large")
            .expected(format!("1 to {MAX_LEN} each"), format!("{window:?}"))
            .err();
    }
    for (axis, (size, out)) in [(input.h, output.h), (input.w, output.w)].into_iter().enumerate() {
        // All sizes are at most 2^28: products fit u128 without thought.
        let [k, s, d, p] = [kernel[axis], stride[axis], dilation[axis], pad[axis]].map(|v| v as u128);
        let (size, out) = (size as u128, out as u128);
        let extent = (k - 1) * d + 1;
        let last = (out - 1) * s;
        let covers = last + extent + s > size + p;
        let near = if pooling { last < size + p } else { last <= size + p + p + extent };
        if !(covers && near) {
            return Diag::new("qir/window-mismatch", format!("{} do not fit the window", ["rows", "columns"][axis]))
                .expected(format!("outputs for {size} inputs with {window:?}"), out)
                .err();
        }
        if pooling && (0..out).any(|o| !window_touches(o * s, p, k, d, size)) {
            return Diag::new("qir/empty-window", "a pooling window holds no input position")
                .expected("at least one", format!("{window:?} over {size}"))
                .err();
        }
    }
    Ok(())
}

/// Whether one of the taps `start − pad + i · dilation`, `i < kernel`, is within `0..size`.
fn window_touches(start: u128, pad: u128, kernel: u128, dilation: u128, size: u128) -> bool {
    let first = pad.saturating_sub(start).div_ceil(dilation);
    first < kernel && start + first * dilation < size + pad
}

fn check_requant(requant: &Requant, counts: &[usize], quant: Quant) -> Result<()> {
    let Requant { multipliers, shift, zero_point, min, max } = requant;
    if !counts.contains(&multipliers.len()) {
        check_len("multipliers", counts[0], multipliers.len())?;
    }
    if let Some(m) = multipliers.iter().find(|m| **m < 0) {
        return Diag::new("qir/negative-multiplier", "a multiplier is negative").expected("0..2^31", m).err();
    }
    if *shift > 31 {
        return Diag::new("qir/bad-shift", "a shift is too large").expected("0..=31", shift).err();
    }
    check_clamp(*zero_point, *min, *max, quant)
}

fn check_clamp(zero_point: i32, min: i32, max: i32, quant: Quant) -> Result<()> {
    if zero_point != quant.zero_point {
        return Diag::new("qir/zero-point", "a layer has another zero point than its output")
            .expected(quant.zero_point, zero_point)
            .err();
    }
    check_i8("the smallest output", min)?;
    check_i8("the largest output", max)?;
    if min > max {
        return Diag::new("qir/empty-clamp", "the smallest output is above the largest").expected(min, max).err();
    }
    Ok(())
}

/// What dense and depthwise convolutions share: all but the number of weights.
fn check_conv(conv: &Conv, input: Hwc, output: Hwc, quant: Quant) -> Result<()> {
    check_requant(&conv.requant, &[output.c], quant)?;
    if let PadValue::Channel(values) = &conv.pad {
        check_len("pad values", input.c, values.len())?;
    }
    match &conv.bias {
        Bias::Channel(bias) => check_len("biases", output.c, bias.len()),
        Bias::Border { rows, cols, col_classes, table } => {
            check_len("row classes", output.h, rows.len())?;
            check_len("column classes", output.w, cols.len())?;
            let row_classes = rows.iter().max().map_or(0, |&m| usize::from(m) + 1);
            check_len("border biases", volume(&[row_classes, *col_classes, output.c])?, table.len())?;
            if cols.iter().any(|&c| usize::from(c) >= *col_classes) {
                return Diag::new("qir/border-class", "a column class is not in the table")
                    .expected(format!("below {col_classes}"), cols.iter().max().map_or(0, |&m| m))
                    .err();
            }
            Ok(())
        }
    }
}

fn check_dense(dense: &Dense, input: Hwc, output: Hwc, quant: Quant) -> Result<()> {
    check_same_shape(Hwc { h: 1, w: 1, c: output.c }, output)?;
    let filter = input.len();
    check_len("weights", volume(&[output.c, filter])?, dense.weights.len())?;
    check_len("biases", output.c, dense.bias.len())?;
    check_requant(&dense.requant, &[output.c], quant)?;
    for (&bias, weights) in dense.bias.iter().zip(dense.weights.chunks_exact(filter)) {
        check_bound(i64::from(bias).abs() + MAX_ABS * abs_sum(weights.iter()), dense.requant.shift)?;
    }
    Ok(())
}

fn abs_sum<'a>(weights: impl Iterator<Item = &'a i8>) -> i64 {
    weights.map(|&w| i64::from(w).abs()).sum()
}

/// `weights(o)` is `Σ |w|` of output channel `o`.
fn check_accumulators(bias: &Bias, shift: u32, channels: usize, weights: impl Fn(usize) -> i64) -> Result<()> {
    let (Bias::Channel(table) | Bias::Border { table, .. }) = bias;
    for o in 0..channels {
        let bias = table.iter().skip(o).step_by(channels).map(|&b| i64::from(b).abs()).max().unwrap_or(0);
        check_bound(bias + MAX_ABS * weights(o), shift)?;
    }
    Ok(())
}

fn check_bound(bound: i64, shift: u32) -> Result<()> {
    if bound <= i64::from(i32::MAX) >> shift {
        return Ok(());
    }
    Diag::new("qir/overflow", "an accumulator may leave i32")
        .expected(format!("at most {}", i64::from(i32::MAX) >> shift), bound)
        .err()
}

fn check_add(add: &Add, quant: Quant) -> Result<()> {
    check_clamp(add.zero_point, add.min, add.max, quant)?;
    if add.shift > 31 {
        return Diag::new("qir/bad-shift", "a shift is too large").expected("0..=31", add.shift).err();
    }
    let [a, b] = add.factors.map(|f| i64::from(f).abs());
    let sum = (a + b) * MAX_ABS + i64::from(add.constant).abs();
    check_bound(sum, 0)?;
    check_bound((sum >> add.shift) + 1 + MAX_ABS, 0)
}

fn check_avg_pool(pool: &AvgPool, input: Hwc, quant: Quant) -> Result<()> {
    check_i8("the input's zero point", pool.input_zero_point)?;
    let [kh, kw] = pool.window.kernel;
    let positions = volume(&[kh.min(input.h), kw.min(input.w)])?;
    check_requant(&pool.requant, &[1, volume(&[kh, kw])?, positions], quant)?;
    // |q − zero point| ≤ 255.
    check_bound((positions as i64).saturating_mul(255), pool.requant.shift)
}
