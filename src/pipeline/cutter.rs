//! Networks of any widths, cut out of one source for one class set.

use std::ops::Range;

use crate::assemble::assemble;
use crate::diag::Result;
use crate::ir::Graph;
use crate::ir::groups::{Group, GroupKind};
use crate::library::Relevance;
use crate::pipeline::calibration::of_classes;
use crate::pipeline::{Source, score};
use crate::refit::{self, RefitOptions};
use crate::route;

/// Samples of a quick fit at most: enough to tell sizes apart.
const QUICK_SAMPLES: usize = 240;

/// How carefully to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// To compare sizes.
    Quick,
    /// To keep.
    Full,
}

/// Everything that stays the same from one size to the next.
pub(super) struct Cutter<'a> {
    pub(super) source: &'a Source,
    pub(super) classes: &'a [usize],
    pub(super) relevance: &'a Relevance,
    pub(super) refit: bool,
    pub(super) seed: u64,
    /// The source's log-probabilities of the wanted classes among themselves, per calibration sample; empty for
    /// samples of other classes.
    teacher: Vec<Vec<f64>>,
}

impl<'a> Cutter<'a> {
    /// Runs the source over the calibration samples of `classes`.
    pub(super) fn new(
        source: &'a Source,
        classes: &'a [usize],
        relevance: &'a Relevance,
        refit: bool,
        seed: u64,
    ) -> Result<Self> {
        let samples = source.calibration()?;
        let wanted = of_classes(samples, classes);
        let rows = score::scores(&source.graph, &source.case.input, samples, &wanted)?;
        let softmax = score::is_softmax(&source.graph);
        let mut teacher = vec![Vec::new(); samples.len()];
        for (i, row) in wanted.into_iter().zip(rows) {
            teacher[i] = score::log_probabilities(&row, classes, softmax);
        }
        Ok(Self { source, classes, relevance, refit, seed, teacher })
    }

    /// The source's log-probabilities of the wanted classes among themselves for a calibration sample of theirs.
    pub(super) fn teacher(&self, sample: usize) -> &[f64] {
        &self.teacher[sample]
    }

    /// Channels of every group at one ratio, rounded up.
    pub(super) fn uniform(&self, ratio: f64) -> Vec<usize> {
        let groups = self.source.groups.groups.iter();
        groups.map(|g| route::keep_count(g.channels, ratio)).collect()
    }

    /// The best channels of every group.
    pub(super) fn route(&self, widths: &[usize]) -> Result<route::Route> {
        let options = route::RouteOptions::default();
        route::by_widths(self.relevance, &self.source.groups, self.classes, widths, &options)
    }

    /// The small network, fitted (if refit is wanted) on the calibration samples `fit`.
    pub(super) fn fitted(&self, route: &route::Route, fit: &[usize], effort: Effort) -> Result<Graph> {
        let Self { source, classes, .. } = self;
        let assembled = assemble(&source.graph, &source.groups, route, classes)?;
        if !self.refit {
            return Ok(assembled.graph);
        }
        let quick = effort == Effort::Quick;
        let fit = if quick { thinned(fit, QUICK_SAMPLES) } else { fit.to_vec() };
        let all = source.calibration()?;
        let inputs = |range: Range<usize>| Ok(score::batch(&source.case.input, all, &fit[range]));
        let options = RefitOptions { seed: self.seed, quick, ..RefitOptions::default() };
        Ok(refit::refit(&source.graph, &assembled, fit.len(), &inputs, &options)?.graph)
    }

    /// The first channels of every group, whatever their scores: for what depends on widths alone.
    pub(super) fn sliced(&self, widths: &[usize]) -> Result<Graph> {
        let groups = &self.source.groups;
        let mask = |(group, &width): (&Group, &usize)| match group.kind {
            GroupKind::Hidden => (0..group.channels).map(|c| c < width).collect(),
            GroupKind::Input | GroupKind::Head => vec![true; group.channels],
        };
        let masks = groups.groups.iter().zip(widths).map(mask).collect();
        let route = route::Route::from_masks(groups, masks)?;
        Ok(assemble(&self.source.graph, groups, &route, self.classes)?.graph)
    }

    /// Share of all cuttable channels that `widths` keep.
    pub(super) fn share(&self, widths: &[usize]) -> f64 {
        let hidden = || self.source.groups.groups.iter().zip(widths).filter(|(g, _)| g.kind == GroupKind::Hidden);
        let kept: usize = hidden().map(|(_, w)| w).sum();
        let all: usize = hidden().map(|(g, _)| g.channels).sum();
        kept as f64 / all.max(1) as f64
    }
}

/// At most `most` of `all`, evenly spread.
pub(super) fn thinned(all: &[usize], most: usize) -> Vec<usize> {
    let n = all.len().min(most);
    (0..n).map(|i| all[i * all.len() / n]).collect()
}
