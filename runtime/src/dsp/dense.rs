//! Fully connected layer on weights as the program has them: two outputs and four inputs at a time, without scratch memory.

use super::super::dense::Dense;

/// Runs the layer; `input.len()` is `I`, `output.len()` is `O`. Where lengths do not match, less is computed.
#[cfg(not(all(target_arch = "arm", feature = "dsp")))]
pub fn dense(layer: &Dense<'_>, input: &[i8], output: &mut [i8]) {
    super::super::dense::dense(layer, input, output);
}

/// Runs the layer; `input.len()` is `I`, `output.len()` is `O`. Where lengths do not match, less is computed.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[inline(never)]
pub fn dense(layer: &Dense<'_>, input: &[i8], output: &mut [i8]) {
    use super::super::requant::requantize;
    use super::super::shape::{take, take_mut};
    use core::hint::black_box;

    let (layer, input, output) = black_box((layer, input, output));
    let mut weights = layer.weights;
    let mut biases = layer.bias.iter().zip(layer.requant.multipliers);
    let mut rest = output;
    while !rest.is_empty() {
        let count = rest.len().min(2);
        let outputs = take_mut(&mut rest, count);
        let first = take(&mut weights, input.len());
        // The last of an odd number stands in for its neighbour.
        let second = if count == 2 {
            take(&mut weights, input.len())
        } else {
            first
        };
        let sums = products(first, second, input);
        for (out, sum) in outputs.iter_mut().zip(&sums) {
            // A loop that is not unrolled.
            black_box(());
            if let Some((&bias, &multiplier)) = biases.next() {
                *out = requantize(sum.wrapping_add(bias), multiplier, &layer.requant);
            }
        }
    }
}

/// `Σ first[i] · x[i]` and `Σ second[i] · x[i]`, over as many values as all three have.
#[cfg(all(target_arch = "arm", feature = "dsp"))]
#[inline(always)]
fn products(first: &[i8], second: &[i8], x: &[i8]) -> [i32; 2] {
    let count = x.len().min(first.len()).min(second.len());
    let fours = count / 4;
    let mut sums = [0_i32; 2];
    if fours > 0 {
        let [a, b] = &mut sums;
        // SAFETY: each of `fours` turns reads four bytes at each of three pointers and moves them on by four: inside the
        // first `4 · fours` bytes of slices that have `count` bytes at least. LDR needs no alignment on these cores. All registers
        // that change are declared.
        unsafe {
            core::arch::asm!(
                "2:",
                "ldr {u}, [{x}], #4",
                "ldr {w}, [{first}], #4",
                "sxtb16 {v}, {u}, ror #8",
                "sxtb16 {u}, {u}",
                "sxtb16 {t}, {w}, ror #8",
                "sxtb16 {w}, {w}",
                "smlad {a}, {t}, {v}, {a}",
                "smlad {a}, {w}, {u}, {a}",
                "ldr {w}, [{second}], #4",
                "cmp {x}, {end}",
                "sxtb16 {t}, {w}, ror #8",
                "sxtb16 {w}, {w}",
                "smlad {b}, {t}, {v}, {b}",
                "smlad {b}, {w}, {u}, {b}",
                "bne 2b",
                x = inout(reg) x.as_ptr() => _,
                end = in(reg) x.as_ptr().wrapping_add(fours.wrapping_mul(4)),
                first = inout(reg) first.as_ptr() => _,
                second = inout(reg) second.as_ptr() => _,
                u = out(reg) _,
                v = out(reg) _,
                w = out(reg) _,
                t = out(reg) _,
                a = inout(reg) *a,
                b = inout(reg) *b,
                options(nostack, readonly)
            );
        }
    }
    let mut at = fours.wrapping_mul(4);
    while at < count {
        let value = |from: &[i8]| from.get(at).map_or(0, |&value| i32::from(value));
        let x = value(x);
        sums[0] = sums[0].wrapping_add(x.wrapping_mul(value(first)));
        sums[1] = sums[1].wrapping_add(x.wrapping_mul(value(second)));
        at = at.wrapping_add(1);
    }
    sums
}
