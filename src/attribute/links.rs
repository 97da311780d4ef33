//! How much each input channel of a layer contributes to each of its output channels.
//!
//! Channel p's contribution to output q of one sample is s[q, p] = Σ over positions of its part of the
//! convolution. The sum over positions commutes with the convolution: `s[q, p] = Σ_k W[q, p, k] · U[p, k]`,
//! where `U[p, k]` sums `a_p` over the positions that tap k touches. So nothing of size `[O, I, H, W]` is ever formed. A
//! flattened channel is one channel whose taps are its positions. max(s, 0) is summed over samples.

use std::collections::BTreeMap;

use crate::device;
use crate::diag::Result;
use crate::exec::Activations;
use crate::ir::groups::{ChannelRef, Groups};
use crate::ir::op::{Op, Window};
use crate::ir::{Graph, NodeId, Shape};
use crate::library::LayerLinks;

/// Positive contributions of one layer, summed over samples.
#[derive(Clone)]
pub(super) struct LinkSums {
    /// The convolution or dense layer.
    pub node: NodeId,
    /// Input channels, each once, in order of first occurrence.
    pub from: Vec<ChannelRef>,
    /// Output channels, likewise.
    pub to: Vec<ChannelRef>,
    /// Of the class that is added up, `[to, from]`.
    pub sums: Vec<f64>,
    /// For every channel of the input tensor, its place in `from`.
    from_of: Vec<usize>,
    /// For every channel of the result, its place in `to`.
    to_of: Vec<usize>,
    /// What each output is multiplied by before anything else reads it: a batch norm that was not folded.
    scale: Vec<f32>,
}

/// The layers that make channels of their own, in graph order, without sums.
pub(super) fn layers(graph: &Graph, groups: &Groups) -> Vec<LinkSums> {
    let consumers = graph.consumers();
    let mixes = |id: &NodeId| match &graph.node(*id).op {
        Op::Conv(conv) => conv.groups == 1,
        Op::Dense(_) => true,
        _ => false,
    };
    let layer = |node: NodeId| {
        let (from, from_of) = distinct(groups.of(graph.node(node).inputs[0]));
        let (to, to_of) = distinct(groups.of(node));
        let scale = match consumers[node.index()][..] {
            [reader] => match &graph.node(reader).op {
                Op::Affine(affine) => affine.scale.iter().map(|&s| s as f32).collect(),
                _ => vec![1.0; to_of.len()],
            },
            _ => vec![1.0; to_of.len()],
        };
        LinkSums { node, from, to, sums: Vec::new(), from_of, to_of, scale }
    };
    graph.ids().filter(mixes).map(layer).collect()
}

impl LinkSums {
    /// Positive contributions in one batch, `[to, from]`.
    pub(super) fn chunk(&self, graph: &Graph, acts: &Activations<f32>) -> Vec<f64> {
        let node = graph.node(self.node);
        let input = acts.get(node.inputs[0]);
        let n = input.n;
        let (weight, taps, touched) = match &node.op {
            Op::Conv(conv) => {
                let taps = conv.window.kernel[0] * conv.window.kernel[1];
                (&conv.weight, taps, touched(&conv.window, input.shape, node.shape, &input.data, n))
            }
            Op::Dense(dense) => (&dense.weight, 1, input.data.clone()),
            _ => return vec![0.0; self.from.len() * self.to.len()],
        };
        let mut sums = vec![0.0; self.from.len() * self.to.len()];
        let mut contribution = vec![0.0f32; self.from.len() * n];
        let fan_in = self.from_of.len() * taps;
        for (q, row) in weight.chunks_exact(fan_in.max(1)).enumerate() {
            contribution.fill(0.0);
            for ((&place, weights), touched) in
                self.from_of.iter().zip(row.chunks_exact(taps)).zip(touched.chunks_exact(taps * n))
            {
                let target = &mut contribution[place * n..(place + 1) * n];
                for (&w, samples) in weights.iter().zip(touched.chunks_exact(n)) {
                    for (t, &u) in target.iter_mut().zip(samples) {
                        *t += w * u;
                    }
                }
            }
            let scale = self.scale[q];
            let first = self.to_of[q] * self.from.len();
            for (sum, samples) in sums[first..].iter_mut().zip(contribution.chunks_exact(n)) {
                *sum += samples.iter().map(|&s| f64::from((s * scale).max(0.0))).sum::<f64>();
            }
        }
        sums
    }

    /// The layer on a device.
    pub(super) fn on_device(&self, network: &device::Network) -> Result<device::Contributions> {
        network.contributions(self.node, &self.scale, &self.from_of, self.from.len())
    }

    /// Positive contributions by `[output channel, from]`, as a device gives them, by `[to, from]`.
    pub(super) fn by_place(&self, sums: &[f32]) -> Vec<f64> {
        let mut by_place = vec![0.0; self.len()];
        for (row, &to) in sums.chunks_exact(self.from.len().max(1)).zip(&self.to_of) {
            for (sum, &part) in by_place[to * self.from.len()..].iter_mut().zip(row) {
                *sum += f64::from(part);
            }
        }
        by_place
    }

    /// Numbers of one class, `to` × `from`.
    pub(super) fn len(&self) -> usize {
        self.from.len() * self.to.len()
    }

    /// Begins to add up for a class.
    pub(super) fn begin(&mut self) {
        self.sums.clear();
        self.sums.resize(self.len(), 0.0);
    }

    /// Adds one batch: as many of `part` as there are links.
    pub(super) fn add<'a>(&mut self, part: impl Iterator<Item = &'a f64>) {
        for (sum, &part) in self.sums.iter_mut().zip(part) {
            *sum += part;
        }
    }

    /// Each input's share of each output's total.
    pub(super) fn shares(&self) -> Vec<f32> {
        let mut shares = Vec::with_capacity(self.sums.len());
        for row in self.sums.chunks_exact(self.from.len().max(1)) {
            let total: f64 = row.iter().sum();
            shares.extend(row.iter().map(|&s| if total > 0.0 { (s / total) as f32 } else { 0.0 }));
        }
        shares
    }

    /// The layer's table, with the shares of every class.
    pub(super) fn finish(self, graph: &Graph, shares: Vec<Vec<f32>>) -> LayerLinks {
        LayerLinks { layer: graph.node(self.node).name.clone(), from: self.from, to: self.to, shares }
    }
}

/// The distinct channels in order of first occurrence, and each channel's place among them.
fn distinct(channels: &[ChannelRef]) -> (Vec<ChannelRef>, Vec<usize>) {
    let mut places = BTreeMap::new();
    let mut found = Vec::new();
    let place_of = channels
        .iter()
        .map(|&channel| {
            *places.entry(channel).or_insert_with(|| {
                found.push(channel);
                found.len() - 1
            })
        })
        .collect();
    (found, place_of)
}

/// `[C, KH·KW, N]`: the sum of each channel over the positions that each tap touches.
fn touched(window: &Window, input: Shape, out: Shape, data: &[f32], n: usize) -> Vec<f32> {
    let [kh, kw] = window.kernel;
    let sources = |axis: usize, k: usize, size: usize, outs: usize| -> Vec<usize> {
        (0..outs).filter_map(|o| window.source(axis, o, k, size)).collect()
    };
    let rows: Vec<Vec<usize>> = (0..kh).map(|k| sources(0, k, input.h, out.h)).collect();
    let columns: Vec<Vec<usize>> = (0..kw).map(|k| sources(1, k, input.w, out.w)).collect();
    let mut sums = vec![0.0; input.c * kh * kw * n];
    let mut by_row = vec![0.0f32; input.h * kw];
    for (plane_index, plane) in data.chunks_exact(input.plane()).enumerate() {
        let (c, s) = (plane_index / n, plane_index % n);
        for (row, values) in plane.chunks_exact(input.w).enumerate() {
            for (kx, columns) in columns.iter().enumerate() {
                by_row[row * kw + kx] = columns.iter().map(|&x| values[x]).sum();
            }
        }
        for (ky, rows) in rows.iter().enumerate() {
            for kx in 0..kw {
                let sum = rows.iter().map(|&y| by_row[y * kw + kx]).sum();
                sums[((c * kh + ky) * kw + kx) * n + s] = sum;
            }
        }
    }
    sums
}
