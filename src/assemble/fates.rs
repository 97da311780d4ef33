//! What becomes of every node when whole groups go.
//!
//! In: a source graph and the channels that each of its nodes keeps, possibly none. Out: a [`Fate`] for each node.
//!
//! A node without channels is gone, and concatenations do without it. A layer that reads nothing gives its bias
//! everywhere: a constant for each channel. Activations and affine maps of constants are constants; added to a
//! residual stream, or multiplied into it by a gate, they are an affine map. So a residual block, a squeeze-excite
//! gate or a branch of a concat vanishes exactly. Constants that anything else reads are a dead end: what
//! depends on no input any more has to go as a whole, which [`settle`] sees to.

use crate::assemble::keep::Kept;
use crate::diag::{Diag, Result};
use crate::ir::groups::{GroupKind, Groups};
use crate::ir::op::{Affine, Op};
use crate::ir::{Graph, NodeId};
use crate::route::Route;

/// What becomes of a node.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fate {
    /// It stays, without the operands that are gone.
    Stays,
    /// No channel of it is left.
    Gone,
    /// It gives these values, one per kept channel, at every position of every input.
    Constant(Vec<f32>),
    /// It is the same as that node.
    Same(NodeId),
    /// It maps that node.
    Maps(NodeId, Affine),
}

/// Decides for every node, or says what is in the way.
pub(super) fn fates(graph: &Graph, kept: &Kept) -> Result<Vec<Fate>> {
    let mut fates: Vec<Fate> = Vec::with_capacity(graph.nodes.len());
    for id in graph.ids() {
        let fate = fate(graph, kept, id, &fates)?;
        fates.push(fate);
    }
    match &fates[graph.logits().index()] {
        Fate::Stays => Ok(fates),
        _ => dead_end(graph, graph.logits()),
    }
}

fn fate(graph: &Graph, kept: &Kept, id: NodeId, fates: &[Fate]) -> Result<Fate> {
    let node = graph.node(id);
    let channels = kept.of(id);
    if channels.is_empty() {
        return Ok(Fate::Gone);
    }
    let input = |k: usize| &fates[node.inputs[k].index()];
    let constant = |k: usize| match input(k) {
        Fate::Constant(values) => Some(values),
        _ => None,
    };
    let pick = |bias: &[f32]| Fate::Constant(channels.iter().map(|&c| bias[c as usize]).collect());
    let each = |f: &dyn Fn(f32) -> f32| Fate::Constant(constant(0).into_iter().flatten().map(|&v| f(v)).collect());
    let any_constant = (0..node.inputs.len()).any(|k| constant(k).is_some());
    Ok(match &node.op {
        Op::Conv(conv) if *input(0) == Fate::Gone => pick(&conv.bias),
        Op::Dense(dense) if *input(0) == Fate::Gone => pick(&dense.bias),
        Op::Concat => {
            let left: Vec<NodeId> = node.inputs.iter().copied().filter(|i| fates[i.index()] != Fate::Gone).collect();
            match left[..] {
                _ if any_constant => return dead_end(graph, id),
                [only] if node.inputs.len() > 1 => Fate::Same(only),
                _ => Fate::Stays,
            }
        }
        _ if !any_constant => Fate::Stays,
        Op::Relu => each(&|v| v.max(0.0)),
        Op::Clip(clip) => each(&|v| v.max(clip.lo).min(clip.hi)),
        Op::LeakyRelu(leaky) => each(&|v| if v > 0.0 { v } else { leaky.alpha * v }),
        Op::Sigmoid => each(&|v| 1.0 / (1.0 + (-v).exp())),
        Op::HardSigmoid(hard) => each(&|v| (hard.alpha * v + hard.beta).clamp(0.0, 1.0)),
        Op::GlobalAvgPool => each(&|v| v),
        Op::Affine(Affine { scale, shift }) => {
            let values = constant(0).into_iter().flatten().zip(channels);
            let map = |(&v, &c): (&f32, &u32)| (f64::from(v) * scale[c as usize] + shift[c as usize]) as f32;
            Fate::Constant(values.map(map).collect())
        }
        Op::Add => match (constant(0), constant(1)) {
            (Some(a), Some(b)) => Fate::Constant(a.iter().zip(b).map(|(a, b)| a + b).collect()),
            (Some(values), None) => Fate::Maps(node.inputs[1], shift_by(values)),
            (None, Some(values)) => Fate::Maps(node.inputs[0], shift_by(values)),
            (None, None) => Fate::Stays,
        },
        Op::Gate => match (constant(0), constant(1)) {
            (None, Some(values)) => {
                let scale = values.iter().map(|&v| f64::from(v)).collect();
                Fate::Maps(node.inputs[0], Affine { scale, shift: vec![0.0; channels.len()] })
            }
            _ => return dead_end(graph, id),
        },
        Op::Input
        | Op::Conv(_)
        | Op::Dense(_)
        | Op::HardSwish
        | Op::MaxPool(_)
        | Op::AvgPool(_)
        | Op::Flatten
        | Op::Pad(_)
        | Op::Adapt(_)
        | Op::Softmax => return dead_end(graph, id),
    })
}

fn shift_by(values: &[f32]) -> Affine {
    Affine { scale: vec![1.0; values.len()], shift: values.iter().map(|&v| f64::from(v)).collect() }
}

fn dead_end<T>(graph: &Graph, id: NodeId) -> Result<T> {
    Diag::new("assemble/dead-end", "the route leaves nothing for a layer to depend on")
        .at(&graph.node(id).name)
        .help("keep at least one channel of the groups before it")
        .err()
}

/// Nodes that the output needs.
pub(super) fn live(graph: &Graph, fates: &[Fate]) -> Vec<bool> {
    let mut live = vec![false; graph.nodes.len()];
    live[graph.input().index()] = true;
    live[graph.output.index()] = true;
    for id in graph.ids().rev().filter(|id| id.index() > 0) {
        if !live[id.index()] {
            continue;
        }
        let needs = match &fates[id.index()] {
            Fate::Stays => graph.node(id).inputs.clone(),
            Fate::Same(other) | Fate::Maps(other, _) => vec![*other],
            Fate::Gone | Fate::Constant(_) => Vec::new(),
        };
        for input in needs {
            live[input.index()] |= !matches!(fates[input.index()], Fate::Gone | Fate::Constant(_));
        }
    }
    live
}

/// Empties the groups of `keep` that go with groups that are empty already: those whose layers read nothing any more,
/// and those that nothing reads any more. Masks without empty groups stay as they are.
pub fn settle(source: &Graph, groups: &Groups, keep: &mut [Vec<bool>]) -> Result<()> {
    let hidden = |g: usize| groups.groups[g].kind == GroupKind::Hidden;
    if (0..keep.len()).all(|g| !hidden(g) || keep[g].contains(&true)) {
        return Ok(());
    }
    let classes: Vec<usize> = (0..source.classes()).collect();
    loop {
        let route = Route::from_masks(groups, keep.to_vec())?;
        let kept = Kept::new(source, groups, &route, &classes);
        // Before everything that hangs on them is empty too, groups may lead to dead ends: layers one by one.
        let reads_nothing = |layer: &NodeId| match &source.node(*layer).op {
            Op::Conv(conv) if conv.groups > 1 => true,
            _ => source.node(*layer).inputs.iter().all(|i| kept.of(*i).is_empty()),
        };
        let starved = |g: usize| groups.groups[g].producers.iter().all(reads_nothing);
        let next = (0..keep.len()).find(|&g| hidden(g) && keep[g].contains(&true) && starved(g));
        let next = if next.is_some() {
            next
        } else {
            let live = live(source, &fates(source, &kept)?);
            let unread = |g: usize| !groups.groups[g].members.iter().any(|m| live[m.index()]);
            (0..keep.len()).find(|&g| hidden(g) && keep[g].contains(&true) && unread(g))
        };
        let Some(group) = next else { return Ok(()) };
        keep[group].fill(false);
    }
}

/// Which groups may lose all their channels, with all others whole.
pub fn may_vanish(source: &Graph, groups: &Groups) -> Vec<bool> {
    let alone = |g: usize| {
        let mut keep = Route::whole(groups).keep;
        keep[g].fill(false);
        groups.groups[g].kind == GroupKind::Hidden && settle(source, groups, &mut keep).is_ok()
    };
    (0..groups.groups.len()).map(alone).collect()
}
