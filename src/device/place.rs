//! Where tensors live, and how much fits there.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

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
    /// [`Place::Candle`] that says it is out of memory for batches of more samples than this: what happens then is tested
    /// with it.
    Scarce(usize),
}

impl Place {
    /// The device, if it is candle's. Every call gives the same one, so that tensors of all networks can meet.
    ///
    /// Errors: `device/no-cuda` where fratc was built without CUDA or the driver refuses.
    pub(super) fn open(self) -> Result<Option<Device>> {
        match self {
            Self::Host => Ok(None),
            Self::Candle | Self::Scarce(_) => {
                // Products that split over the threads of whoever waits for them could start other work on its stack.
                gemm_common::gemm::set_threading_threshold(usize::MAX);
                Ok(Some(Device::Cpu))
            }
            Self::Cuda(number) if cfg!(feature = "cuda") => cuda(number).map(Some).map_err(|diag| {
                let text = format!("CUDA device {number} cannot be used: {}", diag.what);
                Box::new(Diag::new("device/no-cuda", text).help(HELP))
            }),
            Self::Cuda(_) => Diag::new("device/no-cuda", "this fratc was built without CUDA").help(HELP).err(),
        }
    }

    /// Most samples of a batch that fit, where that is pretended.
    pub(super) fn most(self) -> Option<usize> {
        match self {
            Self::Scarce(most) => Some(most),
            Self::Host | Self::Candle | Self::Cuda(_) => None,
        }
    }
}

/// The CUDA devices that were opened. Opening one again would load and translate its kernels anew.
static OPENED: Mutex<Vec<(usize, Device)>> = Mutex::new(Vec::new());

fn cuda(number: usize) -> Result<Device> {
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, device)) = opened.iter().find(|(known, _)| *known == number) {
        return Ok(device.clone());
    }
    let device = Device::new_cuda(number).map_err(failed)?;
    opened.push((number, device.clone()));
    Ok(device)
}

/// Samples of `bytes` each to begin with on `device`.
pub(super) fn batch(device: &Device, bytes: usize) -> usize {
    free_memory(device).map_or(BATCH, |free| fitting(free, bytes))
}

/// Samples of a batch where the free memory is not known: on the processor.
const BATCH: usize = 32;

/// Samples of `bytes` each that fit into `free` bytes, between 1 and 256. Half of the memory stays free: the allocator's
/// fragments and the library's own buffers want their share.
fn fitting(free: usize, bytes: usize) -> usize {
    (free / 2 / bytes.max(1)).clamp(1, 256)
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
            Self::Candle | Self::Scarce(_) => write!(f, "candle"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fitting;

    #[test]
    fn a_batch_takes_half_of_the_free_memory() {
        assert_eq!(fitting(64 << 30, 1 << 30), 32);
        assert_eq!(fitting(1 << 30, 1 << 30), 1, "one sample is tried whatever it needs");
        assert_eq!(fitting(64 << 30, 1 << 10), 256, "more at a time gains nothing");
        assert_eq!(fitting(1 << 20, 0), 256);
    }
}
