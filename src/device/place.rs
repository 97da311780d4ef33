//! Where tensors live, and how much fits there.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;

use crate::device::failed;
use crate::diag::{Diag, Result};

/// What runs a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
    /// The engine of `exec`, on the processor.
    #[default]
    Host,
    /// candle's tensors on the processor: the code that runs on a GPU, where there is none.
    Candle,
    /// candle's tensors on the CUDA device of this number.
    Cuda(usize),
}

impl Place {
    /// The device, if it is candle's.
    ///
    /// Errors: `device/no-cuda` where fratc was built without CUDA, `device/failed` where the driver refuses.
    pub(super) fn open(self) -> Result<Option<Device>> {
        match self {
            Self::Host => Ok(None),
            Self::Candle => Ok(Some(Device::Cpu)),
            Self::Cuda(number) if cfg!(feature = "cuda") => Device::new_cuda(number).map(Some).map_err(|e| {
                let diag = failed(e);
                Box::new(
                    Diag::new("device/no-cuda", format!("CUDA device {number} cannot be used: {}", diag.what))
                        .help(HELP),
                )
            }),
            Self::Cuda(_) => Diag::new("device/no-cuda", "this fratc was built without CUDA").help(HELP).err(),
        }
    }
}

/// Samples of `bytes` each that fit the free memory of `device`, between 1 and 256; 32 on the processor.
pub(super) fn batch(device: &Device, bytes: usize) -> usize {
    match free_memory(device) {
        // Half of it: the fragmentation of the allocator and the library's own buffers want their share.
        Some(free) => (free / 2 / bytes.max(1)).clamp(1, 256),
        None => 32,
    }
}

const HELP: &str = "leave --device out to run on the processor, or see docs/gpu.md";

#[cfg(feature = "cuda")]
fn free_memory(device: &Device) -> Option<usize> {
    device
        .is_cuda()
        .then(|| candle_core::cuda::cudarc::driver::result::mem_get_info().ok())
        .flatten()
        .map(|(free, _)| free)
}

#[cfg(not(feature = "cuda"))]
fn free_memory(_device: &Device) -> Option<usize> {
    None
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let number = |n: &str| n.parse().map(Self::Cuda).map_err(|_| format!("`{n}` is not the number of a device"));
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Host),
            None if text == "candle" => Ok(Self::Candle),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", n)) => number(n),
            _ => Err("expected cpu, candle or cuda:N".into()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => write!(f, "cpu"),
            Self::Candle => write!(f, "candle"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}
