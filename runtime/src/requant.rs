//! From `i32` accumulators back to `i8`: the one rounding of fratc.
//!
//! `q = clamp(zero_point + mulhi(acc << shift, multiplier))` with
//! `mulhi(a, m) = floor((a · m + 2^31) / 2^32)`, which is the single-cycle `SMMULR` of Cortex-M4, M7 and M33.
//! The real factor is `multiplier · 2^(shift − 32)`. The compiler proves that `acc << shift` fits an `i32`.

/// Parameters of the way back to `i8`, per output channel or one for all.
#[derive(Debug, Clone, Copy)]
pub struct Requant<'a> {
    /// One multiplier per output channel.
    pub multipliers: &'a [i32],
    /// Left shift of the accumulator before the multiplication; 0 for nearly every layer.
    pub shift: u32,
    /// Zero point of the output.
    pub zero_point: i32,
    /// Smallest output (a fused `ReLU` raises it).
    pub min: i32,
    /// Largest output (a fused `ReLU6` lowers it).
    pub max: i32,
}

/// `floor((a · m + 2^31) / 2^32)`.
#[inline(always)]
pub fn mulhi(a: i32, m: i32) -> i32 {
    ((i64::from(a) * i64::from(m) + (1 << 31)) >> 32) as i32
}

/// One accumulator to one output value.
#[inline(always)]
pub fn requantize(acc: i32, multiplier: i32, requant: &Requant<'_>) -> i8 {
    let q = requant
        .zero_point
        .wrapping_add(mulhi(acc << (requant.shift & 31), multiplier));
    q.max(requant.min).min(requant.max) as i8
}
