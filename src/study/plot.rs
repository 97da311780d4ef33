//! Accuracy against multiply-accumulates and against bytes, as SVG: one picture a case.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::study::{Contender, Mean, Weights};

/// A panel's size and margins, in pixels.
const PANEL: [f64; 2] = [360.0, 260.0];
const LEFT: f64 = 56.0;
const TOP: f64 = 34.0;
const GAP: f64 = 70.0;

/// Colours that stay apart for most kinds of colour blindness.
const COLOURS: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#999999"];

/// Points below this many under the masked source are not drawn: they would flatten everything else.
const LOWEST: f64 = -25.0;

/// One method with one treatment of the weights: `(x, points, spread)` by rising x.
struct Line<'a> {
    name: String,
    points: Vec<(&'a Mean, f64, f64, f64)>,
}

/// One picture for each case and split with at least one drawable point, by name. Networks as sliced are left out.
pub(super) fn plots(means: &[Mean]) -> Vec<(String, String)> {
    let mut cases: BTreeMap<(String, String), Vec<&Mean>> = BTreeMap::new();
    for mean in means.iter().filter(|m| m.weights != Weights::Sliced && m.case != "all cases") {
        cases.entry((mean.case.clone(), mean.split.clone())).or_default().push(mean);
    }
    let drawn = cases.into_iter().filter_map(|((case, split), means)| {
        let name = if split == "test" { case.clone() } else { format!("{case}-{split}") };
        Some((name, picture(&format!("{case}, {split}"), &means)?))
    });
    drawn.collect()
}

fn lines<'a>(means: &[&'a Mean], x: &dyn Fn(&Mean) -> Option<f64>) -> Vec<Line<'a>> {
    let mut lines: BTreeMap<(Weights, usize, String), Line<'a>> = BTreeMap::new();
    for &mean in means {
        let (change, spread) = match (mean.int8_change, mean.int8_spread) {
            (Some(change), Some(spread)) => (change, spread),
            _ => (mean.change, mean.spread),
        };
        let Some(x) = x(mean).filter(|_| change >= LOWEST) else { continue };
        let method = if mean.weights == Weights::Scratch { String::new() } else { Contender::short(&mean.method) };
        let name = format!("{method} {}", mean.weights.name()).trim().to_string();
        let line = lines.entry((mean.weights, mean.epochs, method));
        line.or_insert_with(|| Line { name, points: Vec::new() }).points.push((mean, x, change, spread));
    }
    let mut lines: Vec<Line<'a>> = lines.into_values().collect();
    for line in &mut lines {
        line.points.sort_by(|a, b| a.1.total_cmp(&b.1));
    }
    lines
}

/// `None` where there is no point to draw.
fn picture(title: &str, means: &[&Mean]) -> Option<String> {
    let by_macs = lines(means, &|m| Some(100.0 * m.macs));
    if by_macs.is_empty() {
        return None;
    }
    let by_bytes = lines(means, &|m| m.bytes.map(|b| b / 1024.0));
    let width = LEFT + 2.0 * PANEL[0] + GAP + 20.0;
    let legend = TOP + PANEL[1] + 52.0;
    let height = legend + 18.0 * by_macs.len().div_ceil(2) as f64 + 8.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{}: points of accuracy against the masked source</text>\n",
        escaped(title)
    );
    panel(&mut out, LEFT, "MACs, % of the source's", &by_macs);
    panel(&mut out, LEFT + PANEL[0] + GAP, "int8 weights and tables, KiB", &by_bytes);
    for (i, line) in by_macs.iter().enumerate() {
        let (x, y) = (LEFT + (i % 2) as f64 * (PANEL[0] + GAP), legend + (i / 2) as f64 * 18.0);
        let _ = writeln!(
            out,
            "<line x1=\"{x}\" y1=\"{y}\" x2=\"{}\" y2=\"{y}\" stroke=\"{}\" stroke-width=\"2\"{}/>\
             <text x=\"{}\" y=\"{}\">{}</text>",
            x + 24.0,
            colour(i),
            dashes(i),
            x + 30.0,
            y + 4.0,
            escaped(&line.name)
        );
    }
    out.push_str("</svg>\n");
    Some(out)
}

fn panel(out: &mut String, left: f64, label: &str, lines: &[Line<'_>]) {
    let all = || lines.iter().flat_map(|line| &line.points);
    let most = all().map(|p| p.1).fold(0.0, f64::max) * 1.05;
    if most <= 0.0 {
        return;
    }
    let low = all().map(|p| p.2 - p.3).fold(-1.0, f64::min).max(LOWEST).floor();
    let high = all().map(|p| p.2 + p.3).fold(0.5, f64::max).ceil();
    let x = |value: f64| left + PANEL[0] * value / most;
    let y = |value: f64| TOP + PANEL[1] * (high - value.clamp(low, high)) / (high - low);
    let (bottom, right) = (TOP + PANEL[1], left + PANEL[0]);
    for tick in ticks(low, high) {
        let at = y(tick);
        let stroke = if tick.abs() < 1e-9 { "#666" } else { "#ddd" };
        let _ = writeln!(
            out,
            "<line x1=\"{left}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"{stroke}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{tick}</text>",
            left - 6.0,
            at + 4.0
        );
    }
    for tick in ticks(0.0, most) {
        let at = x(tick);
        let _ = writeln!(
            out,
            "<line x1=\"{at:.1}\" y1=\"{bottom}\" x2=\"{at:.1}\" y2=\"{}\" stroke=\"#666\"/>\
             <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{tick}</text>",
            bottom + 4.0,
            bottom + 17.0
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
        f64::midpoint(left, right),
        bottom + 34.0
    );
    for (i, line) in lines.iter().enumerate() {
        let at: Vec<String> = line.points.iter().map(|p| format!("{:.1},{:.1}", x(p.1), y(p.2))).collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\"{}/>",
            at.join(" "),
            colour(i),
            dashes(i)
        );
        for &(mean, value, change, spread) in &line.points {
            let _ = writeln!(
                out,
                "<line x1=\"{0:.1}\" y1=\"{1:.1}\" x2=\"{0:.1}\" y2=\"{2:.1}\" stroke=\"{3}\" opacity=\"0.35\"/>\
                 <circle cx=\"{0:.1}\" cy=\"{4:.1}\" r=\"3\" fill=\"{3}\"><title>{5}: {change:+.2} points</title></circle>",
                x(value),
                y(change - spread),
                y(change + spread),
                colour(i),
                y(change),
                escaped(&format!("{}, {}", line.name, mean.budget))
            );
        }
    }
}

/// Three to seven round numbers.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let rough = (high - low) / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= rough).unwrap_or(rough);
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    (first..=last).map(|k| (k as f64 * step * 1e6).round() / 1e6).collect()
}

fn colour(i: usize) -> &'static str {
    COLOURS[i % COLOURS.len()]
}

/// Beyond the colours, lines are broken.
fn dashes(i: usize) -> &'static str {
    if i < COLOURS.len() { "" } else { " stroke-dasharray=\"5 3\"" }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
