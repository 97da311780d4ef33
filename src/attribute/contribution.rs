//! Positive contributions, thresholded and walked back from the head.
//!
//! The published revision's rule on our channel groups: r[q, p] is the min-max of input p's positive
//! contribution to output q over all p; p is a part of q if r exceeds a threshold; p's vote is the number of
//! relevant outputs it is a part of; and p is itself relevant if the min-max of its vote exceeds another.
//! Votes of all readers of a group are added.

use crate::attribute::links::LinkSums;
use crate::ir::Graph;
use crate::ir::groups::{GroupKind, Groups};
use crate::ir::op::Op;

/// Thresholds on contributions and on votes, as published: convolutions, then dense layers.
const CONV: (f64, f64) = (0.3, 0.2);
const DENSE: (f64, f64) = (0.4, 0.3);

/// Keeps the min-max of a constant row finite, as published.
const EPSILON: f64 = 1e-5;

/// Weight of the contribution itself beside a whole vote: it only orders channels with equal votes.
const TIE: f64 = 1e-6;

/// Votes of `class`, whose sums `links` hold, per group, per channel.
pub(super) fn scores(graph: &Graph, groups: &Groups, links: &[LinkSums], class: usize) -> Vec<Vec<f64>> {
    let mut votes: Vec<Vec<f64>> = groups.groups.iter().map(|g| vec![0.0; g.channels]).collect();
    let head = groups.of(graph.logits())[class];
    votes[head.group.index()][head.index as usize] = 1.0;
    for layer in links.iter().rev() {
        let (alpha, beta) = if matches!(graph.node(layer.node).op, Op::Dense(_)) { DENSE } else { CONV };
        let rows = layer.sums.chunks_exact(layer.from.len().max(1));
        let relevant: Vec<bool> = layer
            .to
            .iter()
            .map(|to| {
                let vote = votes[to.group.index()][to.index as usize];
                let (low, high) = range(&votes[to.group.index()]);
                vote > 0.0 && ((vote - low) / (high - low + EPSILON) > beta || high - low < EPSILON)
            })
            .collect();
        for (row, _) in rows.zip(&relevant).filter(|(_, relevant)| **relevant) {
            let (low, high) = range(row);
            for (&s, from) in row.iter().zip(&layer.from) {
                let r = (s - low) / (high - low + EPSILON);
                let vote = if r > alpha { 1.0 } else { 0.0 };
                votes[from.group.index()][from.index as usize] += vote + TIE * r;
            }
        }
    }
    for (votes, group) in votes.iter_mut().zip(&groups.groups) {
        if group.kind != GroupKind::Hidden {
            votes.fill(0.0);
        }
    }
    votes
}

fn range(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)))
}
