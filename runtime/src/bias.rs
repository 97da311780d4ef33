//! Start of the accumulators.

use core::ops::Range;

/// Biases: accumulators start here. They hold the layer's bias and `−zero_point · Σ weights`.
#[derive(Debug, Clone, Copy)]
pub enum Bias<'a> {
    /// One per output channel.
    Channel(&'a [i32]),
    /// One per border class and output channel, where padding is not an integer in the input's terms.
    Border {
        /// Class of each output row.
        rows: &'a [u8],
        /// Class of each output column.
        cols: &'a [u8],
        /// Number of column classes.
        col_classes: usize,
        /// `[row class][column class][output channel]`.
        table: &'a [i32],
    },
}

impl<'a> Bias<'a> {
    /// The biases of all `channels` at output position `(y, x)`; empty where a table is too short.
    #[inline(always)]
    pub fn at(&self, y: usize, x: usize, channels: usize) -> &'a [i32] {
        match *self {
            Bias::Channel(bias) => bias,
            Bias::Border {
                rows,
                cols,
                col_classes,
                table,
            } => {
                let row = rows.get(y).map_or(0, |&class| usize::from(class));
                let col = cols.get(x).map_or(0, |&class| usize::from(class));
                let start = row
                    .wrapping_mul(col_classes)
                    .wrapping_add(col)
                    .wrapping_mul(channels);
                table
                    .get(start..start.wrapping_add(channels))
                    .unwrap_or(&[])
            }
        }
    }

    /// The biases of the output rows `band` alone; empty where a table is too short.
    #[must_use]
    #[inline(always)]
    pub fn band(&self, band: &Range<usize>) -> Self {
        match *self {
            Bias::Channel(bias) => Bias::Channel(bias),
            Bias::Border {
                rows,
                cols,
                col_classes,
                table,
            } => Bias::Border {
                rows: rows.get(band.start..band.end).unwrap_or(&[]),
                cols,
                col_classes,
                table,
            },
        }
    }

    /// How many positions from column `x` of a row on, `most` at most and one at least, start from the same biases.
    #[inline(always)]
    pub fn alike(&self, x: usize, most: usize) -> usize {
        match *self {
            Bias::Channel(_) => most,
            Bias::Border { cols, .. } => {
                let first = cols.get(x);
                let mut count = 1_usize;
                while count < most && first.is_some() && cols.get(x.wrapping_add(count)) == first {
                    count = count.wrapping_add(1);
                }
                count
            }
        }
    }
}
