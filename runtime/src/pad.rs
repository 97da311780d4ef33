//! What stands where a window leaves the input.

/// Value of padded positions.
#[derive(Debug, Clone, Copy)]
pub enum PadValue<'a> {
    /// One quantized value for all channels (the input's zero point).
    Uniform(i8),
    /// One quantized value per input channel (raw pixels, whose zero differs by channel).
    Channel(&'a [i8]),
}

impl PadValue<'_> {
    /// Adds the products of `weights` with padding, of the channels from `first` on, to `acc`.
    #[inline(never)]
    pub fn add_products(&self, first: usize, weights: &[i8], acc: i32) -> i32 {
        let mut acc = acc;
        let mut values = match *self {
            Self::Uniform(_) => &[],
            Self::Channel(values) => values.get(first..).unwrap_or(&[]),
        }
        .iter();
        for &weight in weights {
            // A loop that is not unrolled: there is little padding.
            core::hint::black_box(());
            let value = match *self {
                Self::Uniform(value) => value,
                Self::Channel(_) => values.next().copied().unwrap_or(0),
            };
            acc = acc.wrapping_add(i32::from(value).wrapping_mul(i32::from(weight)));
        }
        acc
    }
}
