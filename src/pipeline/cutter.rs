//! Networks of any widths, cut out of one source for one class set.

use std::ops::Range;

use crate::assemble::{Assembled, assemble, settle};
use crate::attribute;
use crate::data::Samples;
use crate::diag::Result;
use crate::ir::Graph;
use crate::ir::groups::{Group, GroupKind};
use crate::library::Relevance;
use crate::pipeline::calibration::of_classes;
use crate::pipeline::{Source, score, views};
use crate::refit::{self, Independent, RefitOptions, Views};
use crate::route;

/// Samples of a quick fit at most: enough to tell sizes apart.
const QUICK_SAMPLES: usize = 240;

/// Ratios that one-ratio networks are tried at, per unit: finer than a channel of any group of 64.
const RATIOS: usize = 128;

/// How carefully to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// To compare sizes: every layer on its own.
    Rough,
    /// Layer by layer, with few samples.
    Quick,
    /// To judge: layer by layer, with care.
    Full,
    /// To keep: then all layers together. Costs a few times as much, and as a rule loses less.
    Last,
}

/// Everything that stays the same from one size to the next.
pub(crate) struct Cutter<'a> {
    pub(crate) source: &'a Source,
    pub(crate) classes: &'a [usize],
    pub(crate) relevance: &'a Relevance,
    pub(crate) refit: bool,
    pub(crate) seed: u64,
    /// The source's log-probabilities of the wanted classes among themselves, per calibration sample; empty for
    /// samples of other classes.
    teacher: Vec<Vec<f64>>,
    /// Whether the network to keep is fitted with all layers together in the end.
    together: bool,
    /// How the fit of all layers together sees samples besides as they are.
    views: Views,
    /// How scores become a route.
    ranking: route::RouteOptions,
    /// Channels of every group in the order of what they stand for, if routes are made by that.
    order: Option<Vec<Vec<usize>>>,
    /// Samples that the network to keep is fitted to besides calibration samples.
    more: Option<Samples>,
}

impl<'a> Cutter<'a> {
    /// Runs the source over the calibration samples of `classes`.
    pub(crate) fn new(
        source: &'a Source,
        classes: &'a [usize],
        relevance: &'a Relevance,
        refit: bool,
        seed: u64,
    ) -> Result<Self> {
        let samples = source.calibration()?;
        let wanted = of_classes(samples, classes);
        let rows = score::scores(&source.graph, source, samples, &wanted)?;
        let softmax = score::is_softmax(&source.graph);
        let mut teacher = vec![Vec::new(); samples.len()];
        for (i, row) in wanted.into_iter().zip(rows) {
            teacher[i] = score::log_probabilities(&row, classes, softmax);
        }
        Ok(Self {
            source,
            classes,
            relevance,
            refit,
            seed,
            teacher,
            together: true,
            views: Views::default(),
            ranking: route::RouteOptions::default(),
            order: None,
            more: None,
        })
    }

    /// The same with another way from scores to routes.
    pub(crate) fn ranked_by(self, ranking: route::RouteOptions) -> Self {
        Self { ranking, ..self }
    }

    /// The same, but fitted layer by layer only.
    pub(crate) fn layer_by_layer(self) -> Self {
        Self { together: false, ..self }
    }

    /// The same, but with all layers fitted to mirrored and moved samples too, where the source does not mind.
    pub(crate) fn with_views(self) -> Result<Self> {
        if !(self.refit && self.together) {
            return Ok(self);
        }
        let samples = self.source.calibration()?;
        let views = views::tolerated(self.source, samples, &of_classes(samples, self.classes), self.classes)?;
        Ok(Self { views, ..self })
    }

    /// The same, with channels chosen by what they stand for among the others of their group.
    pub(crate) fn covering(self) -> Result<Self> {
        let Source { graph, groups, case, .. } = self.source;
        let own = |&class: &usize| (class, self.relevance.selected[class].iter().map(|&i| i as usize).collect());
        let samples: Vec<(usize, Vec<usize>)> = self.classes.iter().map(own).collect();
        let order = attribute::cover(graph, groups, &case.input, self.source.calibration()?, &samples)?;
        Ok(Self { order: Some(order), ..self })
    }

    /// The same, with samples to fit the network to keep to besides calibration samples.
    pub(crate) fn with_more(self, more: Option<Samples>) -> Self {
        Self { more, ..self }
    }

    /// The widest network of one ratio that fits.
    pub(crate) fn widest_uniform(&self, fits: impl Fn(&[usize]) -> Result<bool>) -> Result<Option<Vec<usize>>> {
        let (mut fit, mut too_wide) = (0, RATIOS + 1);
        while too_wide - fit > 1 {
            let middle = usize::midpoint(fit, too_wide);
            if fits(&self.uniform(middle as f64 / RATIOS as f64))? {
                fit = middle;
            } else {
                too_wide = middle;
            }
        }
        Ok((fit > 0).then(|| self.uniform(fit as f64 / RATIOS as f64)))
    }

    /// The source's log-probabilities of the wanted classes among themselves for a calibration sample of theirs.
    pub(crate) fn teacher(&self, sample: usize) -> &[f64] {
        &self.teacher[sample]
    }

    /// Channels of every group at one ratio, rounded up.
    pub(crate) fn uniform(&self, ratio: f64) -> Vec<usize> {
        let groups = self.source.groups.groups.iter();
        groups.map(|g| route::keep_count(g.channels, ratio)).collect()
    }

    /// The best channels of every group. With a group of width 0 goes what hangs on it.
    pub(crate) fn route(&self, widths: &[usize]) -> Result<route::Route> {
        let Source { graph, groups, .. } = self.source;
        let mut route = route::by_widths(self.relevance, groups, self.classes, widths, &self.ranking)?;
        if let Some(order) = &self.order {
            route::reorder(&mut route, groups, order, widths)?;
        }
        settle(graph, groups, &mut route.keep)?;
        Ok(route)
    }

    /// The small network with the source's weights.
    pub(crate) fn assembled(&self, route: &route::Route) -> Result<Assembled> {
        assemble(&self.source.graph, &self.source.groups, route, self.classes)
    }

    /// The small network, fitted (if refit is wanted) on the calibration samples `fit`; where rough fits are not possible,
    /// by a quick one instead.
    pub(crate) fn fitted(&self, route: &route::Route, fit: &[usize], effort: Effort) -> Result<Graph> {
        let quick = matches!(effort, Effort::Rough | Effort::Quick);
        let fit = if quick { thinned(fit, QUICK_SAMPLES) } else { fit.to_vec() };
        self.fitted_to(route, self.source.calibration()?, &fit, effort)
    }

    /// Sums of the source on the calibration samples `fit`, for rough fits; `None` where there is nothing
    /// to fit, or where they would take too much memory.
    pub(crate) fn independent(&self, fit: &[usize]) -> Result<Option<Independent<'a>>> {
        let Source { graph, case, .. } = self.source;
        if !self.refit {
            return Ok(None);
        }
        let samples = self.source.calibration()?;
        let inputs = |range: Range<usize>| Ok(score::batch(&case.input, samples, &fit[range]));
        Independent::new(graph, fit.len(), &inputs, self.seed)
    }

    /// The network to keep: fitted with care, on all that there is to fit to besides the calibration samples `fit`.
    pub(crate) fn finished(&self, route: &route::Route, fit: &[usize]) -> Result<Graph> {
        self.finished_with(route, fit, self.more.as_ref())
    }

    /// The same with `more` besides the calibration samples `fit`.
    pub(crate) fn finished_with(&self, route: &route::Route, fit: &[usize], more: Option<&Samples>) -> Result<Graph> {
        let calibration = self.source.calibration()?;
        let Some(more) = more else {
            return self.fitted_to(route, calibration, fit, Effort::Last);
        };
        let mut samples = calibration.select(fit);
        samples.raw.extend_from_slice(&more.raw);
        samples.labels.extend_from_slice(&more.labels);
        let all: Vec<usize> = (0..samples.len()).collect();
        self.fitted_to(route, &samples, &all, Effort::Last)
    }

    fn fitted_to(&self, route: &route::Route, samples: &Samples, fit: &[usize], effort: Effort) -> Result<Graph> {
        let assembled = self.assembled(route)?;
        if !self.refit {
            return Ok(assembled.graph);
        }
        let Source { graph, case, .. } = self.source;
        let inputs = |range: Range<usize>| Ok(score::batch(&case.input, samples, &fit[range]));
        let options = RefitOptions {
            seed: self.seed,
            views: self.views,
            quick: matches!(effort, Effort::Rough | Effort::Quick),
            together: effort == Effort::Last && self.together,
            device: self.source.device,
        };
        Ok(refit::refit(graph, &assembled, fit.len(), &inputs, &options)?.graph)
    }

    /// The first channels of every group, whatever their scores: for what depends on widths alone.
    pub(crate) fn sliced(&self, widths: &[usize]) -> Result<Graph> {
        let groups = &self.source.groups;
        let mask = |(group, &width): (&Group, &usize)| match group.kind {
            GroupKind::Hidden => (0..group.channels).map(|c| c < width).collect(),
            GroupKind::Input | GroupKind::Head | GroupKind::Frozen => vec![true; group.channels],
        };
        let mut masks: Vec<Vec<bool>> = groups.groups.iter().zip(widths).map(mask).collect();
        settle(&self.source.graph, groups, &mut masks)?;
        let route = route::Route::from_masks(groups, masks)?;
        Ok(assemble(&self.source.graph, groups, &route, self.classes)?.graph)
    }

    /// Share of all cuttable channels that `widths` keep.
    pub(crate) fn share(&self, widths: &[usize]) -> f64 {
        let hidden = || self.source.groups.groups.iter().zip(widths).filter(|(g, _)| g.kind == GroupKind::Hidden);
        let kept: usize = hidden().map(|(_, w)| w).sum();
        let all: usize = hidden().map(|(g, _)| g.channels).sum();
        kept as f64 / all.max(1) as f64
    }
}

/// At most `most` of `all`, evenly spread.
pub(crate) fn thinned(all: &[usize], most: usize) -> Vec<usize> {
    let n = all.len().min(most);
    (0..n).map(|i| all[i * all.len() / n]).collect()
}
