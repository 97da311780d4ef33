//! Sums that attribution takes of tensors on the device.

use std::ops::Range;

use candle_core::{Device, Result as CandleResult, Tensor};

use crate::device::op::Taps;
use crate::device::{Activations, Gradients, failed};
use crate::diag::{Diag, Result};
use crate::ir::op::Op;
use crate::ir::{Node, NodeId, Shape};

/// What is summed over the positions of a channel, from an activation A and its gradient g.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// max(g, 0).
    PositiveGradient,
    /// max(g, 0) · |A|.
    WeightedGradient,
    /// |g · A|.
    Taylor,
    /// |A|.
    Activation,
}

impl Measure {
    /// Whether it needs the gradient.
    pub fn needs_gradient(self) -> bool {
        self != Self::Activation
    }

    /// Of the tensor of node `id`: per sample, per channel. No gradient counts as 0.
    pub fn sums(self, acts: &Activations, gradients: Option<&Gradients>, id: NodeId) -> Result<Vec<Vec<f32>>> {
        let (activation, gradient) = (acts.get(id), gradients.and_then(|g| g.get(id)));
        let sums = || -> CandleResult<Vec<Vec<f32>>> {
            let values = match (self, gradient) {
                (Self::Activation, _) => activation.abs()?,
                (_, None) => activation.zeros_like()?,
                (Self::PositiveGradient, Some(g)) => g.relu()?,
                (Self::WeightedGradient, Some(g)) => (g.relu()? * activation.abs()?)?,
                (Self::Taylor, Some(g)) => (g * activation)?.abs()?,
            };
            values.sum((2, 3))?.to_vec2()
        };
        sums().map_err(failed)
    }
}

/// Positive contributions of a layer's input channels to its outputs: see `attribute`'s links.
#[derive(Debug)]
pub struct Contributions {
    /// A convolution's; a dense layer reads its features as they are.
    taps: Option<Taps>,
    /// Which tap sums (or features) each input channel consists of, `[P·K]`, and after the last of them a zero; `None`
    /// if they are in order and all there.
    gather: Option<Tensor>,
    /// `[P, Q, K]`.
    weight: Tensor,
}

impl Contributions {
    /// For a convolution or dense layer `node` whose operand has the shape `input`. `place` gives for every one of its
    /// input channels which of `places` channels it counts as, `scale` what every output is multiplied by.
    pub(super) fn new(
        node: &Node,
        input: Shape,
        scale: &[f32],
        place: &[usize],
        places: usize,
        device: &Device,
    ) -> Result<Self> {
        let (weight, window) = match &node.op {
            Op::Conv(conv) => (&conv.weight, Some(&conv.window)),
            Op::Dense(dense) => (&dense.weight, None),
            op => return Diag::new("device/no-links", "the layer makes no links").at(op.name()).err(),
        };
        let fan_in = weight.len() / scale.len().max(1);
        let taps = fan_in / place.len().max(1);
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); places];
        for (channel, &place) in place.iter().enumerate() {
            members[place].extend(channel * taps..(channel + 1) * taps);
        }
        let most = members.iter().map(Vec::len).max().unwrap_or(0);
        let at = |member: &[usize], k: usize| member.get(k).copied().unwrap_or(fan_in);
        let order: Vec<u32> = members.iter().flat_map(|m| (0..most).map(|k| at(m, k) as u32)).collect();
        let in_order = order.iter().enumerate().all(|(i, &from)| from as usize == i);
        let mut laid = Vec::with_capacity(order.len() * scale.len());
        for member in &members {
            for (row, scale) in weight.chunks_exact(fan_in.max(1)).zip(scale) {
                laid.extend((0..most).map(|k| row.get(at(member, k)).map_or(0.0, |w| w * scale)));
            }
        }
        let build = || -> CandleResult<Self> {
            let count = order.len();
            Ok(Self {
                taps: window.map(|window| Taps::new(window, input, node.shape, device)).transpose()?,
                gather: if in_order { None } else { Some(Tensor::from_vec(order, count, device)?) },
                weight: Tensor::from_vec(laid, (places, scale.len(), most), device)?,
            })
        };
        build().map_err(failed)
    }

    /// For each range of the samples, `[Q, P]`: Σ over samples of max(contribution, 0). `input` is the layer's operand.
    pub fn sums(&self, acts: &Activations, input: NodeId, ranges: &[Range<usize>]) -> Result<Vec<Vec<f32>>> {
        let x = acts.get(input);
        let sums = || -> CandleResult<Vec<Vec<f32>>> {
            let (places, _, per_place) = self.weight.dims3()?;
            let n = x.dim(0)?;
            let mut read = match &self.taps {
                Some(taps) => taps.sums(x)?,
                None => x.reshape((n, ()))?,
            };
            if let Some(gather) = &self.gather {
                read = read.pad_with_zeros(1, 0, 1)?.index_select(gather, 1)?;
            }
            let read = read.reshape((n, places, per_place))?.permute((1, 2, 0))?.contiguous()?;
            let positive = self.weight.matmul(&read)?.relu()?;
            let of = |range: &Range<usize>| {
                positive.narrow(2, range.start, range.len())?.sum(2)?.t()?.flatten_all()?.to_vec1()
            };
            ranges.iter().map(of).collect()
        };
        sums().map_err(failed)
    }
}
