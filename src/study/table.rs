//! Rows as CSV, and their means over class sets as Markdown.

use std::fmt::Write as _;

use serde::Serialize;

use crate::study::rows::Row;

/// One method at one budget on one case: mean over class sets and seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mean {
    /// The case; `all cases` for the mean over cases.
    pub case: String,
    /// `test` or `held-out`.
    pub split: String,
    /// Share of channels kept in every group.
    pub keep: f64,
    /// Whether the weights were refitted.
    pub refit: bool,
    /// Full name of the method.
    pub method: String,
    /// Class sets times seeds (cases, for the mean over cases).
    pub runs: usize,
    /// Multiply-accumulates as a share of the source's, 0 to 1.
    pub macs: f64,
    /// Accuracy of the source with masked scores, 0 to 1.
    pub masked: f64,
    /// Accuracy of the small float network against it, in points.
    pub change: f64,
    /// Standard deviation of that over the runs, in points; 0 for one.
    pub spread: f64,
    /// The int8 network against the masked float source, in points, where every run has it.
    pub int8_change: Option<f64>,
}

/// Means by case, split, budget, refit and method, in that order, with the means over cases at the end.
pub(super) fn means(rows: &[Row]) -> Vec<Mean> {
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by(|a, b| {
        let id = |r: &Row| (r.key.case.clone(), r.key.split.clone());
        id(a)
            .cmp(&id(b))
            .then(b.key.keep.total_cmp(&a.key.keep))
            .then(a.key.refit.cmp(&b.key.refit))
            .then(a.key.method.cmp(&b.key.method))
    });
    let same = |a: &&Row, b: &&Row| {
        let (a, b) = (&a.key, &b.key);
        a.case == b.case
            && a.split == b.split
            && a.keep.total_cmp(&b.keep).is_eq()
            && a.refit == b.refit
            && a.method == b.method
    };
    let mut means: Vec<Mean> = sorted.chunk_by(same).map(mean).collect();
    let mut by_method: Vec<&Mean> = means.iter().collect();
    by_method.sort_by(|a, b| {
        a.split.cmp(&b.split).then(b.keep.total_cmp(&a.keep)).then(a.refit.cmp(&b.refit)).then(a.method.cmp(&b.method))
    });
    let same = |a: &&Mean, b: &&Mean| {
        a.split == b.split && a.keep.total_cmp(&b.keep).is_eq() && a.refit == b.refit && a.method == b.method
    };
    let over_cases: Vec<Mean> = by_method.chunk_by(same).filter(|m| m.len() > 1).map(over_cases).collect();
    means.extend(over_cases);
    means
}

fn mean(rows: &[&Row]) -> Mean {
    let first = &rows[0].key;
    let average = |f: &dyn Fn(&Row) -> f64| rows.iter().map(|r| f(r)).sum::<f64>() / rows.len() as f64;
    let changes: Vec<f64> = rows.iter().map(|r| r.change()).collect();
    let int8 = |r: &Row| r.int8_right.map_or(0.0, |right| right as f64 - r.masked_right as f64) / r.judged as f64;
    Mean {
        case: first.case.clone(),
        split: first.split.clone(),
        keep: first.keep,
        refit: first.refit,
        method: first.method.clone(),
        runs: rows.len(),
        macs: average(&|r| r.macs as f64 / r.source_macs as f64),
        masked: average(&|r| r.masked_right as f64 / r.judged as f64),
        change: average(&|r| r.change()),
        spread: spread(&changes),
        int8_change: rows.iter().all(|r| r.int8_right.is_some()).then(|| 100.0 * average(&int8)),
    }
}

fn over_cases(means: &[&Mean]) -> Mean {
    let average = |f: &dyn Fn(&Mean) -> f64| means.iter().map(|m| f(m)).sum::<f64>() / means.len() as f64;
    let changes: Vec<f64> = means.iter().map(|m| m.change).collect();
    Mean {
        case: "all cases".into(),
        runs: means.len(),
        macs: average(&|m| m.macs),
        masked: average(&|m| m.masked),
        change: average(&|m| m.change),
        spread: spread(&changes),
        int8_change: means
            .iter()
            .all(|m| m.int8_change.is_some())
            .then(|| average(&|m| m.int8_change.unwrap_or_default())),
        ..means[0].clone()
    }
}

/// Sample standard deviation.
fn spread(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    (squares / values.len().saturating_sub(1).max(1) as f64).sqrt()
}

/// All rows, one a line.
pub(super) fn csv(rows: &[Row]) -> String {
    let mut out = String::from(
        "case,classes,split,keep,refit,method,samples,seed,macs,source_macs,params,judged,source_right,masked_right,right,int8_right\n",
    );
    for row in rows {
        let key = &row.key;
        let classes: Vec<String> = key.classes.iter().map(ToString::to_string).collect();
        let int8 = row.int8_right.map_or_else(String::new, |n| n.to_string());
        let name = if key.case.contains([',', '"', '\n']) {
            format!("\"{}\"", key.case.replace('"', "\"\""))
        } else {
            key.case.clone()
        };
        let _ = writeln!(
            out,
            "{name},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{int8}",
            classes.join(" "),
            key.split,
            key.keep,
            key.refit,
            key.method,
            key.samples,
            key.seed,
            row.macs,
            row.source_macs,
            row.params,
            row.judged,
            row.source_right,
            row.masked_right,
            row.right,
        );
    }
    out
}

/// One table per case, split, budget and refit, best method first.
pub(super) fn markdown(means: &[Mean]) -> String {
    let mut out = String::from(
        "Accuracy against the source with its scores masked to the set, in points: mean ± standard deviation over\n\
         class sets and seeds (over cases, at the end).\n",
    );
    let same = |a: &Mean, b: &Mean| {
        a.case == b.case && a.split == b.split && a.keep.total_cmp(&b.keep).is_eq() && a.refit == b.refit
    };
    for table in means.chunk_by(same) {
        let Mean { case, split, keep, refit, .. } = &table[0];
        let fit = if *refit { "refitted" } else { "sliced only" };
        let _ = writeln!(out, "\n## {case}, {split}, keep {keep}, {fit}\n");
        let _ = writeln!(out, "| method | float | int8 | masked source | MACs | runs |\n|---|---|---|---|---|---|");
        let mut best: Vec<&Mean> = table.iter().collect();
        best.sort_by(|a, b| b.change.total_cmp(&a.change).then(a.method.cmp(&b.method)));
        for m in best {
            let int8 = m.int8_change.map_or_else(|| "–".into(), |c| format!("{c:+.2}"));
            let _ = writeln!(
                out,
                "| {} | {:+.2} ± {:.2} | {int8} | {:.2} % | {:.1} % | {} |",
                m.method,
                m.change,
                m.spread,
                100.0 * m.masked,
                100.0 * m.macs,
                m.runs
            );
        }
    }
    out
}
