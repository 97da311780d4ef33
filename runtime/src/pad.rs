//! What stands where a window leaves the input.

/// Value of padded positions.
#[derive(Debug, Clone, Copy)]
pub enum PadValue<'a> {
    /// One quantized value for all channels (the input's zero point).
    Uniform(i8),
    /// One quantized value per input channel (raw pixels, whose zero differs by channel).
    Channel(&'a [i8]),
}
