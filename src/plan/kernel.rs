//! The kernels there are.

/// Kernels of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// Plain Rust; weights as the program has them.
    Portable,
    /// `fratc_runtime::dsp::conv`: any dense convolution, four patches and two filters at a time.
    DspConv,
    /// The same with weights of 16 bits: twice the flash, an eighth fewer instructions.
    DspConvWide,
    /// `fratc_runtime::dsp::rows`: dense, three columns wide, step 1 along a row.
    DspRows,
    /// `fratc_runtime::dsp::winograd`: dense, 3×3, step 1; 3.6 bytes of flash for a weight.
    DspWinograd,
    /// `fratc_runtime::dsp::depthwise`.
    DspDepthwise,
    /// `fratc_runtime::dsp::lines`: depthwise 3×3, two outputs of a channel at a time.
    DspLines,
    /// `fratc_runtime::dsp::add`: sums, four elements at a time.
    DspAdd,
    /// `fratc_runtime::dsp::pool`: mean pools, four channels and two positions at a time.
    DspPool,
    /// `fratc_runtime::dsp::max_pool`: eight channels at a time.
    DspMaxPool,
    /// `fratc_runtime::dsp::dense`: two outputs and four inputs at a time, weights as the program has them.
    DspDense,
    /// `fratc_runtime::mve::conv`: any dense convolution, two patches at a time.
    MveConv,
    /// `fratc_runtime::mve::depthwise`: eight channels at a time.
    MveDepthwise,
    /// `fratc_runtime::scalar::v7m`: any dense convolution, four patches and two filters at a time.
    ScalarV7m,
    /// `fratc_runtime::scalar::depthwise` on Armv7-M: four channels at a time.
    ScalarDepthwiseV7m,
    /// `fratc_runtime::scalar::v6m`: any dense convolution, four patches and one filter at a time.
    ScalarV6m,
    /// `fratc_runtime::scalar::depthwise` on Armv6-M.
    ScalarDepthwiseV6m,
}

/// Kernels with assembly for one sort of core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// The DSP extension: Cortex-M4, M7, M33.
    Dsp,
    /// The vector extension: Cortex-M55.
    Mve,
    /// Armv7-M: Cortex-M3.
    V7m,
    /// Armv6-M: Cortex-M0, M0+.
    V6m,
}

impl Family {
    /// Cargo feature of the emitted crate that turns the assembly on.
    pub fn feature(self) -> &'static str {
        match self {
            Self::Dsp => "dsp",
            Self::Mve => "mve",
            Self::V7m => "v7m",
            Self::V6m => "v6m",
        }
    }

    /// Folder of the kernels in the runtime.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Dsp => "dsp",
            Self::Mve => "mve",
            Self::V7m | Self::V6m => "scalar",
        }
    }
}

impl Kernel {
    /// Whose assembly it is; `None` for plain Rust.
    pub fn family(self) -> Option<Family> {
        match self {
            Self::Portable => None,
            Self::DspConv
            | Self::DspConvWide
            | Self::DspRows
            | Self::DspWinograd
            | Self::DspDepthwise
            | Self::DspLines
            | Self::DspAdd
            | Self::DspPool
            | Self::DspMaxPool
            | Self::DspDense => Some(Family::Dsp),
            Self::MveConv | Self::MveDepthwise => Some(Family::Mve),
            Self::ScalarV7m | Self::ScalarDepthwiseV7m => Some(Family::V7m),
            Self::ScalarV6m | Self::ScalarDepthwiseV6m => Some(Family::V6m),
        }
    }

    /// A short name, for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::DspConv => "dsp conv",
            Self::DspConvWide => "dsp conv of 16-bit weights",
            Self::DspWinograd => "dsp winograd",
            Self::DspRows => "dsp rows",
            Self::DspDepthwise => "dsp depthwise",
            Self::MveConv => "mve conv",
            Self::MveDepthwise => "mve depthwise",
            Self::ScalarV7m => "v7m conv",
            Self::ScalarDepthwiseV7m => "v7m depthwise",
            Self::ScalarV6m => "v6m conv",
            Self::ScalarDepthwiseV6m => "v6m depthwise",
            Self::DspLines => "dsp depthwise lines",
            Self::DspAdd => "dsp add",
            Self::DspPool => "dsp mean pool",
            Self::DspMaxPool => "dsp max pool",
            Self::DspDense => "dsp dense",
        }
    }
}
