//! How the components of several sources do alone and together, for the report.

use std::ops::Range;

use crate::assemble;
use crate::diag::Result;
use crate::ir::Graph;
use crate::ir::op::Op;
use crate::pipeline::joint::asked;
use crate::pipeline::{Source, score};
use crate::report;

/// Rows of scores of three networks on the same samples.
pub(super) struct Rows<'a> {
    /// The joint source.
    pub(super) source: &'a [Vec<f32>],
    /// The small network.
    pub(super) small: &'a [Vec<f32>],
    /// The program.
    pub(super) int8: &'a [Vec<i8>],
}

/// How the components do alone and together; `small` is the network cut out of the joint source.
pub(super) fn report(
    source: &Source,
    small: &Graph,
    rows: &Rows<'_>,
    truth: &[usize],
) -> Result<Option<report::Joint>> {
    if source.parts.is_empty() {
        return Ok(None);
    }
    let all = 0..asked(source);
    let count = source.parts.len();
    let places = assemble::feature_places(&source.graph, count);
    // What a last layer of all takes beside those of the components.
    let mut across = assemble::joint_layer(small, count).map_or(0, |(joint, _)| joint.weight.len());
    let components: Vec<report::Component> = source
        .parts
        .iter()
        .enumerate()
        .filter(|(_, part)| part.wanted)
        .map(|(branch, part)| {
            let place = places.get(branch).copied().unwrap_or(0);
            let alone = assemble::alone(small, count, branch, place, &part.outputs)?;
            if let Op::Dense(own) = &alone.node(alone.logits()).op {
                across = across.saturating_sub(own.weight.len());
            }
            Ok(report::Component {
                name: part.name.clone(),
                model: part.model_name.clone(),
                sha256: part.sha256.clone(),
                classes: source.case.label_names[part.outputs.clone()].to_vec(),
                macs: alone.macs(),
                params: alone.params(),
                source_alone: mean_class(rows.source, truth, &part.outputs),
                assembled_alone: mean_class(rows.small, truth, &part.outputs),
                int8_alone: mean_class(rows.int8, truth, &part.outputs),
            })
        })
        .collect::<Result<_>>()?;
    let classes = |c: &report::Component| c.classes.len() as f64;
    let alone: f64 = components.iter().map(|c| c.source_alone * classes(c)).sum();
    Ok(Some(report::Joint {
        shared_macs: components.iter().map(|c| c.macs).sum::<u64>().saturating_sub(small.macs() - across as u64),
        shared_params: components.iter().map(|c| c.params).sum::<usize>().saturating_sub(small.params() - across),
        mean_class_alone: alone / components.iter().map(classes).sum::<f64>(),
        mean_class_source: mean_class(rows.source, truth, &all),
        mean_class_f32: mean_class(rows.small, truth, &all),
        mean_class_int8: mean_class(rows.int8, truth, &all),
        components,
    }))
}

/// Mean over the classes `among` of the share of their samples whose largest score among them is their own.
fn mean_class<T: PartialOrd + Copy>(rows: &[Vec<T>], truth: &[usize], among: &Range<usize>) -> f64 {
    mean_class_among(rows, truth, among, among)
}

/// Mean over the classes `of` of the share of their samples whose largest score among `among` is their own.
pub(super) fn mean_class_among<T: PartialOrd + Copy>(
    rows: &[Vec<T>],
    truth: &[usize],
    of: &Range<usize>,
    among: &Range<usize>,
) -> f64 {
    let mut counts = vec![(0_usize, 0_usize); of.len()];
    for (row, &label) in rows.iter().zip(truth) {
        if of.contains(&label) {
            let place = label - of.start;
            let hit = score::argmax(row[among.clone()].iter().copied()) + among.start == label;
            counts[place] = (counts[place].0 + usize::from(hit), counts[place].1 + 1);
        }
    }
    let shares: f64 = counts.iter().map(|&(hits, n)| hits as f64 / n.max(1) as f64).sum();
    shares / counts.len().max(1) as f64
}
