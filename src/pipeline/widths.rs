//! Chooses how many channels each group keeps, within the user's limits.

use crate::diag::{Diag, Result};
use crate::ir::groups::{Group, GroupKind};
use crate::pipeline::Progress;
use crate::pipeline::cutter::{Cutter, Effort};
use crate::pipeline::judge::{Judge, Judged};
use crate::pipeline::route::Wanted;
use crate::report;
use crate::search;

/// Accuracy given away at most when the user names neither a size nor a tolerance, in points.
const DEFAULT_DROP: f64 = 1.0;

/// Ratios that one-ratio networks are tried at, per unit: finer than a channel of any group of 64.
const RATIOS: usize = 128;

/// The widths to keep (per group) and how they were found.
///
/// With a limit on multiply-accumulates alone: what loses least within it. Otherwise the smallest ratio within
/// the tolerance; if that is above the limit, what loses least within the limit, if the tolerance allows it.
pub(super) fn search(
    cutter: &Cutter<'_>,
    options: &Wanted,
    progress: &dyn Progress,
) -> Result<(Vec<usize>, report::Route)> {
    progress.stage("search");
    let limit = options.max_macs.map(|m| m.count(cutter.source.graph.macs()));
    if let (Some(limit), None) = (limit, options.max_drop) {
        let (widths, mut record, _) = within_macs(cutter, limit)?;
        record.chosen_by = "--max-macs";
        return Ok((widths, record));
    }
    let (widths, record) = within_drop(cutter, options)?;
    let (Some(limit), Some(drop)) = (limit, options.max_drop) else { return Ok((widths, record)) };
    let needed = cutter.macs(&widths)?;
    if needed <= limit {
        return Ok((
            widths,
            report::Route { chosen_by: "--max-drop within --max-macs", max_macs: Some(limit), ..record },
        ));
    }
    let (widths, mut record, [base, accuracy]) = within_macs(cutter, limit)?;
    let lost = (base - accuracy) * 100.0;
    if lost > drop + 1e-9 {
        return Diag::no("search/infeasible", "no network found meets both --max-macs and --max-drop")
            .expected(
                format!("at most {drop} points lost on held-out calibration samples"),
                format!("{lost:.2} points with {limit} multiply-accumulates"),
            )
            .help(format!("--max-macs {needed} holds the accuracy, or allow --max-drop {lost:.2}"))
            .err();
    }
    record.chosen_by = "--max-drop within --max-macs";
    Ok((widths, record))
}

/// The smallest ratio within the tolerance on calibration samples, each judged by a network fitted on others: a
/// quarter held out is too few to tell a point of accuracy.
fn within_drop(cutter: &Cutter<'_>, options: &Wanted) -> Result<(Vec<usize>, report::Route)> {
    let judge = Judge::new(cutter, Judged::All)?;
    let drop = options.max_drop.unwrap_or(DEFAULT_DROP) / 100.0;
    let found = search::smallest_keep(judge.floor(drop), |ratio| {
        Ok(judge.verdict(&cutter.uniform(ratio), Effort::Full)?.accuracy)
    })?;
    let chosen_by =
        if options.max_drop.is_some() { "--max-drop" } else { "within 1 point on held-out calibration samples" };
    let record = report::Route {
        keep: found.keep,
        chosen_by,
        refit: cutter.refit,
        tried: found.tried,
        held_out_base: Some(judge.base),
        max_macs: None,
    };
    Ok((cutter.uniform(found.keep), record))
}

/// Widths to try per group; one only for groups that are never cut.
fn choices(cutter: &Cutter<'_>) -> Vec<Vec<usize>> {
    let choices = |group: &Group| match group.kind {
        GroupKind::Hidden => search::choices(group.channels),
        GroupKind::Input | GroupKind::Head => vec![group.channels],
    };
    cutter.source.groups.groups.iter().map(choices).collect()
}

/// The network within `limit` multiply-accumulates that loses least, and accuracies on the judged samples: the
/// masked source's and its own.
fn within_macs(cutter: &Cutter<'_>, limit: u64) -> Result<(Vec<usize>, report::Route, [f64; 2])> {
    let choices = choices(cutter);
    let most: Vec<usize> = choices.iter().map(|c| c[c.len() - 1]).collect();
    let least: Vec<usize> = choices.iter().map(|c| c[0]).collect();
    let smallest = cutter.macs(&least)?;
    if smallest > limit {
        return Diag::no("search/max-macs", "no network of this source is that small")
            .expected(format!("at most {limit} multiply-accumulates"), format!("{smallest} for the smallest"))
            .help(format!("--max-macs {smallest} is the least possible"))
            .err();
    }
    let judge = Judge::new(cutter, Judged::Quarter)?;
    let path = search::descend(
        &choices,
        |widths| cutter.macs(widths),
        |widths| Ok(judge.verdict(widths, Effort::Quick)?.loss),
        |step| step.cost <= limit,
    )?;
    let last = &path[path.len() - 1];
    // What fits beside the path's end: the room that its last step left, used; and one ratio for all groups,
    // which is sometimes better, as the path is found by quick fits.
    let wide = search::widen(&path, &last.widths, &most, limit, |widths| cutter.macs(widths))?;
    let candidates = [Some(wide), largest_uniform(cutter, limit)?];
    let mut tried = Vec::new();
    let mut best = (last.widths.clone(), f64::INFINITY, 0.0);
    for widths in candidates.into_iter().flatten() {
        let verdict = judge.verdict(&widths, Effort::Full)?;
        tried.push((cutter.share(&widths), verdict.accuracy));
        if verdict.loss < best.1 {
            best = (widths, verdict.loss, verdict.accuracy);
        }
    }
    let (widths, _, accuracy) = best;
    let record = report::Route {
        keep: cutter.share(&widths),
        chosen_by: "",
        refit: cutter.refit,
        tried,
        held_out_base: Some(judge.base),
        max_macs: Some(limit),
    };
    Ok((widths, record, [judge.base, accuracy]))
}

/// The widest network of one ratio within `limit`.
fn largest_uniform(cutter: &Cutter<'_>, limit: u64) -> Result<Option<Vec<usize>>> {
    for step in (1..=RATIOS).rev() {
        let widths = cutter.uniform(step as f64 / RATIOS as f64);
        if cutter.macs(&widths)? <= limit {
            return Ok(Some(widths));
        }
    }
    Ok(None)
}
