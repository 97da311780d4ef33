//! Channel groups: which channels of which tensors must be kept or dropped together.
//!
//! In: a verified [`Graph`]. Out: [`Groups`], where every output channel of every node (every feature, after
//! [`Op::Flatten`]) refers to one channel of one group. Guaranteed:
//!
//! - dropping channel `i` of a group everywhere it occurs leaves a graph whose shapes still fit;
//! - a group that keeps at least one channel leaves no tensor empty: every tensor that holds one channel of a
//!   group holds all of them;
//! - groups and their channels are in the order in which the graph first makes them.
//!
//! Channels are tied by a union-find over all channels of all nodes. Convolutions and dense layers make fresh
//! channels. Activations, pooling, padding, [`Op::Affine`] and softmax pass channels through; [`Op::Add`] ties
//! its operands and [`Op::Gate`] the gate to the features; [`Op::Concat`] puts the inputs side by side, each
//! channel keeping its identity; [`Op::Flatten`] repeats a channel for each of its positions. A convolution
//! with several groups ties all inputs and all outputs of one of its groups: it loses whole groups or nothing.
//! So a depthwise convolution ties out to in, with a multiplier `m` its outputs `c·m..(c+1)·m` to input `c`.
//!
//! Tied channels then form bundles by the layers that make them: two channels share a group if the same
//! layers make both. An add over a concat of two layers therefore gives two groups, not one.

use std::collections::BTreeMap;

use crate::ir::op::Op;
use crate::ir::{Graph, Node, NodeId};

/// Index of a group in [`Groups::groups`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct GroupId(pub u32);

impl GroupId {
    /// As a slice index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Whether a group may be cut, and by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupKind {
    /// Tied to the raw input channels: never cut.
    Input,
    /// Cut by the route.
    Hidden,
    /// Tied to the logits: cut to the class set, never by the route.
    Head,
    /// Part of a component that stays as it is: never cut. [`channel_groups`] knows no such groups, [`Groups::freeze`]
    /// makes them.
    Frozen,
}

/// Channels that are decided on together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The first layer (or input) that makes its channels; `name#2` if an earlier group has that name.
    pub name: String,
    /// Who may cut it.
    pub kind: GroupKind,
    /// Channels to decide on. A tensor may hold one of them several times (flatten, grouped convolutions).
    pub channels: usize,
    /// Convolutions and dense layers that make channels of this group, depthwise ones included; graph order.
    pub producers: Vec<NodeId>,
    /// Every node whose result holds channels of this group; graph order.
    pub members: Vec<NodeId>,
}

/// One channel of one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct ChannelRef {
    /// The group.
    pub group: GroupId,
    /// Channel inside the group.
    pub index: u32,
}

/// All channel groups of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    /// The groups, in order of first occurrence.
    pub groups: Vec<Group>,
    /// For every node, what each of its output channels (after [`Op::Flatten`]: features) refers to.
    pub map: Vec<Vec<ChannelRef>>,
    /// The graph's logits: the node whose channels are the classes.
    pub logits: NodeId,
}

impl Groups {
    /// The group `id`.
    pub fn group(&self, id: GroupId) -> &Group {
        &self.groups[id.index()]
    }

    /// Every id, in order.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = GroupId> + use<> {
        (0..self.groups.len() as u32).map(GroupId)
    }

    /// Says that every hidden group that one of the first `nodes` nodes holds is never to be cut.
    pub fn freeze(&mut self, nodes: usize) {
        for group in &mut self.groups {
            if group.kind == GroupKind::Hidden && group.members.iter().any(|m| m.index() < nodes) {
                group.kind = GroupKind::Frozen;
            }
        }
    }

    /// What the output channels of `node` refer to.
    pub fn of(&self, node: NodeId) -> &[ChannelRef] {
        &self.map[node.index()]
    }

    /// The logits' group, if slicing alone can cut the logits to any classes in any order: each of its tensors
    /// holds each class once and no layer reads them. Otherwise classes must be picked from the whole logits.
    pub fn sliceable_head(&self, graph: &Graph) -> Option<GroupId> {
        let id = self.of(self.logits).first()?.group;
        let group = self.group(id);
        let holds_each_once = |node: NodeId| {
            let mut seen = vec![false; group.channels];
            self.of(node).len() == group.channels
                && self.of(node).iter().all(|c| c.group == id && !std::mem::replace(&mut seen[c.index as usize], true))
        };
        let reads_head = |node: &Node| node.inputs.iter().any(|&i| self.of(i).iter().any(|c| c.group == id));
        let sliceable = group.kind == GroupKind::Head
            && group.members.iter().all(|&m| holds_each_once(m))
            && !graph.nodes.iter().any(|node| makes_channels(&node.op) && reads_head(node));
        sliceable.then_some(id)
    }
}

/// Whether an operation's output channels are its own, not tied to its inputs'.
fn makes_channels(op: &Op) -> bool {
    match op {
        Op::Input | Op::Dense(_) => true,
        Op::Conv(conv) => conv.groups == 1,
        Op::Adapt(adapt) => adapt.grey,
        Op::Affine(_)
        | Op::Relu
        | Op::Clip(_)
        | Op::LeakyRelu(_)
        | Op::Sigmoid
        | Op::HardSigmoid(_)
        | Op::HardSwish
        | Op::Add
        | Op::Gate
        | Op::Concat
        | Op::MaxPool(_)
        | Op::AvgPool(_)
        | Op::GlobalAvgPool
        | Op::Flatten
        | Op::Pad(_)
        | Op::Softmax => false,
    }
}

/// Finds the channel groups of a verified graph.
pub fn channel_groups(graph: &Graph) -> Groups {
    let mut first = Vec::with_capacity(graph.nodes.len() + 1);
    first.push(0);
    for node in &graph.nodes {
        first.push(first[first.len() - 1] + node.shape.c);
    }
    let mut ties = Ties::new(first[graph.nodes.len()]);
    for id in graph.ids() {
        tie_node(graph, id, &first, &mut ties);
    }
    bundle(graph, &first, &mut ties)
}

/// Ties the output channels of `id` to those of its inputs.
fn tie_node(graph: &Graph, id: NodeId, first: &[usize], ties: &mut Ties) {
    let node = graph.node(id);
    let out = first[id.index()];
    let input = |k: usize| first[node.inputs[k].index()];
    match &node.op {
        Op::Input | Op::Dense(_) => {}
        Op::Adapt(adapt) => {
            if !adapt.grey {
                (0..node.shape.c).for_each(|c| ties.join(input(0) + c, out + c));
            }
        }
        Op::Conv(conv) => {
            if conv.groups > 1 {
                let (per_in, per_out) = (conv.in_channels / conv.groups, conv.out_channels / conv.groups);
                for g in 0..conv.groups {
                    let anchor = input(0) + g * per_in;
                    (0..per_in).for_each(|i| ties.join(anchor, anchor + i));
                    (0..per_out).for_each(|o| ties.join(anchor, out + g * per_out + o));
                }
            }
        }
        Op::Affine(_)
        | Op::Relu
        | Op::Clip(_)
        | Op::LeakyRelu(_)
        | Op::Sigmoid
        | Op::HardSigmoid(_)
        | Op::HardSwish
        | Op::Add
        | Op::Gate
        | Op::MaxPool(_)
        | Op::AvgPool(_)
        | Op::GlobalAvgPool
        | Op::Pad(_)
        | Op::Softmax => {
            for k in 0..node.inputs.len() {
                (0..node.shape.c).for_each(|c| ties.join(input(k) + c, out + c));
            }
        }
        Op::Concat => {
            let mut offset = out;
            for k in 0..node.inputs.len() {
                let channels = graph.shape(node.inputs[k]).c;
                (0..channels).for_each(|c| ties.join(input(k) + c, offset + c));
                offset += channels;
            }
        }
        Op::Flatten => {
            let plane = graph.shape(node.inputs[0]).plane();
            (0..node.shape.c).for_each(|f| ties.join(input(0) + f / plane, out + f));
        }
    }
}

/// Collects tied channels that the same layers make into groups.
fn bundle(graph: &Graph, first: &[usize], ties: &mut Ties) -> Groups {
    // The layers that make each set of tied channels, by the set's root.
    let mut makers: BTreeMap<usize, Vec<NodeId>> = BTreeMap::new();
    for id in graph.ids() {
        if makes_channels(&graph.node(id).op) {
            for unit in first[id.index()]..first[id.index() + 1] {
                let layers = makers.entry(ties.root(unit)).or_default();
                if layers.last() != Some(&id) {
                    layers.push(id);
                }
            }
        }
    }
    let mut by_makers: BTreeMap<&[NodeId], GroupId> = BTreeMap::new();
    let mut channel_of: BTreeMap<usize, ChannelRef> = BTreeMap::new();
    let mut groups: Vec<Group> = Vec::new();
    let mut map = Vec::with_capacity(graph.nodes.len());
    for id in graph.ids() {
        let node = graph.node(id);
        let mut refs = Vec::with_capacity(node.shape.c);
        for unit in first[id.index()]..first[id.index() + 1] {
            let root = ties.root(unit);
            let channel = *channel_of.entry(root).or_insert_with(|| {
                let layers: &[NodeId] = makers.get(&root).map_or(&[], Vec::as_slice);
                let group = *by_makers.entry(layers).or_insert_with(|| {
                    groups.push(Group {
                        name: unique_name(&groups, &node.name),
                        kind: GroupKind::Hidden,
                        channels: 0,
                        producers: Vec::new(),
                        members: Vec::new(),
                    });
                    GroupId(groups.len() as u32 - 1)
                });
                let entry = &mut groups[group.index()];
                entry.channels += 1;
                ChannelRef { group, index: entry.channels as u32 - 1 }
            });
            refs.push(channel);
            let entry = &mut groups[channel.group.index()];
            if entry.members.last() != Some(&id) {
                entry.members.push(id);
                if matches!(node.op, Op::Conv(_) | Op::Dense(_)) {
                    entry.producers.push(id);
                }
            }
        }
        map.push(refs);
    }
    for channel in &map[graph.logits().index()] {
        groups[channel.group.index()].kind = GroupKind::Head;
    }
    for channel in &map[graph.input().index()] {
        groups[channel.group.index()].kind = GroupKind::Input;
    }
    // Grey is still the input, though none of its channels.
    for (node, channels) in graph.nodes.iter().zip(&map) {
        if matches!(node.op, Op::Adapt(_)) {
            for channel in channels {
                groups[channel.group.index()].kind = GroupKind::Input;
            }
        }
    }
    Groups { groups, map, logits: graph.logits() }
}

fn unique_name(groups: &[Group], base: &str) -> String {
    let taken = |name: &str| groups.iter().any(|g| g.name == name);
    if !taken(base) {
        return base.to_string();
    }
    let mut n = 2;
    while taken(&format!("{base}#{n}")) {
        n += 1;
    }
    format!("{base}#{n}")
}

/// Union-find; the root of a set is its first channel.
struct Ties(Vec<usize>);

impl Ties {
    fn new(n: usize) -> Self {
        Self((0..n).collect())
    }

    fn root(&mut self, mut unit: usize) -> usize {
        while self.0[unit] != unit {
            self.0[unit] = self.0[self.0[unit]];
            unit = self.0[unit];
        }
        unit
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        let (low, high) = (a.min(b), a.max(b));
        self.0[high] = low;
    }
}
