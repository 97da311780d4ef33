//! Single tensors on a device, for work that is done layer by layer.

use candle_core::{Result as CandleResult, Tensor};

use crate::device::network::upload;
use crate::device::{Place, failed, op};
use crate::diag::Result;
use crate::exec::Batch;
use crate::ir::{Node, Shape};

/// A tensor of several samples on a device.
#[derive(Debug, Clone)]
pub struct Values(
    /// `[N, C, H, W]`.
    pub(super) Tensor,
);

impl Values {
    /// Moves `batch` to `place`, which must not be the host's own engine.
    pub fn load(batch: Batch<f32>, place: Place) -> Result<Self> {
        let device = place.open()?.unwrap_or(candle_core::Device::Cpu);
        Ok(Self(upload(batch, &device)?))
    }

    /// In host memory.
    pub fn host(&self) -> Result<Batch<f32>> {
        let values = || Ok((self.0.dims4()?, self.0.transpose(0, 1)?.flatten_all()?.to_vec1()?));
        let ((n, c, h, w), data) = values().map_err(failed)?;
        Batch::new(Shape::new(c, h, w), n, data)
    }

    /// Runs one node of a verified graph on the tensors of its inputs, in operand order.
    pub fn run(node: &Node, operands: &[&Self]) -> Result<Self> {
        let result = || {
            let inputs: Vec<&Tensor> = operands.iter().map(|v| &v.0).collect();
            let (_, c, h, w) = inputs[0].dims4()?;
            let prepared = op::prepare(&node.op, Shape::new(c, h, w), node.shape, inputs[0].device())?;
            op::forward(&node.op, &prepared, &inputs)
        };
        result().map(Self).map_err(failed)
    }

    /// Some `channels` at some positions of each sample, `[N, K, channels]` in host memory. `positions` are
    /// `[N, K]`, each `y · W + x`.
    pub fn at(&self, channels: &[u32], positions: &[u32]) -> Result<Vec<f32>> {
        let values = || {
            let device = self.0.device();
            let channels = Tensor::from_slice(channels, channels.len(), device)?;
            let planes = self.0.flatten_from(2)?.contiguous()?.index_select(&channels, 1)?;
            taken(&planes, positions)?.transpose(1, 2)?.flatten_all()?.to_vec1()
        };
        values().map_err(failed)
    }
}

/// `[N, C, P]` at `positions`, `[N, K]`: `[N, C, K]`.
pub(super) fn taken(planes: &Tensor, positions: &[u32]) -> CandleResult<Tensor> {
    let (n, c, _) = planes.dims3()?;
    let k = positions.len() / n.max(1);
    let index = Tensor::from_slice(positions, (n, 1, k), planes.device())?.broadcast_as((n, c, k))?.contiguous()?;
    planes.gather(&index, 2)
}
