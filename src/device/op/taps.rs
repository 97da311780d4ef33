//! What each tap of a sliding window reads, as index lists on the device.

use candle_core::{DType, Device, Result, Tensor};

use crate::device::op::elementwise;
use crate::ir::Shape;
use crate::ir::op::Window;

/// A window over an input of fixed size.
#[derive(Debug)]
pub(in crate::device) struct Taps {
    /// `[top, left, bottom, right]`.
    pad: [usize; 4],
    /// `[height, width]` of the input with its padding.
    padded: [usize; 2],
    /// For every vertical tap, the padded row that each output row reads.
    rows: Vec<Tensor>,
    /// For every horizontal tap, the padded column that each output column reads.
    columns: Vec<Tensor>,
}

impl Taps {
    pub(in crate::device) fn new(window: &Window, input: Shape, out: Shape, device: &Device) -> Result<Self> {
        let sources = |axis: usize, outputs: usize| {
            let of_tap = |k: usize| {
                let source = |o: usize| (o * window.stride[axis] + k * window.dilation[axis]) as u32;
                Tensor::from_vec((0..outputs).map(source).collect::<Vec<u32>>(), outputs, device)
            };
            (0..window.kernel[axis]).map(of_tap).collect::<Result<Vec<_>>>()
        };
        let [top, left, bottom, right] = window.pad;
        Ok(Self {
            pad: window.pad,
            padded: [input.h + top + bottom, input.w + left + right],
            rows: sources(0, out.h)?,
            columns: sources(1, out.w)?,
        })
    }

    /// Calls `f` with what each tap reads, `[N, C, Ho, Wo]`, in row-major order of the taps; `value` is beyond the edge.
    pub(super) fn each(&self, x: &Tensor, value: f32, mut f: impl FnMut(usize, Tensor) -> Result<()>) -> Result<()> {
        let x = elementwise::pad(x, self.pad, value)?;
        for (ky, rows) in self.rows.iter().enumerate() {
            let line = x.index_select(rows, 2)?;
            for (kx, columns) in self.columns.iter().enumerate() {
                f(ky * self.columns.len() + kx, line.index_select(columns, 3)?)?;
            }
        }
        Ok(())
    }

    /// `[N, C·taps]`: the sum of each channel over the positions that each tap reads.
    pub(in crate::device) fn sums(&self, x: &Tensor) -> Result<Tensor> {
        let mut sums = Vec::new();
        self.each(x, 0.0, |_, values| {
            sums.push(values.sum((2, 3))?);
            Ok(())
        })?;
        Tensor::stack(&sums, 2)?.flatten_from(1)
    }

    /// The transpose of [`Taps::each`]: what `f` gives for each tap, `[N, C, Ho, Wo]`, is added to where the tap reads.
    pub(super) fn spread(&self, f: impl Fn(usize) -> Result<Tensor>) -> Result<Tensor> {
        let mut sum: Option<Tensor> = None;
        for (ky, rows) in self.rows.iter().enumerate() {
            let mut line: Option<Tensor> = None;
            for (kx, columns) in self.columns.iter().enumerate() {
                let part = f(ky * self.columns.len() + kx)?.contiguous()?;
                let (n, c, h, _) = part.dims4()?;
                let target = match line {
                    Some(line) => line,
                    None => Tensor::zeros((n, c, h, self.padded[1]), DType::F32, part.device())?,
                };
                line = Some(target.index_add(columns, &part, 3)?);
            }
            let Some(line) = line else { continue };
            let (n, c, _, w) = line.dims4()?;
            let target = match sum {
                Some(sum) => sum,
                None => Tensor::zeros((n, c, self.padded[0], w), DType::F32, line.device())?,
            };
            sum = Some(target.index_add(rows, &line, 2)?);
        }
        match sum {
            Some(sum) => elementwise::crop(&sum, self.pad),
            None => candle_core::bail!("a window has no taps"),
        }
    }
}
