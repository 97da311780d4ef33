//! Distribution of a tensor's values, and the range that costs least to store in 8 bits.

use crate::qir::Quant;

/// Bins of a histogram: fine enough that bin edges serve as clip points.
const BINS: usize = 2048;

/// Every how many bins a clip point is tried.
const STRIDE: usize = 8;

/// Smallest scale: below it, arithmetic with `f32` scales would leave the normal numbers.
const MIN_SCALE: f64 = 1e-30;

/// Smallest and largest value, 0 included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Extent {
    /// At most 0.
    pub lo: f32,
    /// At least 0.
    pub hi: f32,
}

impl Extent {
    /// Only 0.
    pub const ZERO: Self = Self { lo: 0.0, hi: 0.0 };

    /// The extent of `values`; `None` where one is not finite.
    pub fn of(values: &[f32]) -> Option<Self> {
        let mut extent = Self::ZERO;
        let mut finite = true;
        for &v in values {
            finite &= v.is_finite();
            extent.lo = extent.lo.min(v);
            extent.hi = extent.hi.max(v);
        }
        finite.then_some(extent)
    }

    /// Both together.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self { lo: self.lo.min(other.lo), hi: self.hi.max(other.hi) }
    }

    fn width(self) -> f64 {
        f64::from(self.hi) - f64::from(self.lo)
    }
}

/// Counts of values in equal bins over an extent. Exact zeros are left out: every range stores them exactly.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Histogram {
    extent: Extent,
    counts: Vec<u64>,
}

impl Histogram {
    /// No values yet.
    pub fn new(extent: Extent) -> Self {
        Self { extent, counts: vec![0; BINS] }
    }

    /// Counts `values`, which lie inside the extent.
    pub fn add(&mut self, values: &[f32]) {
        let width = self.extent.width();
        if width <= 0.0 {
            return;
        }
        let (lo, factor) = (f64::from(self.extent.lo), BINS as f64 / width);
        for &v in values {
            if v != 0.0 {
                let bin = ((f64::from(v) - lo) * factor) as usize;
                self.counts[bin.min(BINS - 1)] += 1;
            }
        }
    }

    /// Adds another histogram of the same extent.
    pub fn merge(&mut self, other: &Self) {
        for (a, b) in self.counts.iter_mut().zip(&other.counts) {
            *a += b;
        }
    }

    /// Scale and zero point of the range with the least mean squared error: a uniform rounding error of
    /// `step² / 12` inside it, the distance to it outside. The range holds 0 and lies within the extent.
    pub fn best_quant(&self) -> Quant {
        let width = self.extent.width();
        let total: u64 = self.counts.iter().sum();
        if width <= 0.0 || total == 0 {
            return quant(f64::from(self.extent.lo), f64::from(self.extent.hi));
        }
        let (lo, step) = (f64::from(self.extent.lo), width / BINS as f64);
        let edge = |i: usize| lo + step * i as f64;
        let below = self.clip_costs(|i| edge(i) + step / 2.0);
        let zero_bin = ((-lo / step).round() as usize).min(BINS);
        let mut best = (f64::INFINITY, 0, BINS);
        for first in (0..=zero_bin).step_by(STRIDE) {
            for last in (zero_bin..=BINS).rev().step_by(STRIDE) {
                let (from, to) = (edge(first), edge(last));
                if to <= from {
                    continue;
                }
                let inside = (below.count(BINS) - below.count(first)) - (below.count(BINS) - below.count(last));
                let rounding = ((to - from) / 255.0).powi(2) / 12.0;
                let cost = inside * rounding + below.cost(0, first, from) + below.cost(last, BINS, to);
                if cost < best.0 {
                    best = (cost, first, last);
                }
            }
        }
        quant(edge(best.1).min(0.0), edge(best.2).max(0.0))
    }

    fn clip_costs(&self, centre: impl Fn(usize) -> f64) -> Moments {
        let mut moments = Moments { sums: Vec::with_capacity(BINS + 1) };
        let mut sum = [0.0; 3];
        moments.sums.push(sum);
        for (i, &count) in self.counts.iter().enumerate() {
            let (n, x) = (count as f64, centre(i));
            sum = [sum[0] + n, sum[1] + n * x, sum[2] + n * x * x];
            moments.sums.push(sum);
        }
        moments
    }
}

/// Running sums of 1, x and x² over the bins.
struct Moments {
    sums: Vec<[f64; 3]>,
}

impl Moments {
    /// Values in the bins before `bin`.
    fn count(&self, bin: usize) -> f64 {
        self.sums[bin][0]
    }

    /// `Σ (x − to)²` over the bins `first..last`.
    fn cost(&self, first: usize, last: usize, to: f64) -> f64 {
        let [n, x, xx] = [0, 1, 2].map(|k| self.sums[last][k] - self.sums[first][k]);
        (xx - 2.0 * to * x + to * to * n).max(0.0)
    }
}

/// Scale and zero point of a range `lo ≤ 0 ≤ hi`; the zero point is an integer within `−128..=127`.
pub(super) fn quant(lo: f64, hi: f64) -> Quant {
    let width = if hi > lo { hi - lo } else { 1.0 };
    let scale = (width / 255.0).max(MIN_SCALE) as f32;
    let zero_point = (-128.0 - lo / f64::from(scale)).round().clamp(-128.0, 127.0);
    Quant { scale, zero_point: zero_point as i32 }
}

/// The range of the whole extent.
pub(super) fn full_quant(extent: Extent) -> Quant {
    quant(f64::from(extent.lo), f64::from(extent.hi))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: &[f32]) -> Histogram {
        let mut histogram = Histogram::new(Extent::of(values).expect("finite"));
        histogram.add(values);
        histogram
    }

    #[test]
    fn zero_is_stored_exactly_and_relu_starts_at_minus_128() {
        let relu = histogram(&[0.0, 0.0, 1.5, 3.0]).best_quant();
        assert_eq!(relu.zero_point, -128);
        let both = quant(-1.0, 3.0);
        assert_eq!(both.zero_point, -64);
        assert_eq!(quant(0.0, 0.0), quant(0.0, 1.0));
        assert_eq!(quant(-2.0, 0.0).zero_point, 127);
    }

    #[test]
    fn a_lone_outlier_is_clipped_and_an_even_spread_is_not() {
        let even: Vec<f32> = (0..40_000).map(|i| ((i % 2001) as f32 - 1000.0) / 1000.0).collect();
        let best = histogram(&even).best_quant();
        assert!((f64::from(best.scale) * 255.0 - 2.0).abs() < 0.02, "{best:?}");
        let mut with_outlier = Histogram::new(Extent { lo: -1.0, hi: 3.0 });
        for _ in 0..100 {
            with_outlier.add(&even);
        }
        with_outlier.add(&[3.0]);
        let clipped = with_outlier.best_quant();
        assert!((f64::from(clipped.scale) * 255.0 - 2.0).abs() < 0.1, "{clipped:?}");
    }

    #[test]
    fn values_that_are_not_finite_have_no_extent() {
        assert_eq!(Extent::of(&[0.0, f32::NAN]), None);
        assert_eq!(Extent::of(&[f32::INFINITY]), None);
    }
}
