//! What `fratc components` prints, and the routes as a figure.

use std::fmt;
use std::fmt::Write as _;

use serde::Serialize;

use super::text::{grouped, percent};

/// The classes of a source, each as a part of its own.
#[derive(Debug, Clone, Serialize)]
pub struct Components {
    /// Layout version.
    pub schema: u32,
    /// File name of the source model.
    pub model: String,
    /// Attribution method.
    pub method: String,
    /// A channel is on a class's route if its score is at least this share of the largest in its group.
    pub threshold: f64,
    /// Multiply-accumulates of the source.
    pub source_macs: u64,
    /// Weights and biases of the source.
    pub source_params: usize,
    /// The set that classes would be added to; empty for none.
    pub to: Vec<String>,
    /// In the order asked for.
    pub classes: Vec<ClassPart>,
    /// Per channel group, the channels of each class.
    pub routes: Vec<RouteStrip>,
}

/// One class.
#[derive(Debug, Clone, Serialize)]
pub struct ClassPart {
    /// Its name.
    pub name: String,
    /// Multiply-accumulates of its route alone.
    pub macs: u64,
    /// Weights and biases of its route alone.
    pub params: usize,
    /// With each class in order: channels that both routes hold over channels that either holds, 0 to 1.
    pub overlap: Vec<f64>,
    /// Multiply-accumulates and parameters that it would add to the set; `null` without a set, or inside it.
    pub adds: Option<[u64; 2]>,
}

/// One channel group.
#[derive(Debug, Clone, Serialize)]
pub struct RouteStrip {
    /// Its name.
    pub group: String,
    /// Channels of the source.
    pub channels: usize,
    /// For each class, the channels on its route, ascending.
    pub kept: Vec<Vec<u32>>,
}

impl fmt::Display for Components {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} MACs, {} parameters; routes of channels with {} of the largest score, by {}",
            self.model,
            grouped(self.source_macs),
            grouped(self.source_params as u64),
            percent(self.threshold),
            self.method
        )?;
        let width = self.classes.iter().map(|c| c.name.chars().count()).max().unwrap_or(0).max(5);
        write!(f, "{:width$}  {:>12}  {:>9}", "class", "MACs alone", "params")?;
        if !self.to.is_empty() {
            write!(f, "  {:>12}  {:>9}", "adds MACs", "params")?;
        }
        writeln!(f, "  most like")?;
        for (i, class) in self.classes.iter().enumerate() {
            let (macs, params) = (grouped(class.macs), grouped(class.params as u64));
            write!(f, "{:width$}  {macs:>12}  {params:>9}", class.name)?;
            if !self.to.is_empty() {
                let [macs, params] = class.adds.map_or_else(|| ["in it".into(), String::new()], |a| a.map(grouped));
                write!(f, "  {macs:>12}  {params:>9}")?;
            }
            let others = class.overlap.iter().enumerate().filter(|(k, _)| *k != i);
            match others.max_by(|a, b| a.1.total_cmp(b.1)) {
                Some((k, share)) => writeln!(f, "  {} ({} of channels)", self.classes[k].name, percent(*share))?,
                None => writeln!(f)?,
            }
        }
        if !self.to.is_empty() {
            writeln!(f, "added to {}", self.to.join(", "))?;
        }
        Ok(())
    }
}

/// Pixels per channel, per row, and around a row's text.
const CHANNEL: usize = 4;
const ROW: usize = 18;
const LABEL: usize = 120;
const GAP: usize = 10;

/// Classes × groups × channels as SVG: a channel on the route of one class alone is orange, one that several share blue,
/// the darker the more of them.
pub fn routes_svg(components: &Components) -> String {
    let classes = components.classes.len();
    let body: usize = components.routes.iter().map(|r| r.channels * CHANNEL + GAP).sum();
    let (width, height) = (LABEL + body, ROW * (classes + 2));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"11\">\n<title>Routes of the classes of {}: orange for one class alone, blue for shared</title>\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n",
        escaped(&components.model)
    );
    for (k, class) in components.classes.iter().enumerate() {
        let y = ROW * (k + 1) + 13;
        let _ = writeln!(svg, "<text x=\"4\" y=\"{y}\">{}</text>", escaped(&class.name));
    }
    let mut x = LABEL;
    for (i, strip) in components.routes.iter().enumerate() {
        let y = if i % 2 == 0 { 13 } else { ROW * (classes + 1) + 13 };
        let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\">{}</text>", escaped(&strip.group));
        let mut users = vec![0_usize; strip.channels];
        strip.kept.iter().flatten().for_each(|&c| users[c as usize] += 1);
        for (k, kept) in strip.kept.iter().enumerate() {
            let top = ROW * (k + 1) + 2;
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"{top}\" width=\"{}\" height=\"{}\" fill=\"#eee\"/>",
                strip.channels * CHANNEL,
                ROW - 4
            );
            for &channel in kept {
                let at = x + channel as usize * CHANNEL;
                let _ = writeln!(
                    svg,
                    "<rect x=\"{at}\" y=\"{top}\" width=\"{CHANNEL}\" height=\"{}\" fill=\"{}\"/>",
                    ROW - 4,
                    color(users[channel as usize], classes)
                );
            }
        }
        x += strip.channels * CHANNEL + GAP;
    }
    svg.push_str("</svg>\n");
    svg
}

/// Orange for one user, light to dark blue for two to all.
fn color(users: usize, classes: usize) -> String {
    if users < 2 {
        return "#e8730c".into();
    }
    let light = 190 - 150 * (users - 2) / classes.saturating_sub(2).max(1);
    format!("#{:02x}{:02x}c8", light.min(255) / 2, light.min(255))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
