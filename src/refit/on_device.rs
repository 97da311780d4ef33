//! The sums of a batch of rows on a device.
//!
//! Rows are the same as on the host, in the same order; products and sums are f64 and are added to the host's sums.

use crate::device::{self, Taken, Values};
use crate::diag::Result;
use crate::ir::op::Op;
use crate::refit::moments::Sums;
use crate::refit::patches::{Layer, Rows};
use crate::refit::targets::Target;

/// One batch of rows.
pub(super) struct Part<'a> {
    pub(super) op: &'a Op,
    pub(super) layer: &'a Layer,
    pub(super) rows: &'a Rows<'a>,
    /// The layer's input, one entry per unit.
    pub(super) x: &'a [Values],
    pub(super) target: &'a Target,
    /// Unit, sample and position of every row; all positions of a sample follow each other.
    pub(super) places: &'a [(usize, usize, usize)],
}

impl Part<'_> {
    /// Adds what the rows come to, to the sums of each group.
    pub(super) fn add_to(&self, sums: &mut [Sums]) -> Result<()> {
        let found = self.rows()?.sums()?;
        let (f, q) = (sums[0].f, sums[0].q);
        for (g, sums) in sums.iter_mut().enumerate() {
            add(&mut sums.x, &found.x[g * f..]);
            add(&mut sums.t, &found.t[g * q..]);
            add(&mut sums.xx, &found.xx[g * f * f..]);
            add(&mut sums.tx, &found.tx[g * q * f..]);
            add(&mut sums.tt, &found.tt[g * q..]);
            sums.n += self.places.len() as f64;
        }
        Ok(())
    }

    /// Adds the sums with targets that stop at the ReLU: see [`device::Rows::retargeted`].
    pub(super) fn retarget(&self, parameters: [&[f32]; 4], sums: &mut [Sums]) -> Result<()> {
        let other = if self.target.add.iter().any(|unit| !unit.is_empty()) {
            self.of_rows(&self.target.add)
        } else {
            Vec::new()
        };
        let (cross, totals) = self.rows()?.retargeted(parameters, &other)?;
        let (f, q) = (sums[0].f, sums[0].q);
        for (g, sums) in sums.iter_mut().enumerate() {
            add(&mut sums.tx, &cross[g * q * f..]);
            add(&mut sums.t, &totals[g * q..]);
        }
        Ok(())
    }

    fn rows(&self) -> Result<device::Rows> {
        let run = |run: &[(usize, usize, usize)]| {
            let (unit, positions) = (run[0].0, self.layer.positions);
            let samples: Vec<u32> = run.iter().step_by(positions).map(|&(_, s, _)| s as u32).collect();
            let at = |&(u, s, k): &(usize, usize, usize)| self.layer.position(&self.rows.units[u], s, k);
            Taken { input: &self.x[unit], samples, positions: run.iter().map(at).collect() }
        };
        let taken: Vec<Taken<'_>> = self.places.chunk_by(|a, b| a.0 == b.0).map(run).collect();
        device::Rows::new(self.op, &taken, &self.of_rows(&self.target.own))
    }

    /// `[rows, outputs]` of values by `[unit][sample][position][output]`.
    fn of_rows(&self, values: &[Vec<f32>]) -> Vec<f32> {
        let positions = self.layer.positions;
        let width = |u: usize| values[u].len() / (self.rows.units[u].range.len() * positions).max(1);
        let row = |&(u, s, k): &(usize, usize, usize)| values[u][(s * positions + k) * width(u)..][..width(u)].to_vec();
        self.places.iter().flat_map(row).collect()
    }
}

fn add(sums: &mut [f64], parts: &[f64]) {
    sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
}
