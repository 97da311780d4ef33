//! Sum of two tensors of one shape and two scales.

/// `q = clamp(zero_point + ((a · factors[0] + b · factors[1] + constant) >> shift))`; `constant` holds both zero
/// points and the rounding half. The compiler proves that the sum fits an `i32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// `output = a + b`.
#[inline(never)]
pub fn add(layer: &Add, a: &[i8], b: &[i8], output: &mut [i8]) {
    for ((out, &a), &b) in output.iter_mut().zip(a).zip(b) {
        *out = sum(layer, a, b);
    }
}

/// `a = a + b`, in place; the same bytes as [`add`].
#[inline(never)]
pub fn add_in_place(layer: &Add, a: &mut [i8], b: &[i8]) {
    for (a, &b) in a.iter_mut().zip(b) {
        *a = sum(layer, *a, b);
    }
}

/// `b = a + b`, in place; the same bytes as [`add`].
#[inline(never)]
pub fn add_in_place_second(layer: &Add, a: &[i8], b: &mut [i8]) {
    for (&a, b) in a.iter().zip(b) {
        *b = sum(layer, a, *b);
    }
}

/// One element.
#[inline(always)]
fn sum(layer: &Add, a: i8, b: i8) -> i8 {
    let a = i32::from(a).wrapping_mul(layer.factors[0]);
    let b = i32::from(b).wrapping_mul(layer.factors[1]);
    let scaled = a.wrapping_add(b).wrapping_add(layer.constant) >> (layer.shift & 31);
    layer
        .zero_point
        .wrapping_add(scaled)
        .max(layer.min)
        .min(layer.max) as i8
}
