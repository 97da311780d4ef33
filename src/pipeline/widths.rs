//! Chooses how many channels each group keeps, within the user's limits.

use crate::assemble::may_vanish;
use crate::diag::{Diag, Result};
use crate::ir::groups::{Group, GroupKind};
use crate::pipeline::Progress;
use crate::pipeline::cutter::{self, Cutter, Effort};
use crate::pipeline::judge::{Judge, Verdict};
use crate::pipeline::meter::{Meter, infeasible};
use crate::pipeline::route::Wanted;
use crate::report;
use crate::search::{self, Seen};

/// Accuracy given away at most when the user names neither a size nor a limit nor a tolerance, in points.
const DEFAULT_DROP: f64 = 1.0;

/// Share of a tolerance that is kept back. On test samples, networks lost 1.4 (`cnn_fmnist` 2,4,6) to 3 times
/// (`dscnn_kws` Up,Down,Stop, `dscnn_emnist` I,J,L) of what their loss on calibration samples let expect.
const RESERVE: f64 = 0.5;

/// A path goes on to networks that lose this many times what is expected to be allowed: it is found by rough fits, and
/// careful ones lose less.
const BEYOND: f64 = 6.0;

/// Networks of a path that tell what a nat costs.
const PRICED: usize = 12;

/// The widths to keep (per group) and how they were found.
///
/// With limits alone: what loses least within them. Otherwise the smallest network within the tolerance; if that
/// is above a limit, what loses least within the limits, if the tolerance allows it. A ratio is the most that any
/// group keeps.
pub(crate) fn search(
    cutter: &Cutter<'_>,
    options: &Wanted,
    progress: &dyn Progress,
) -> Result<(Vec<usize>, report::Route)> {
    progress.stage("search");
    let keep = options.keep.unwrap_or(1.0);
    let meter = Meter::new(cutter, options, progress);
    // Groups that may vanish one by one may not all vanish together.
    let too_large = |choices: &[Vec<usize>]| -> Result<Vec<_>> {
        let least: Vec<usize> = choices.iter().map(|c| narrowest(c)).collect();
        Ok(options.limits.exceeded(&meter.need(&least)?.sizes))
    };
    let mut choices = choices(cutter, keep, search::choices);
    if !too_large(&choices)?.is_empty() {
        choices = self::choices(cutter, keep, search::choices_to_one);
        let exceeded = too_large(&choices)?;
        if !exceeded.is_empty() {
            return Err(infeasible("no network that the search reaches is that small", &exceeded, None));
        }
    }
    let most: Vec<usize> = choices.iter().map(|c| c[c.len() - 1]).collect();
    // Where everything may be kept, the ratio decides nothing.
    let keep_words = options.keep.filter(|keep| *keep < 1.0).map(|_| options.keep_by.to_string());
    let limit_words = options.limits.any().then(|| options.limits.to_string());
    let words = |first: &str| {
        let within: Vec<String> = keep_words.iter().chain(&limit_words).cloned().collect();
        if within.is_empty() { first.to_string() } else { format!("{first} within {}", within.join(", ")) }
    };
    if options.max_drop.is_none() && meter.fits(&most)? && options.keep.is_some() {
        let chosen_by = format!("{} within {}", options.keep_by, options.limits);
        let limits = options.limits;
        return Ok((
            most.clone(),
            report::Route {
                refit: cutter.refit,
                max_macs: limits.macs,
                max_flash: limits.flash,
                max_ram: limits.ram,
                ..report::Route::of(cutter.share(&most), chosen_by)
            },
        ));
    }
    let search = Search { cutter, judge: &Judge::new(cutter)?, meter: &meter, choices: &choices };
    if options.max_drop.is_none() && options.limits.any() {
        let (found, tried) = search.within_limits(&most)?;
        return Ok(search.record(found, tried, words("least loss found")));
    }
    let points = options.max_drop.unwrap_or(DEFAULT_DROP);
    let chosen_by = match options.max_drop {
        Some(_) => words("--max-drop"),
        None => words("expected to lose at most 1 point, by divergence on held-out calibration samples"),
    };
    let (found, mut tried, per_nat) = search.within_drop(points / 100.0)?;
    let lost = |verdict: Verdict| upper(verdict) * per_nat * 100.0 / (1.0 - RESERVE);
    // A search that may lose more prices a nat anew, so this much may turn out not to be enough.
    let allow = |verdict: Verdict| {
        let points = (lost(verdict) * 10.0).ceil() / 10.0;
        (points <= 100.0).then(|| format!("allow more: by this estimate about --max-drop {points:.1}"))
    };
    if options.keep.is_some() && found.widths == most && lost(found.verdict) > points + 1e-9 {
        let what = format!("networks within --keep are expected to lose more than {points} points");
        return Diag::no("search/infeasible", what)
            .expected(format!("--max-drop {points}"), expected_points(lost(found.verdict)))
            .help(allow(found.verdict).map_or_else(|| "keep more".into(), |allow| format!("keep more, or {allow}")))
            .err();
    }
    let need = meter.need(&found.widths)?.sizes;
    let exceeded = options.limits.exceeded(&need);
    if exceeded.is_empty() {
        return Ok(search.record(found, tried, chosen_by));
    }
    let (best, more) = search.within_limits(&most)?;
    tried.extend(more);
    if lost(best.verdict) > points + 1e-9 {
        let what = format!("no network found within {} is expected to lose at most {points} points", options.limits);
        return Err(infeasible(&what, &exceeded, allow(best.verdict)));
    }
    Ok(search.record(best, tried, chosen_by))
}

/// A network that may be kept.
struct Found {
    widths: Vec<usize>,
    verdict: Verdict,
}

/// Share of channels kept, and accuracy.
type Tried = Vec<(f64, f64)>;

/// One search.
struct Search<'a> {
    cutter: &'a Cutter<'a>,
    judge: &'a Judge<'a>,
    meter: &'a Meter<'a>,
    choices: &'a [Vec<usize>],
}

impl Search<'_> {
    fn record(&self, found: Found, tried: Tried, chosen_by: String) -> (Vec<usize>, report::Route) {
        let record = report::Route {
            refit: self.cutter.refit,
            tried,
            held_out_base: Some(self.judge.base),
            max_macs: self.meter.limits.macs,
            max_flash: self.meter.limits.flash,
            max_ram: self.meter.limits.ram,
            ..report::Route::of(self.cutter.share(&found.widths), chosen_by)
        };
        (found.widths, record)
    }

    /// Fits with care and judges.
    fn look(&self, widths: &[usize], tried: &mut Tried) -> Result<Verdict> {
        let verdict = self.judge.verdict(widths, Effort::Full)?;
        tried.push((self.cutter.share(widths), verdict.accuracy));
        Ok(verdict)
    }

    /// The smallest network expected to lose at most `drop` (a fraction) of accuracy, and the accuracy per nat that
    /// the expectation is made with.
    fn within_drop(&self, drop: f64) -> Result<(Found, Tried, f64)> {
        let allowed = |seen: &[Seen]| drop * (1.0 - RESERVE) / search::drop_per_nat(seen);
        let far = BEYOND * allowed(&[]);
        let path = search::descend(
            self.choices,
            |widths| possible(self.cutter.sliced(widths).map(|graph| graph.macs())),
            |widths| Ok(self.judge.verdict(widths, Effort::Rough)?.loss),
            |step| step.loss > far,
        )?;
        // What a nat costs is told by networks that are fitted like the one to keep, if with less care: layers that were
        // fitted on their own turn more answers for the same divergence.
        let mut seen = Vec::new();
        for step in cutter::thinned(&(1..path.len()).collect::<Vec<usize>>(), PRICED) {
            let verdict = self.judge.verdict(&path[step].widths, Effort::Quick)?;
            seen.push(Seen { loss: verdict.loss, drop: self.judge.base - verdict.accuracy });
        }
        let per_nat = search::drop_per_nat(&seen);
        let rough: Vec<f64> = path.iter().map(|step| step.loss).collect();
        let mut tried = Tried::new();
        let mut verdicts = vec![None; path.len()];
        let at = search::smallest_within(&rough, allowed(&seen), |i| {
            let verdict = self.look(&path[i].widths, &mut tried)?;
            verdicts[i] = Some(verdict);
            Ok(upper(verdict))
        })?;
        let widths = path[at].widths.clone();
        let verdict = match verdicts[at] {
            Some(verdict) => verdict,
            None => self.look(&widths, &mut tried)?,
        };
        let limit = self.cutter.sliced(&widths)?.macs();
        let mut found = Found { widths, verdict };
        // One ratio for all groups is sometimes better, as the path is found by rough fits.
        if let Some(widths) = self.cutter.widest_uniform(|widths| Ok(self.cutter.sliced(widths)?.macs() <= limit))? {
            let verdict = self.look(&widths, &mut tried)?;
            if verdict.loss < found.verdict.loss {
                found = Found { widths, verdict };
            }
        }
        Ok((found, tried, per_nat))
    }

    /// The network within the limits that loses least, of three: the path's last, widened, one ratio for all, and one
    /// between these, widened.
    fn within_limits(&self, most: &[usize]) -> Result<(Found, Tried)> {
        let path = search::descend(
            self.choices,
            |widths| possible(self.meter.cost(widths)),
            |widths| Ok(self.judge.verdict(widths, Effort::Rough)?.loss),
            |step| self.meter.fits(&step.widths).unwrap_or(true),
        )?;
        let last = &path[path.len() - 1];
        let mut candidates = Vec::new();
        // The room that a step left, used.
        let over = |widths: &[usize]| Ok(u64::from(!self.meter.fits(widths)?));
        if self.meter.fits(&last.widths)? {
            candidates.push(search::widen(&path, &last.widths, most, 0, over)?);
        } else {
            // Where narrowing one group alone helps nothing any more, the smallest network is left.
            candidates.push(self.choices.iter().map(|c| narrowest(c)).collect());
        }
        let capped = |widths: Vec<usize>| widths.iter().zip(most).map(|(&w, &m)| w.min(m)).collect::<Vec<usize>>();
        candidates.extend(self.cutter.widest_uniform(|widths| self.meter.fits(widths))?.map(capped));
        if let [a, b] = &candidates[..] {
            let between = search::between(a, b, most);
            if self.meter.fits(&between)? {
                candidates.push(search::widen(&path, &between, most, 0, over)?);
            }
        }
        let mut tried = Tried::new();
        let mut best: Option<Found> = None;
        for widths in candidates {
            let verdict = self.look(&widths, &mut tried)?;
            if best.as_ref().is_none_or(|best| verdict.loss < best.verdict.loss) {
                best = Some(Found { widths, verdict });
            }
        }
        match best {
            Some(best) => Ok((best, tried)),
            None => Judge::too_few(0),
        }
    }
}

/// A loss that is not exceeded too often: a standard error more, which is much where samples are few.
fn upper(verdict: Verdict) -> f64 {
    verdict.loss + verdict.error
}

/// An estimated loss in points: in proportion to divergence, it may come to more than there is to lose.
fn expected_points(lost: f64) -> String {
    if lost <= 100.0 { format!("{lost:.2} points") } else { "far more".into() }
}

/// A cost, or more than any for a network that cannot be: everything that something depends on would go.
fn possible(cost: Result<u64>) -> Result<u64> {
    match cost {
        Err(diag) if diag.code == "assemble/dead-end" => Ok(u64::MAX),
        cost => cost,
    }
}

/// The least width above 0.
fn narrowest(choices: &[usize]) -> usize {
    choices.iter().copied().find(|&width| width > 0).unwrap_or(0)
}

/// Widths to try per group, those `worth` it for so many channels, none above the share `keep`; one only for groups that
/// are never cut. 0, and with it a whole block or branch, where the rest of the network can do without.
fn choices(cutter: &Cutter<'_>, keep: f64, worth: fn(usize) -> Vec<usize>) -> Vec<Vec<usize>> {
    let groups = &cutter.source.groups;
    let gone = may_vanish(&cutter.source.graph, groups);
    let choices = |((group, most), gone): ((&Group, usize), bool)| match group.kind {
        GroupKind::Hidden => {
            let below = worth(group.channels).into_iter().filter(|&w| w < most);
            gone.then_some(0).into_iter().chain(below).chain([most]).collect()
        }
        GroupKind::Input | GroupKind::Head | GroupKind::Frozen => vec![group.channels],
    };
    groups.groups.iter().zip(cutter.uniform(keep)).zip(gone).map(choices).collect()
}
