//! Rows as CSV, and their means over class sets as Markdown.

use std::cmp::Ordering;
use std::fmt::Write as _;

use serde::Serialize;

use crate::study::rows::Row;
use crate::study::{Budget, Contender, Weights};

/// One method at one budget on one case: mean over class sets and seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mean {
    /// The case; `all cases` for the mean over cases.
    pub case: String,
    /// `test` or `held-out`.
    pub split: String,
    /// How large the networks may be.
    pub budget: Budget,
    /// What was done to the weights.
    pub weights: Weights,
    /// Times through the training samples; 0 where nothing was trained.
    pub epochs: usize,
    /// Full name of the method.
    pub method: String,
    /// Class sets times seeds (cases, for the mean over cases).
    pub runs: usize,
    /// Class sets, in the order of the rows; empty for the mean over cases.
    pub sets: Vec<Vec<usize>>,
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
    /// Standard deviation of that over the runs.
    pub int8_spread: Option<f64>,
    /// Bytes of the int8 network's weights and tables, where every run has them.
    pub bytes: Option<f64>,
}

/// The order of the tables.
fn order(a: &Mean, b: &Mean) -> Ordering {
    let treated = |m: &Mean| (m.weights, m.epochs);
    a.split.cmp(&b.split).then(a.budget.order(b.budget)).then(treated(a).cmp(&treated(b))).then(a.method.cmp(&b.method))
}

/// Means by case, split, budget, treatment and method, in that order, with the means over cases at the end.
pub(super) fn means(rows: &[Row]) -> Vec<Mean> {
    let one = |row: &Row| mean(&[row]);
    let mut sorted: Vec<(Mean, &Row)> = rows.iter().map(|row| (one(row), row)).collect();
    sorted.sort_by(|(a, x), (b, y)| {
        a.case.cmp(&b.case).then(order(a, b)).then_with(|| {
            let run = |row: &Row| (row.key.classes.clone(), row.key.seed);
            run(x).cmp(&run(y))
        })
    });
    let same = |(a, _): &(Mean, &Row), (b, _): &(Mean, &Row)| a.case == b.case && order(a, b).is_eq();
    let chunks = sorted.chunk_by(same);
    let mut means: Vec<Mean> = chunks.map(|c| mean(&c.iter().map(|(_, row)| *row).collect::<Vec<_>>())).collect();
    let mut by_method: Vec<&Mean> = means.iter().collect();
    by_method.sort_by(|a, b| order(a, b));
    let chunks = by_method.chunk_by(|a, b| order(a, b).is_eq());
    let over_cases: Vec<Mean> = chunks.filter(|m| m.len() > 1).map(over_cases).collect();
    means.extend(over_cases);
    means
}

fn mean(rows: &[&Row]) -> Mean {
    let first = &rows[0].key;
    let average = |f: &dyn Fn(&Row) -> f64| rows.iter().map(|r| f(r)).sum::<f64>() / rows.len() as f64;
    let changes: Vec<f64> = rows.iter().map(|r| r.change()).collect();
    let int8: Option<Vec<f64>> = rows.iter().map(|r| r.int8_change()).collect();
    let bytes: Option<Vec<f64>> = rows.iter().map(|r| r.int8_bytes.map(|b| b as f64)).collect();
    let mut sets: Vec<Vec<usize>> = rows.iter().map(|r| r.key.classes.clone()).collect();
    sets.dedup();
    Mean {
        case: first.case.clone(),
        split: first.split.clone(),
        budget: first.budget,
        weights: first.weights,
        epochs: first.epochs,
        method: first.method.clone(),
        runs: rows.len(),
        sets,
        macs: average(&|r| r.macs as f64 / r.source_macs as f64),
        masked: average(&|r| r.masked_right as f64 / r.judged as f64),
        change: mean_of(&changes),
        spread: spread(&changes),
        int8_change: int8.as_deref().map(mean_of),
        int8_spread: int8.as_deref().map(spread),
        bytes: bytes.as_deref().map(mean_of),
    }
}

fn over_cases(means: &[&Mean]) -> Mean {
    let average = |f: &dyn Fn(&Mean) -> f64| means.iter().map(|m| f(m)).sum::<f64>() / means.len() as f64;
    let changes: Vec<f64> = means.iter().map(|m| m.change).collect();
    let int8: Option<Vec<f64>> = means.iter().map(|m| m.int8_change).collect();
    Mean {
        case: "all cases".into(),
        runs: means.len(),
        sets: Vec::new(),
        macs: average(&|m| m.macs),
        masked: average(&|m| m.masked),
        change: mean_of(&changes),
        spread: spread(&changes),
        int8_change: int8.as_deref().map(mean_of),
        int8_spread: int8.as_deref().map(spread),
        bytes: None,
        ..means[0].clone()
    }
}

fn mean_of(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
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
        "case,classes,split,budget,share,weights,epochs,method,samples,seed,macs,source_macs,params,judged,\
         source_right,masked_right,right,int8_right,int8_bytes,training_kept\n",
    );
    for row in rows {
        let key = &row.key;
        let classes: Vec<String> = key.classes.iter().map(ToString::to_string).collect();
        let name = if key.case.contains([',', '"', '\n']) {
            format!("\"{}\"", key.case.replace('"', "\"\""))
        } else {
            key.case.clone()
        };
        let kind = if matches!(key.budget, Budget::Keep(_)) { "keep" } else { "macs" };
        let or_empty = |value: Option<String>| value.unwrap_or_default();
        let cells = [
            name,
            classes.join(" "),
            key.split.clone(),
            kind.into(),
            key.budget.share().to_string(),
            key.weights.name().into(),
            key.epochs.to_string(),
            key.method.clone(),
            key.samples.to_string(),
            key.seed.to_string(),
            row.macs.to_string(),
            row.source_macs.to_string(),
            row.params.to_string(),
            row.judged.to_string(),
            row.source_right.to_string(),
            row.masked_right.to_string(),
            row.right.to_string(),
            or_empty(row.int8_right.map(|n| n.to_string())),
            or_empty(row.int8_bytes.map(|n| n.to_string())),
            or_empty(row.training_kept.map(|k| k.to_string())),
        ];
        let _ = writeln!(out, "{}", cells.join(","));
    }
    out
}

/// One table per case, split and budget, best first, with the source with masked scores at the top.
pub(super) fn markdown(means: &[Mean]) -> String {
    let mut out = String::from(
        "Accuracy against the source with its scores masked to the set, in points: mean ± standard deviation over\n\
         class sets and seeds (over cases, at the end). Bytes are those of int8 weights and tables.\n",
    );
    let same = |a: &Mean, b: &Mean| a.case == b.case && a.split == b.split && a.budget.order(b.budget).is_eq();
    for table in means.chunk_by(same) {
        let Mean { case, split, budget, .. } = &table[0];
        let _ = writeln!(out, "\n## {case}, {split}, {budget}\n");
        let sets: Vec<String> = table[0].sets.iter().map(|s| format!("{s:?}")).collect();
        if !sets.is_empty() {
            let _ = writeln!(out, "Class sets of the first row: {}.\n", sets.join(" "));
        }
        let _ =
            writeln!(out, "| method | weights | float | int8 | MACs | bytes | runs |\n|---|---|---|---|---|---|---|");
        let masked = mean_of(&table.iter().map(|m| m.masked).collect::<Vec<_>>());
        let _ = writeln!(out, "| source, masked: {:.2} % | as they are | 0 | – | 100 % | – | – |", 100.0 * masked);
        let mut best: Vec<&Mean> = table.iter().collect();
        best.sort_by(|a, b| b.change.total_cmp(&a.change).then(order(a, b)));
        for m in best {
            let int8 =
                m.int8_change.zip(m.int8_spread).map_or_else(|| "–".into(), |(c, s)| format!("{c:+.2} ± {s:.2}"));
            let bytes = m.bytes.map_or_else(|| "–".into(), |b| format!("{b:.0}"));
            let method = if m.weights == Weights::Scratch { "–".into() } else { Contender::short(&m.method) };
            let treated = match (m.weights.trained(), m.epochs) {
                (true, 1) => format!("{}, 1 epoch", m.weights.name()),
                (true, n) => format!("{}, {n} epochs", m.weights.name()),
                (false, _) => m.weights.name().to_string(),
            };
            let _ = writeln!(
                out,
                "| {method} | {treated} | {:+.2} ± {:.2} | {int8} | {:.1} % | {bytes} | {} |",
                m.change,
                m.spread,
                100.0 * m.macs,
                m.runs
            );
        }
    }
    out
}
