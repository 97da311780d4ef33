//! Checks of what layers are made of: lengths, windows, multipliers, biases, sums.

use super::MAX_LEN;
use crate::diag::{Diag, Result};
use crate::qir::{Adapt, Add, AvgPool, Bias, Conv, Dense, Hwc, PadValue, Quant, Requant, Window};

/// Largest absolute value of a quantized value.
const MAX_ABS: i64 = 128;

pub(super) fn check_i8(what: &str, value: i32) -> std::result::Result<(), Diag> {
    if (-128..=127).contains(&value) {
        return Ok(());
    }
    Err(Diag::new("qir/not-i8", format!("{what} is no int8 value")).expected("-128..=127", value))
}

pub(super) fn check_len(what: &str, expected: usize, found: usize) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Diag::new("qir/wrong-length", format!("the number of {what} is wrong")).expected(expected, found).err()
}

pub(super) fn check_same_shape(found: Hwc, expected: Hwc) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Diag::new("qir/shape-mismatch", "the input's shape is not the output's").expected(expected, found).err()
}

pub(super) fn check_channels(input: Hwc, output: Hwc) -> Result<()> {
    check_len("output channels", input.c, output.c)
}

pub(super) fn check_same_quant(input: Quant, output: Quant) -> Result<()> {
    if input == output {
        return Ok(());
    }
    Diag::new("qir/scale-mismatch", "a layer that passes values on changes their scale").expected(input, output).err()
}

pub(super) fn check_not_raw(raw: bool, what: &str) -> Result<()> {
    if !raw {
        return Ok(());
    }
    Diag::new("qir/raw-pixels", format!("{what} reads raw pixels")).help("put a table or a convolution before it").err()
}

/// Product, as long as it stays within what a tensor may hold.
pub(super) fn volume(sizes: &[usize]) -> Result<usize> {
    sizes
        .iter()
        .try_fold(1_usize, |v, &s| v.checked_mul(s))
        .map_or_else(|| Diag::new("qir/bad-shape", "a layer's weights are too many").err(), Ok)
}

pub(super) fn check_window(window: &Window, input: Hwc, output: Hwc, pooling: bool) -> Result<()> {
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

pub(super) fn check_requant(requant: &Requant, counts: &[usize], quant: Quant) -> Result<()> {
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
pub(super) fn check_conv(conv: &Conv, input: Hwc, output: Hwc, quant: Quant) -> Result<()> {
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

pub(super) fn check_dense(dense: &Dense, input: Hwc, output: Hwc, quant: Quant) -> Result<()> {
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

pub(super) fn abs_sum<'a>(weights: impl Iterator<Item = &'a i8>) -> i64 {
    weights.map(|&w| i64::from(w).abs()).sum()
}

/// `weights(o)` is `Σ |w|` of output channel `o`.
pub(super) fn check_accumulators(
    bias: &Bias,
    shift: u32,
    channels: usize,
    weights: impl Fn(usize) -> i64,
) -> Result<()> {
    let (Bias::Channel(table) | Bias::Border { table, .. }) = bias;
    for o in 0..channels {
        let bias = table.iter().skip(o).step_by(channels).map(|&b| i64::from(b).abs()).max().unwrap_or(0);
        check_bound(bias + MAX_ABS * weights(o), shift)?;
    }
    Ok(())
}

pub(super) fn check_bound(bound: i64, shift: u32) -> Result<()> {
    if bound <= i64::from(i32::MAX) >> shift {
        return Ok(());
    }
    Diag::new("qir/overflow", "an accumulator may leave i32")
        .expected(format!("at most {}", i64::from(i32::MAX) >> shift), bound)
        .err()
}

pub(super) fn check_add(add: &Add, quant: Quant) -> Result<()> {
    check_clamp(add.zero_point, add.min, add.max, quant)?;
    if add.shift > 31 {
        return Diag::new("qir/bad-shift", "a shift is too large").expected("0..=31", add.shift).err();
    }
    let [a, b] = add.factors.map(|f| i64::from(f).abs());
    let sum = (a + b) * MAX_ABS + i64::from(add.constant).abs();
    check_bound(sum, 0)?;
    check_bound((sum >> add.shift) + 1 + MAX_ABS, 0)
}

pub(super) fn check_avg_pool(pool: &AvgPool, input: Hwc, quant: Quant) -> Result<()> {
    check_i8("the input's zero point", pool.input_zero_point)?;
    let [kh, kw] = pool.window.kernel;
    let positions = volume(&[kh.min(input.h), kw.min(input.w)])?;
    check_requant(&pool.requant, &[1, volume(&[kh, kw])?, positions], quant)?;
    // |q − zero point| ≤ 255.
    check_bound((positions as i64).saturating_mul(255), pool.requant.shift)
}

pub(super) fn is_pixels(quant: Quant) -> bool {
    quant.scale.total_cmp(&1.0).is_eq() && quant.zero_point == -128
}

pub(super) fn check_adapt(adapt: Adapt, input: Hwc, output: Hwc, reads_pixels: bool, quant: Quant) -> Result<()> {
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
