//! The sums that a layer's least-squares fit needs, taken on the device in f64.

use candle_core::{DType, Result as CandleResult, Tensor};

use crate::device::op::pad;
use crate::device::values::taken;
use crate::device::{Values, failed};
use crate::diag::Result;
use crate::ir::op::{Op, Window};

/// Rows of inputs x (a filter's patch each) and of targets t, group by group.
#[derive(Debug)]
pub struct Rows {
    /// `[G, rows, f]`, f64.
    x: Tensor,
    /// `[G, rows, q]`, f64.
    t: Tensor,
}

/// Samples of one tensor, and the positions of the layer's result that are taken of each.
#[derive(Debug)]
pub struct Taken<'a> {
    /// The layer's input.
    pub input: &'a Values,
    /// Which samples.
    pub samples: Vec<u32>,
    /// `[samples, K]`: row and column.
    pub positions: Vec<[usize; 2]>,
}

/// Sums over rows, per group.
#[derive(Debug)]
pub struct RowSums {
    /// `[G, f]`.
    pub x: Vec<f64>,
    /// `[G, q]`.
    pub t: Vec<f64>,
    /// `[G, f, f]`.
    pub xx: Vec<f64>,
    /// `[G, q, f]`.
    pub tx: Vec<f64>,
    /// `[G, q]`: squares.
    pub tt: Vec<f64>,
}

impl Rows {
    /// Rows of the layer `op` at what is `taken`, one after the other; `targets` are `[rows, G·q]`.
    pub fn new(op: &Op, taken: &[Taken<'_>], targets: &[f32]) -> Result<Self> {
        let (window, groups) = match op {
            Op::Conv(conv) => (conv.window, conv.groups),
            _ => (Window::new([1, 1]), 1),
        };
        let rows = || {
            let parts = taken.iter().map(|part| patches(part, &window)).collect::<CandleResult<Vec<_>>>()?;
            let x = grouped(&Tensor::cat(&parts, 0)?, groups)?;
            let t = Tensor::from_slice(targets, (x.dim(1)?, targets.len() / x.dim(1)?.max(1)), x.device())?;
            Ok(Self { t: grouped(&t, groups)?, x })
        };
        rows().map_err(failed)
    }

    /// All sums.
    pub fn sums(&self) -> Result<RowSums> {
        let sums = || {
            let host = |t: Tensor| t.flatten_all()?.to_vec1::<f64>();
            let turned = self.x.transpose(1, 2)?.contiguous()?;
            Ok(RowSums {
                x: host(self.x.sum(1)?)?,
                t: host(self.t.sum(1)?)?,
                xx: host(turned.matmul(&self.x)?)?,
                tx: host(self.t.transpose(1, 2)?.contiguous()?.matmul(&self.x)?)?,
                tt: host(self.t.sqr()?.sum(1)?)?,
            })
        };
        sums().map_err(failed)
    }

    /// Σ t·x and Σ t (`[G, q, f]` and `[G, q]`) of targets that stop where a ReLU hides the difference: where
    /// y = scale·t + shift + `other` is not positive, t becomes the present fit's value, or the corner if that is above.
    /// `weight` is `[G·q, f]`; `bias`, `scale` and `shift` are `[G·q]`; `other` is `[rows, G·q]`, or empty.
    pub fn retargeted(&self, [weight, bias, scale, shift]: [&[f32]; 4], other: &[f32]) -> Result<(Vec<f64>, Vec<f64>)> {
        let sums = || {
            let (g, rows, q) = self.t.dims3()?;
            let device = self.t.device();
            let wide = |values: &[f32], shape: (usize, usize, usize)| {
                Tensor::from_slice(values, shape, device)?.to_dtype(DType::F64)
            };
            let filters = wide(weight, (g, q, self.x.dim(2)?))?;
            let fit = self.x.matmul(&filters.transpose(1, 2)?.contiguous()?)?.broadcast_add(&wide(bias, (g, 1, q))?)?;
            // A scale of 0 hides nothing: its targets stay, and dividing by 1 keeps the corner finite.
            let divisors: Vec<f32> = scale.iter().map(|&s| if s == 0.0 { 1.0 } else { s }).collect();
            let counts: Vec<f32> = scale.iter().map(|&s| f32::from(u8::from(s != 0.0))).collect();
            let scale = wide(scale, (g, 1, q))?;
            let mut shift = wide(shift, (g, 1, q))?.broadcast_as((g, rows, q))?.contiguous()?;
            if !other.is_empty() {
                shift = (shift + grouped(&Tensor::from_slice(other, (rows, g * q), device)?, g)?)?;
            }
            let hidden = |values: &Tensor| values.broadcast_mul(&scale)?.add(&shift)?.le(0f64);
            let counts = wide(&counts, (g, 1, q))?.broadcast_as((g, rows, q))?.contiguous()?.gt(0f64)?;
            let corner = shift.neg()?.broadcast_div(&wide(&divisors, (g, 1, q))?)?;
            let instead = hidden(&fit)?.where_cond(&fit, &corner)?;
            let t = (hidden(&self.t)? * counts)?.where_cond(&instead, &self.t)?;
            let cross = t.transpose(1, 2)?.contiguous()?.matmul(&self.x)?;
            Ok((cross.flatten_all()?.to_vec1()?, t.sum(1)?.flatten_all()?.to_vec1()?))
        };
        sums().map_err(failed)
    }
}

/// `[rows, C·taps]` in f32: what the window reads at the positions taken, in the order of a filter's weights.
fn patches(part: &Taken<'_>, window: &Window) -> CandleResult<Tensor> {
    let all = &part.input.0;
    let samples = Tensor::from_slice(&part.samples, part.samples.len(), all.device())?;
    let x = pad(&all.contiguous()?.index_select(&samples, 0)?, window.pad, 0.0)?;
    let (n, c, _, width) = x.dims4()?;
    let planes = x.flatten_from(2)?.contiguous()?;
    let [kh, kw] = window.kernel;
    let mut taps = Vec::with_capacity(kh * kw);
    for ky in 0..kh {
        for kx in 0..kw {
            let source = |&[oy, ox]: &[usize; 2]| {
                let y = oy * window.stride[0] + ky * window.dilation[0];
                (y * width + ox * window.stride[1] + kx * window.dilation[1]) as u32
            };
            taps.push(taken(&planes, &part.positions.iter().map(source).collect::<Vec<u32>>())?);
        }
    }
    let k = part.positions.len() / n.max(1);
    // [N, C, K, taps] to [N, K, C, taps].
    Tensor::stack(&taps, 3)?.transpose(1, 2)?.contiguous()?.reshape((n * k, c * kh * kw))
}

/// `[rows, G·c]` as `[G, rows, c]` in f64.
fn grouped(x: &Tensor, groups: usize) -> CandleResult<Tensor> {
    let (rows, columns) = x.dims2()?;
    x.to_dtype(DType::F64)?.reshape((rows, groups, columns / groups))?.transpose(0, 1)?.contiguous()
}
