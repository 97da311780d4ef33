//! What a raw byte means to the float network.

use crate::data::Samples;
use crate::diag::{Diag, Result};

/// Longest side of an input, and with it a bound on what a sample may take.
const MAX_SIDE: usize = 4096;

/// The type of a raw input value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputKind {
    /// Unsigned bytes: the pixels of an image.
    U8,
    /// Signed bytes: features of a front end.
    I8,
}

impl InputKind {
    /// The number that a stored byte stands for.
    pub fn value(self, byte: u8) -> i32 {
        match self {
            Self::U8 => i32::from(byte),
            Self::I8 => i32::from(byte as i8),
        }
    }

    /// `u8` or `i8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::U8 => "u8",
            Self::I8 => "i8",
        }
    }
}

/// Raw bytes to network inputs: `x = ((p − zero_point)·scale − mean[c]) / std[c]`.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct InputContract {
    /// Type of a raw value `p`.
    pub kind: InputKind,
    /// `[H, W, C]`, as the device gets it.
    pub shape: [usize; 3],
    /// Step between two raw values, in units of `mean` and `std`.
    pub scale: f64,
    /// The raw value that stands for 0.
    pub zero_point: f64,
    /// Per channel, length C.
    pub mean: Vec<f64>,
    /// Per channel, length C, above 0.
    pub std: Vec<f64>,
}

impl InputContract {
    /// A contract without zero point, mean and std: `x = p·scale`. `shape` is `[H, W, C]`.
    pub fn new(kind: InputKind, shape: [usize; 3], scale: f64) -> Self {
        Self { kind, shape, scale, zero_point: 0.0, mean: vec![0.0; shape[2]], std: vec![1.0; shape[2]] }
    }

    /// Bytes of one sample, `H·W·C`.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether a sample has no bytes; never after [`InputContract::verify`].
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the network sees for raw `byte` in `channel`.
    pub fn value(&self, byte: u8, channel: usize) -> f64 {
        let p = f64::from(self.kind.value(byte));
        ((p - self.zero_point) * self.scale - self.mean[channel]) / self.std[channel]
    }

    /// The samples of `indices` as network inputs, channel-major `[C, N, H, W]`.
    pub fn normalized<T: Copy>(
        &self,
        samples: &Samples,
        indices: impl IntoIterator<Item = usize>,
        cast: impl Fn(f64) -> T,
    ) -> Vec<T> {
        let indices: Vec<usize> = indices.into_iter().collect();
        let [h, w, channels] = samples.shape;
        let mut out = Vec::with_capacity(indices.len() * h * w * channels);
        for c in 0..channels {
            let table: Vec<T> = (0..=255).map(|byte| cast(self.value(byte, c))).collect();
            for &i in &indices {
                out.extend(samples.sample(i)[c..].iter().step_by(channels).map(|&byte| table[usize::from(byte)]));
            }
        }
        out
    }

    /// Checks sizes and numbers.
    pub fn verify(&self) -> Result<()> {
        self.problem().map_or(Ok(()), |(_, diag)| diag.err())
    }

    /// The first key of `[input]` that is out of range, and what is wrong with it.
    pub(super) fn problem(&self) -> Option<(&'static str, Diag)> {
        let bad = |key: &'static str, what: &str, want: &str, found: String| {
            Some((key, Diag::new("data/contract", format!("`{key}` {what}")).expected(want, found)))
        };
        if self.shape.iter().any(|&d| d == 0 || d > MAX_SIDE) {
            let want = format!("[height, width, channels], each 1 to {MAX_SIDE}");
            return bad("shape", "has a side out of range", &want, format!("{:?}", self.shape));
        }
        if !(self.scale.is_finite() && self.scale > 0.0) {
            return bad("scale", "is out of range", "a number above 0", self.scale.to_string());
        }
        if !self.zero_point.is_finite() {
            return bad("zero_point", "is not finite", "a number", self.zero_point.to_string());
        }
        for (key, values, want) in [("mean", &self.mean, "finite numbers"), ("std", &self.std, "numbers above 0")] {
            if values.len() != self.shape[2] {
                let want = format!("one number for each of {} channels", self.shape[2]);
                return bad(key, "has the wrong length", &want, values.len().to_string());
            }
            if let Some(value) = values.iter().find(|v| !v.is_finite() || (key == "std" && **v <= 0.0)) {
                return bad(key, "holds a value out of range", want, value.to_string());
            }
        }
        None
    }

    /// Fails unless the model's input, `[H, W, C]`, is the contract's shape.
    pub fn check_model(&self, model: [usize; 3]) -> Result<()> {
        if self.shape == model {
            return Ok(());
        }
        Diag::new("data/contract", "the case file's input shape is not the model's")
            .expected(format!("{model:?} (height, width, channels of the model)"), format!("{:?}", self.shape))
            .help("correct `shape` in [input]; it is [height, width, channels] whatever the model's own layout")
            .err()
    }
}
