//! The geometry of a sweep along one axis: where lines lie in a strip, and which results read which of them.

use std::ops::Range;

use crate::ir::op::Window;

/// What one axis of the planes looks like as strips.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    /// Lines of the planes that are read.
    pub size: usize,
    /// A strip holds every `step`-th of them.
    pub step: usize,
    /// Lines of zeros before the first.
    pub lead: usize,
    /// Furthest line that a tap reads beyond its result's.
    pub reach: usize,
    /// Most results.
    pub count: usize,
    /// Lines from one row, or one sample, to the next.
    pub pitch: usize,
}

/// Results that the same taps make, along one axis: lines `start`, `start + step`, … of the planes that are made.
#[derive(Debug)]
pub(super) struct Results {
    /// Which of the matrices.
    pub matrix: usize,
    pub start: usize,
    pub step: usize,
    pub count: usize,
    /// Remainder and first line in the strip of each tap.
    pub taps: Vec<(usize, usize)>,
}

/// Taps whose lines have this remainder, along one axis.
pub(in crate::exec) fn taps(window: &Window, axis: usize, remainder: usize) -> impl Iterator<Item = usize> + Clone {
    let (step, dilation) = (window.stride[axis], window.dilation[axis]);
    (0..window.kernel[axis]).filter(move |k| k * dilation % step == remainder)
}

impl Axis {
    /// From `size` lines to `out` of the result.
    pub fn forward(window: &Window, axis: usize, size: usize, out: usize) -> (Self, Vec<Results>) {
        let (step, dilation) = (window.stride[axis], window.dilation[axis]);
        let taps = (0..window.kernel[axis]).map(|k| (k * dilation % step, k * dilation / step)).collect();
        let results = vec![Results { matrix: 0, start: 0, step: 1, count: out, taps }];
        (Self::new(size, step, window.pad[axis], &results), results)
    }

    /// From the gradients of `out` lines to those of `size`: line u = step · t + remainder of the padded input takes the
    /// gradients t − k · dilation / step of the taps k with this remainder.
    pub fn backward(window: &Window, axis: usize, size: usize, out: usize) -> (Self, Vec<Results>) {
        let (step, dilation, pad) = (window.stride[axis], window.dilation[axis], window.pad[axis]);
        let first = |remainder: usize| pad.saturating_sub(remainder).div_ceil(step);
        let behind = |k: usize| k * dilation / step;
        let lead = (0..step)
            .flat_map(|r| taps(window, axis, r).map(move |k| behind(k).saturating_sub(first(r))))
            .max()
            .unwrap_or(0);
        let results: Vec<Results> = (0..step)
            .map(|remainder| {
                let first = first(remainder);
                let end = (pad + size).saturating_sub(remainder).div_ceil(step);
                let taps = taps(window, axis, remainder).map(|k| (0, lead + first - behind(k))).collect();
                let start = step * first + remainder - pad;
                Results { matrix: remainder, start, step, count: end.saturating_sub(first), taps }
            })
            .filter(|results| results.count > 0)
            .collect();
        (Self::new(out, 1, lead, &results), results)
    }

    fn new(size: usize, step: usize, lead: usize, results: &[Results]) -> Self {
        let reach = results.iter().flat_map(|r| r.taps.iter().map(|tap| tap.1)).max().unwrap_or(0);
        let count = results.iter().map(|r| r.count).max().unwrap_or(0);
        let pitch = if step == 1 {
            // The zeros behind a row serve as those before the next one.
            count.max(size + lead.max((count + reach).saturating_sub(lead + size)))
        } else {
            count + reach
        };
        Self { size, step, lead, reach, count, pitch }
    }

    /// Line of the plane that is line `at` of the strip with this remainder, if that is not zeros.
    pub fn source(&self, at: usize, remainder: usize) -> Option<usize> {
        (at * self.step + remainder).checked_sub(self.lead).filter(|&line| line < self.size)
    }

    /// Lines of that strip that are not zeros.
    pub fn inside(&self, remainder: usize) -> Range<usize> {
        let first = self.lead.saturating_sub(remainder).div_ceil(self.step);
        let end = (self.lead + self.size).saturating_sub(remainder).div_ceil(self.step).min(self.pitch);
        first..end.max(first)
    }

    /// Whether a strip is the plane itself.
    pub fn is_plain(&self) -> bool {
        self.step == 1 && self.lead == 0 && self.pitch == self.size
    }
}
