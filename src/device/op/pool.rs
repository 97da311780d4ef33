//! Pooling, by what each tap reads.

use candle_core::{DType, Device, Result, Tensor};

use crate::device::op::taps::Taps;
use crate::ir::Shape;
use crate::ir::op::AvgPool;

/// Largest value of each window, and which tap it came from (u32): the first largest in row-major order.
pub(super) fn max(taps: &Taps, x: &Tensor) -> Result<(Tensor, Tensor)> {
    let mut best: Option<(Tensor, Tensor)> = None;
    taps.each(x, f32::NEG_INFINITY, |k, values| {
        let number = Tensor::full(k as u32, values.shape(), values.device())?;
        best = Some(match best.take() {
            Some((most, place)) => {
                let better = values.gt(&most)?;
                (better.where_cond(&values, &most)?, better.where_cond(&number, &place)?)
            }
            None => (values, number),
        });
        Ok(())
    })?;
    match best {
        Some(best) => Ok(best),
        None => candle_core::bail!("a pool has no taps"),
    }
}

pub(super) fn max_backward(taps: &Taps, x: &Tensor, grad: &Tensor) -> Result<Tensor> {
    let (_, place) = max(taps, x)?;
    let zeros = grad.zeros_like()?;
    taps.spread(|k| place.eq(k as u32)?.where_cond(grad, &zeros))
}

/// `[1, 1, Ho, Wo]`: one over the positions that each window counts.
pub(super) fn shares(pool: &AvgPool, input: Shape, out: Shape, device: &Device) -> Result<Tensor> {
    let window = &pool.window;
    let inside = |axis: usize, o: usize, size: usize| {
        (0..window.kernel[axis]).filter(|&k| window.source(axis, o, k, size).is_some()).count()
    };
    let share = |oy: usize, ox: usize| {
        let all = window.kernel[0] * window.kernel[1];
        let counted = if pool.count_include_pad { all } else { inside(0, oy, input.h) * inside(1, ox, input.w) };
        1.0 / counted.max(1) as f32
    };
    let values: Vec<f32> = (0..out.h).flat_map(|oy| (0..out.w).map(move |ox| share(oy, ox))).collect();
    Tensor::from_vec(values, (1, 1, out.h, out.w), device)
}

pub(super) fn average(taps: &Taps, shares: &Tensor, x: &Tensor) -> Result<Tensor> {
    let (n, c) = (x.dim(0)?, x.dim(1)?);
    let mut sum = Tensor::zeros((n, c, shares.dim(2)?, shares.dim(3)?), DType::F32, x.device())?;
    taps.each(x, 0.0, |_, values| {
        sum = (&sum + values)?;
        Ok(())
    })?;
    sum.broadcast_mul(shares)
}

pub(super) fn global(x: &Tensor) -> Result<Tensor> {
    x.mean_keepdim((2, 3))
}

pub(super) fn global_backward(x: &Tensor, grad: &Tensor) -> Result<Tensor> {
    let plane = (x.dim(2)? * x.dim(3)?) as f64;
    (grad / plane)?.broadcast_as(x.shape())?.contiguous()
}
