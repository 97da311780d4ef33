//! "None of these": how small the network may be, and from which margin on it answers.
//!
//! A crate that may answer `None` holds the wanted classes first and then all others of its source, cut and fitted
//! like wanted ones on the same routes: what an input may be instead is known from images, not guessed from low
//! scores. The answer is the best wanted class if its int8 score is above the best of the others by a threshold.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::data::{self, DataSource, Samples};
use crate::diag::{Diag, Result};
use crate::ir::Graph;
use crate::pipeline::calibration::split;
use crate::pipeline::cutter::{Cutter, Effort, thinned};
use crate::pipeline::judge::Judge;
use crate::pipeline::{Source, score};
use crate::qir::{Program, Reject};
use crate::report;
use crate::{search, sim};

/// Area under the curve that the smallest network may lose against the source, on held-out calibration samples.
const LOST_AREA: f64 = 0.004;

/// Samples of other classes to fit on at most while sizes are tried; enough, as wanted ones are added.
const OTHERS: usize = 600;

/// A share of samples: `1%` or `0.01`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share(pub f64);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let value = match text.strip_suffix('%') {
            Some(number) => number.trim().parse::<f64>().ok().map(|v| v / 100.0),
            None => text.parse::<f64>().ok(),
        };
        value.filter(|v| *v > 0.0 && *v < 1.0).map(Self).ok_or_else(|| "expected a share like 1% or 0.01".into())
    }
}

/// Where on the curve the crate works, measured on calibration samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Point {
    /// At most this share of other samples is taken for a wanted class.
    FalseAccept(f64),
    /// At least this share of wanted samples is taken for a wanted class.
    Recall(f64),
}

impl fmt::Display for Point {
    /// As on the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FalseAccept(share) => write!(f, "--false-accept {}%", share * 100.0),
            Self::Recall(share) => write!(f, "--recall {}%", share * 100.0),
        }
    }
}

/// What the user wants.
#[derive(Debug, Clone, PartialEq)]
pub struct RejectOptions {
    /// Operating point.
    pub point: Point,
    /// Images of none of the classes: a folder, or a folder of folders.
    pub background: Option<PathBuf>,
}

/// All classes of `source`, the wanted ones first.
pub(super) fn in_order(source: &Source, wanted: &[usize]) -> Result<Vec<usize>> {
    let others: Vec<usize> = (0..source.graph.classes()).filter(|c| !wanted.contains(c)).collect();
    check_others(others.len())?;
    Ok(wanted.iter().copied().chain(others).collect())
}

/// Fails unless there is a class to reject by.
pub(super) fn check_others(others: usize) -> Result<()> {
    if others > 0 {
        return Ok(());
    }
    Diag::new("reject/no-others", "every class of the source is wanted: there is nothing to reject by")
        .help("leave a class out of --classes (--from), or --reject")
        .err()
}

/// The smallest ratio whose network tells wanted samples from others nearly as well as the source, judged on
/// held-out calibration samples. The first `wanted` of the cutter's classes are wanted.
pub(super) fn search(cutter: &Cutter<'_>, wanted: usize) -> Result<(Vec<usize>, report::Route)> {
    let Cutter { source, classes, .. } = *cutter;
    let samples = source.calibration()?;
    let parts = split(samples, classes);
    let truth = score::wanted(samples, &parts.held_out, classes);
    if !truth.iter().any(|&t| t < wanted) || !truth.iter().any(|&t| t >= wanted) {
        return Judge::too_few(parts.fit.len());
    }
    let (own, others): (Vec<usize>, Vec<usize>) =
        parts.fit.iter().partition(|&&i| classes[..wanted].contains(&(samples.labels[i] as usize)));
    let mut fit = [own, thinned(&others, OTHERS)].concat();
    fit.sort_unstable();
    let area = |graph: &Graph, classes: &[usize]| -> Result<f64> {
        let rows = score::scores(graph, source, samples, &parts.held_out)?;
        let softmax = score::is_softmax(graph);
        let scored = rows.iter().map(|row| {
            let row = score::log_probabilities(row, classes, softmax);
            best(&row[..wanted]) - best(&row[wanted..])
        });
        let scored: Vec<(f64, bool)> = scored.zip(&truth).map(|(s, &t)| (s, t < wanted)).collect();
        Ok(Curve::new(scored).area())
    };
    let base = area(&source.graph, classes)?;
    let same: Vec<usize> = (0..classes.len()).collect();
    let found = search::smallest_keep(base - LOST_AREA, |ratio| {
        let route = cutter.route(&cutter.uniform(ratio))?;
        area(&cutter.fitted(&route, &fit, Effort::Full)?, &same)
    })?;
    let record = report::Route {
        refit: cutter.refit,
        tried: found.tried,
        held_out_base: Some(base),
        ..report::Route::of(
            found.keep,
            "area under the curve within 0.4 points of the source's, on held-out calibration samples",
        )
    };
    Ok((cutter.uniform(found.keep), record))
}

/// Images of none of the classes: those to choose the threshold on, and those to judge it by.
pub(super) fn background(source: &Source, folder: &Path) -> Result<[Samples; 2]> {
    let input = &source.case.input;
    let samples = match data::class_folders(folder) {
        Ok(names) => DataSource::Folder { path: folder.to_owned(), part: None }.read(input, &names)?,
        Err(_) => data::unlabelled_images(folder, input)?,
    };
    let every_second = |first: usize| samples.select(&(first..samples.len()).step_by(2).collect::<Vec<usize>>());
    Ok([every_second(0), every_second(1)])
}

/// Chooses the threshold of `program`, whose first `wanted` classes are wanted, on calibration samples.
pub(super) fn calibrate(
    program: &mut Program,
    wanted: usize,
    calibration: &Samples,
    truth: &[usize],
    background: Option<&Samples>,
    point: Point,
) {
    program.reject = Some(Reject { wanted: wanted as u32, threshold: 0 });
    let mut scored = margins(program, calibration, truth);
    if let Some(samples) = background {
        scored.extend(margins(program, samples, &vec![usize::MAX; samples.len()]));
    }
    let scored = scored.into_iter().map(|(margin, truth)| (f64::from(margin), truth < wanted)).collect();
    let threshold = Curve::new(scored).threshold(point).clamp(-255.0, 255.0) as i32;
    program.reject = Some(Reject { wanted: wanted as u32, threshold });
}

/// The program's margin of every sample, with its truth.
fn margins(program: &Program, samples: &Samples, truth: &[usize]) -> Vec<(i32, usize)> {
    let raw: Vec<&[u8]> = (0..samples.len()).map(|i| samples.sample(i)).collect();
    let margin = |scores: &Vec<i8>| program.reject.map_or(0, |reject| reject.margin(scores));
    sim::run_many(program, &raw).iter().map(margin).zip(truth.iter().copied()).collect()
}

/// How `program` tells wanted test samples from others; `truth` are places in the program's classes.
pub(super) fn report(
    source: &Source,
    program: &Program,
    classes: &[usize],
    test: &Samples,
    background: Option<&Samples>,
    point: Point,
) -> Result<Option<report::Reject>> {
    let Some(reject) = program.reject else { return Ok(None) };
    let wanted = reject.wanted as usize;
    let all: Vec<usize> = (0..test.len()).collect();
    let truth = score::wanted(test, &all, classes);
    let raw: Vec<&[u8]> = (0..test.len()).map(|i| test.sample(i)).collect();
    let rows = sim::run_many(program, &raw);
    let answers: Vec<Option<usize>> = rows.iter().map(|row| reject.answer(row)).collect();
    let own = |t: usize| t < wanted;
    let curve = Curve::new(rows.iter().zip(&truth).map(|(r, &t)| (f64::from(reject.margin(r)), own(t))).collect());
    let source_rows = score::scores(&source.graph, source, test, &all)?;
    let softmax = score::is_softmax(&source.graph);
    let probability = |row: &Vec<f32>| best(&score::log_probabilities(row, classes, softmax)[..wanted]);
    let base = Curve::new(source_rows.iter().map(probability).zip(&truth).map(|(s, &t)| (s, own(t))).collect());
    let share = |of: &dyn Fn(usize) -> bool, hit: &dyn Fn(Option<usize>, usize) -> bool| {
        let chosen = answers.iter().zip(&truth).filter(|(_, t)| of(**t));
        let (hits, n) = chosen.fold((0, 0), |(hits, n), (a, &t)| (hits + usize::from(hit(*a, t)), n + 1));
        hits as f64 / f64::from(n.max(1))
    };
    let accepted = |answer: Option<usize>, _: usize| answer.is_some();
    let per_class: BTreeMap<String, f64> =
        (wanted..classes.len()).map(|k| (program.classes[k].clone(), share(&|t| t == k, &accepted))).collect();
    let background = background.map(|samples| {
        let margins = margins(program, samples, &vec![usize::MAX; samples.len()]);
        let hits = margins.iter().filter(|(m, _)| *m >= reject.threshold).count();
        hits as f64 / samples.len().max(1) as f64
    });
    Ok(Some(report::Reject {
        point: point.to_string(),
        threshold: reject.threshold,
        wanted_samples: truth.iter().filter(|t| own(**t)).count(),
        other_samples: truth.iter().filter(|t| !own(**t)).count(),
        recall: share(&own, &accepted),
        right: share(&own, &|answer, t| answer == Some(t)),
        false_accepts: share(&|t| !own(t), &accepted),
        false_accepts_per_class: per_class,
        false_accepts_background: background,
        int8: curve.figures(),
        source: base.figures(),
    }))
}

fn best(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// Scores of samples that are wanted or not, from the largest down.
struct Curve {
    scored: Vec<(f64, bool)>,
    wanted: usize,
}

impl Curve {
    fn new(mut scored: Vec<(f64, bool)>) -> Self {
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        let wanted = scored.iter().filter(|s| s.1).count();
        Self { scored, wanted }
    }

    /// Share of pairs of a wanted and another sample in which the wanted one has the larger score; ties are half.
    fn area(&self) -> f64 {
        let (mut above, mut pairs) = (0.0, 0.0);
        for equal in self.scored.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
            let wanted = equal.iter().filter(|s| s.1).count() as f64;
            let others = equal.len() as f64 - wanted;
            pairs += others * (above + wanted / 2.0);
            above += wanted;
        }
        let others = (self.scored.len() - self.wanted) as f64;
        pairs / (self.wanted as f64 * others).max(1.0)
    }

    /// Recall and share of false accepts, if every score from each value on is accepted, with that value.
    fn points(&self) -> impl Iterator<Item = (f64, f64, f64)> {
        let others = (self.scored.len() - self.wanted).max(1) as f64;
        let (mut own, mut false_accepts) = (0, 0);
        self.scored.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()).map(move |equal| {
            let wanted = equal.iter().filter(|s| s.1).count();
            own += wanted;
            false_accepts += equal.len() - wanted;
            (equal[0].0, own as f64 / self.wanted.max(1) as f64, false_accepts as f64 / others)
        })
    }

    /// The smallest threshold within the false accepts, or the largest that has the recall.
    fn threshold(&self, point: Point) -> f64 {
        match point {
            Point::FalseAccept(most) => self.points().take_while(|p| p.2 <= most).last().map_or(f64::INFINITY, |p| p.0),
            Point::Recall(least) => self.points().find(|p| p.1 >= least).map_or(f64::NEG_INFINITY, |p| p.0),
        }
    }

    fn recall_at(&self, false_accepts: f64) -> f64 {
        self.points().take_while(|p| p.2 <= false_accepts).last().map_or(0.0, |p| p.1)
    }

    fn figures(&self) -> report::Detection {
        report::Detection { auc: self.area(), recall_at_1: self.recall_at(0.01), recall_at_5: self.recall_at(0.05) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn area_counts_pairs_and_ties_by_half() {
        let curve = Curve::new(vec![(3.0, true), (2.0, false), (2.0, true), (1.0, false), (0.0, false)]);
        assert!((curve.area() - 5.5 / 6.0).abs() < 1e-12);
        assert!((Curve::new(vec![(0.0, true), (0.0, false)]).area() - 0.5).abs() < 1e-12);
    }

    #[test]
    fn the_operating_point_holds_what_was_asked_for() {
        let scored: Vec<(f64, bool)> = (0..200).map(|i| (f64::from(i / 2), i % 2 == 1 && i >= 100)).collect();
        let curve = Curve::new(scored.clone());
        for share in [0.01, 0.05, 0.2] {
            let threshold = curve.threshold(Point::FalseAccept(share));
            let others: Vec<f64> = scored.iter().filter(|s| !s.1).map(|s| s.0).collect();
            let accepted = others.iter().filter(|s| **s >= threshold).count();
            assert!(accepted as f64 <= share * others.len() as f64);
            let threshold = curve.threshold(Point::Recall(1.0 - share));
            let own: Vec<f64> = scored.iter().filter(|s| s.1).map(|s| s.0).collect();
            assert!(own.iter().filter(|s| **s >= threshold).count() as f64 >= (1.0 - share) * own.len() as f64);
        }
        let none = Curve::new(vec![(1.0, false), (0.0, true)]);
        assert!(none.threshold(Point::FalseAccept(0.01)) > 1.0, "nothing may be accepted");
    }

    #[test]
    fn shares_are_read_with_and_without_percent() {
        assert_eq!("1%".parse(), Ok(Share(0.01)));
        assert_eq!("0.95".parse(), Ok(Share(0.95)));
        for bad in ["0", "100%", "2", "x", "-1%"] {
            assert!(bad.parse::<Share>().is_err(), "{bad}");
        }
    }
}
