//! Sums that the least squares need, per cross-validation fold.

use std::ops::Range;

use rayon::prelude::*;

use crate::diag::Result;
use crate::exec::{Batch, CHUNK, Matrix, matmul};
use crate::ir::op::Op;
use crate::refit::on_device;
use crate::refit::patches::{FOLDS, Layer, Rows};
use crate::refit::stream::Tensors;
use crate::refit::targets::Target;

/// Columns of one matrix product: fixed, so that sums do not depend on the thread count.
const TILE: usize = 128;
/// Most bytes of patches in memory at once.
const PATCH_BYTES: usize = 64 << 20;

/// Uncentred sums over rows of inputs x (`f` columns) and targets t (`q` columns).
#[derive(Debug, Clone)]
pub(super) struct Sums {
    pub(super) f: usize,
    pub(super) q: usize,
    pub(super) n: f64,
    /// `[f]`.
    pub(super) x: Vec<f64>,
    /// `[q]`.
    pub(super) t: Vec<f64>,
    /// `[f, f]`.
    pub(super) xx: Vec<f64>,
    /// `[q, f]`.
    pub(super) tx: Vec<f64>,
    /// `[q]`: squares.
    pub(super) tt: Vec<f64>,
}

impl Sums {
    pub(super) fn zeros(f: usize, q: usize) -> Self {
        Self {
            f,
            q,
            n: 0.0,
            x: vec![0.0; f],
            t: vec![0.0; q],
            xx: vec![0.0; f * f],
            tx: vec![0.0; q * f],
            tt: vec![0.0; q],
        }
    }

    /// Adds `other`, `sign` times.
    pub(super) fn add(&mut self, other: &Self, sign: f64) {
        self.n += sign * other.n;
        let pairs = [
            (&mut self.x, &other.x),
            (&mut self.t, &other.t),
            (&mut self.xx, &other.xx),
            (&mut self.tx, &other.tx),
            (&mut self.tt, &other.tt),
        ];
        for (a, b) in pairs {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += sign * b);
        }
    }

    /// The sums of some targets and some inputs.
    pub(super) fn select(&self, targets: &[usize], inputs: &[usize]) -> Self {
        let vector = |values: &[f64], at: &[usize]| at.iter().map(|&i| values[i]).collect();
        let matrix = |values: &[f64], rows: &[usize]| {
            rows.iter().flat_map(|&r| inputs.iter().map(move |&c| values[r * self.f + c])).collect()
        };
        Self {
            f: inputs.len(),
            q: targets.len(),
            n: self.n,
            x: vector(&self.x, inputs),
            t: vector(&self.t, targets),
            xx: matrix(&self.xx, inputs),
            tx: matrix(&self.tx, targets),
            tt: vector(&self.tt, targets),
        }
    }

    /// The same sums of x − `mean_x` and t − `mean_t`.
    pub(super) fn about(&self, mean_x: &[f64], mean_t: &[f64]) -> Self {
        let mut sums = self.clone();
        let Self { f, n, .. } = *self;
        for i in 0..f {
            for j in 0..f {
                sums.xx[i * f + j] += n * mean_x[i] * mean_x[j] - self.x[i] * mean_x[j] - mean_x[i] * self.x[j];
            }
            sums.x[i] -= n * mean_x[i];
        }
        for (o, &mean_t) in mean_t.iter().enumerate() {
            for (i, &mean_x) in mean_x.iter().enumerate() {
                sums.tx[o * f + i] += n * mean_t * mean_x - self.t[o] * mean_x - mean_t * self.x[i];
            }
            sums.tt[o] += n * mean_t * mean_t - 2.0 * mean_t * self.t[o];
            sums.t[o] -= n * mean_t;
        }
        sums
    }
}

/// Sums of one layer.
pub(super) struct Moments {
    /// `[fold][group]`.
    pub(super) folds: Vec<Vec<Sums>>,
}

impl Moments {
    /// Sums over all rows.
    pub(super) fn new(problem: &Problem<'_>) -> Result<Self> {
        let Problem { op, layer, rows, x, target } = *problem;
        let (groups, f, q) = match op {
            Op::Conv(conv) => (conv.groups, conv.fan_in(), conv.out_channels / conv.groups),
            Op::Dense(dense) => (1, dense.in_features, dense.out_features),
            _ => (0, 0, 0),
        };
        let mut folds = vec![vec![Sums::zeros(f, q); groups]; FOLDS];
        let step = units_at_once(layer, groups, f, q);
        for start in (0..rows.units.len()).step_by(step) {
            let units = start..rows.units.len().min(start + step);
            for (fold, sums) in folds.iter_mut().enumerate() {
                let part = rows.of_fold(units.clone(), fold);
                if part.is_empty() {
                    continue;
                }
                match x {
                    Tensors::Host(x) => Part { op, layer, rows, x, target, places: &part }.add_to(sums)?,
                    Tensors::Device(x) => on_device::Part { op, layer, rows, x, target, places: &part }.add_to(sums)?,
                }
            }
        }
        Ok(Self { folds })
    }
}

/// Sums over all folds, with targets that stop where a ReLU hides the difference.
///
/// `sums` are those of all folds; `weight` and `bias` the present fit. Where the ReLU after the layer (reached
/// by y = scale·x + shift, plus the other operand of a residual add) gives zero for the target, the target becomes the present fit's own value, or the
/// ReLU's corner if that is above it. Fitting again can only lower the error behind the ReLU.
pub(super) fn retarget(
    problem: &Problem<'_>,
    (scale, shift): (&[f32], &[f32]),
    sums: &mut [Sums],
    weight: &[f32],
    bias: &[f32],
) -> Result<()> {
    for sums in sums.iter_mut() {
        sums.t.fill(0.0);
        sums.tx.fill(0.0);
    }
    let Problem { op, layer, rows, x, target } = *problem;
    let (f, q) = (sums[0].f, sums[0].q);
    let step = units_at_once(layer, sums.len(), f, q);
    for start in (0..rows.units.len()).step_by(step) {
        let units = start..rows.units.len().min(start + step);
        let rows_here: Vec<(usize, usize, usize)> =
            (0..FOLDS).flat_map(|fold| rows.of_fold(units.clone(), fold)).collect();
        let x = match x {
            Tensors::Host(x) => x,
            Tensors::Device(x) => {
                let part = on_device::Part { op, layer, rows, x, target, places: &rows_here };
                part.retarget([weight, bias, scale, shift], sums)?;
                continue;
            }
        };
        let part = Part { op, layer, rows, x, target, places: &rows_here };
        let outputs = q * sums.len();
        let results: Vec<Result<(Vec<f64>, Vec<f64>)>> = (0..sums.len())
            .into_par_iter()
            .map(|g| {
                let columns = Matrix::new(rows.gather(op, x, &rows_here, g * f..(g + 1) * f), rows_here.len(), f)?;
                let filters = weight[g * q * f..(g + 1) * q * f].iter().map(|&w| f64::from(w)).collect();
                let fit = matmul(&columns, &Matrix::new(filters, q, f)?.t())?.into_vec();
                let mut values = part.targets(outputs, g * q..(g + 1) * q);
                let mut totals = vec![0.0; q];
                for ((row, fit), at) in values.chunks_exact_mut(q).zip(fit.chunks_exact(q)).zip(&rows_here) {
                    for o in 0..q {
                        let c = g * q + o;
                        let (a, b) = (f64::from(scale[c]), f64::from(shift[c]) + part.other(at, outputs, c));
                        let fit = fit[o] + f64::from(bias[c]);
                        if a != 0.0 && a * row[o] + b <= 0.0 {
                            row[o] = if a * fit + b <= 0.0 { fit } else { -b / a };
                        }
                        totals[o] += row[o];
                    }
                }
                let cross = matmul(&Matrix::new(values, rows_here.len(), q)?.t(), &columns)?.into_vec();
                Ok((cross, totals))
            })
            .collect();
        for (sums, result) in sums.iter_mut().zip(results) {
            let (cross, totals) = result?;
            sums.tx.iter_mut().zip(cross).for_each(|(a, b)| *a += b);
            sums.t.iter_mut().zip(totals).for_each(|(a, b)| *a += b);
        }
    }
    Ok(())
}

/// One layer's least-squares problem.
#[derive(Clone, Copy)]
pub(super) struct Problem<'a> {
    pub(super) op: &'a Op,
    pub(super) layer: &'a Layer,
    pub(super) rows: &'a Rows<'a>,
    /// The layer's input, one entry per unit.
    pub(super) x: &'a Tensors,
    pub(super) target: &'a Target,
}

/// Units whose patches fit into memory at once.
fn units_at_once(layer: &Layer, groups: usize, f: usize, q: usize) -> usize {
    let per_unit = CHUNK * layer.positions * groups * (f + q) * size_of::<f64>();
    (PATCH_BYTES / per_unit.max(1)).max(1)
}

/// One batch of rows.
pub(super) struct Part<'a> {
    pub(super) op: &'a Op,
    pub(super) layer: &'a Layer,
    pub(super) rows: &'a Rows<'a>,
    pub(super) x: &'a [Batch<f32>],
    pub(super) target: &'a Target,
    /// Unit, sample and position of every row.
    pub(super) places: &'a [(usize, usize, usize)],
}

impl Part<'_> {
    /// Adds the rows to the sums of every group.
    pub(super) fn add_to(&self, sums: &mut [Sums]) -> Result<()> {
        let n = self.places.len();
        let (f, q) = (sums[0].f, sums[0].q);
        let outputs = q * sums.len();
        let tiles: Vec<(usize, Range<usize>)> =
            (0..sums.len()).flat_map(|g| (0..f).step_by(TILE).map(move |at| (g, at..f.min(at + TILE)))).collect();
        let columns: Vec<Result<Matrix<f64>>> = tiles
            .par_iter()
            .map(|(g, tile)| {
                let columns = g * f + tile.start..g * f + tile.end;
                Matrix::new(self.rows.gather(self.op, self.x, self.places, columns), n, tile.len())
            })
            .collect();
        let columns: Vec<Matrix<f64>> = columns.into_iter().collect::<Result<_>>()?;
        let targets: Vec<Result<Matrix<f64>>> = (0..sums.len())
            .into_par_iter()
            .map(|g| Matrix::new(self.targets(outputs, g * q..(g + 1) * q), n, q))
            .collect();
        let targets: Vec<Matrix<f64>> = targets.into_iter().collect::<Result<_>>()?;
        let pairs: Vec<(usize, usize)> = (0..tiles.len())
            .flat_map(|a| (a..tiles.len()).map(move |b| (a, b)))
            .filter(|&(a, b)| tiles[a].0 == tiles[b].0)
            .collect();
        let products: Vec<Result<Vec<f64>>> =
            pairs.par_iter().map(|&(a, b)| Ok(matmul(&columns[a].t(), &columns[b])?.into_vec())).collect();
        for (&(a, b), product) in pairs.iter().zip(products) {
            let ((g, rows), (_, cols)) = (&tiles[a], &tiles[b]);
            let xx = &mut sums[*g].xx;
            for (i, line) in rows.clone().zip(product?.chunks_exact(cols.len())) {
                for (j, value) in cols.clone().zip(line) {
                    xx[i * f + j] += value;
                    if a != b {
                        xx[j * f + i] += value;
                    }
                }
            }
        }
        let crosses: Vec<Result<(Vec<f64>, Vec<f64>)>> = (0..tiles.len())
            .into_par_iter()
            .map(|a| {
                let cross = matmul(&targets[tiles[a].0].t(), &columns[a])?.into_vec();
                Ok((cross, columns[a].read(|x| column_sums(x, tiles[a].1.len()).0)))
            })
            .collect();
        for ((g, tile), cross) in tiles.iter().zip(crosses) {
            let (cross, totals) = cross?;
            for (o, line) in cross.chunks_exact(tile.len()).enumerate() {
                tile.clone().zip(line).for_each(|(i, value)| sums[*g].tx[o * f + i] += value);
            }
            tile.clone().zip(totals).for_each(|(i, total)| sums[*g].x[i] += total);
        }
        for (sums, target) in sums.iter_mut().zip(&targets) {
            let (totals, squares) = target.read(|t| column_sums(t, q));
            sums.t.iter_mut().zip(totals).for_each(|(a, b)| *a += b);
            sums.tt.iter_mut().zip(squares).for_each(|(a, b)| *a += b);
            sums.n += n as f64;
        }
        Ok(())
    }

    /// What a residual add puts on top of output `c` at a row; 0 without an add.
    fn other(&self, &(u, s, k): &(usize, usize, usize), outputs: usize, c: usize) -> f64 {
        let values = self.target.add.get(u);
        let at = (s * self.layer.positions + k) * outputs + c;
        values.and_then(|values| values.get(at)).map_or(0.0, |&v| f64::from(v))
    }

    /// Columns `range` of the targets.
    fn targets(&self, outputs: usize, range: Range<usize>) -> Vec<f64> {
        let mut out = Vec::with_capacity(self.places.len() * range.len());
        for &(u, s, k) in self.places {
            let row = &self.target.own[u][(s * self.layer.positions + k) * outputs..][..outputs];
            out.extend(row[range.clone()].iter().map(|&v| f64::from(v)));
        }
        out
    }
}

/// Sums and sums of squares of the columns of a row-major matrix.
fn column_sums(values: &[f64], columns: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut totals, mut squares) = (vec![0.0; columns], vec![0.0; columns]);
    for row in values.chunks_exact(columns) {
        for (i, v) in row.iter().enumerate() {
            totals[i] += v;
            squares[i] += v * v;
        }
    }
    (totals, squares)
}
