//! Any function of one value, as a table of 256 entries: activations on their own, changes of scale.

use super::shape::Element;

/// `output[i] = table[input[i] + 128]`.
#[inline(never)]
pub fn lookup<T: Element>(table: &[i8; 256], input: &[T], output: &mut [i8]) {
    for (out, &x) in output.iter_mut().zip(input) {
        *out = entry(table, x);
    }
}

/// The same in place.
#[inline(never)]
pub fn lookup_in_place(table: &[i8; 256], values: &mut [i8]) {
    for value in values {
        *value = entry(table, *value);
    }
}

/// `table[x + 128]`; a byte cannot leave the table.
#[inline(always)]
fn entry<T: Element>(table: &[i8; 256], x: T) -> i8 {
    table[usize::from(x.quantized().wrapping_add(128) as u8)]
}
