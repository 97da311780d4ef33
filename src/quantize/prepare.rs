//! Rewrites the float graph into what the int8 program has layers for.
//!
//! In: a simplified graph (batch norm folded where it can be) and the input map. Out: an equal graph without
//! softmax, borders of zeros, or affine nodes but views of the input, in which only convolutions and dense layers read the
//! raw input. A view is an affine on the raw input: what one of several branches takes the input for. Its readers fold
//! it, each branch its own, and nothing is stored for it.
//!
//! Order, and why: softmax goes first, because it changes no arg-max and nothing else may end the network;
//! an affine that alone reads the input joins the input map; zero borders move into the windows that read them, so that
//! they do not become layers; what is left of affines and zero borders becomes a depthwise 1×1 convolution;
//! readers of the raw input that cannot fold it get such a convolution in front; last, a flatten of a map whose readers
//! do not know the order of device memory is found out: it moves its values, all others cost nothing.

use crate::diag::{Diag, Result};
use crate::ir::op::{Affine, Conv, Op, Pad, Window};
use crate::ir::{Graph, Node, NodeId};
use crate::quantize::fold_input::InputMap;
use crate::quantize::lookup::function;

/// A graph ready to be lowered.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Prepared {
    /// Without softmax, zero borders, and affines other than views of the input.
    pub graph: Graph,
    /// Per node, whether it is a flatten that moves values.
    pub moves: Vec<bool>,
    /// What the raw input stands for.
    pub input: InputMap,
}

impl Prepared {
    /// What the raw input stands for to readers of `id`, if `id` is the input or a view of it.
    pub fn raw(&self, id: NodeId) -> Option<InputMap> {
        let node = self.graph.node(id);
        match &node.op {
            Op::Input => Some(self.input.clone()),
            Op::Affine(affine) if node.inputs[0] == self.graph.input() => Some(self.input.then(affine)),
            Op::Affine(affine) if is_adapted(&self.graph, node.inputs[0]) => {
                Some(InputMap::pixels(affine.scale.len()).then(affine))
            }
            _ => None,
        }
    }
}

/// Rewrites `graph`.
pub(super) fn prepare(graph: &Graph, input: InputMap) -> Result<Prepared> {
    let mut graph = graph.clone();
    graph.output = graph.logits();
    graph.prune_dead();
    if graph.output == graph.input() {
        return Diag::new("quantize/empty", "the network has no layer").help("check the model's output").err();
    }
    let input = absorb_input_affines(&mut graph, input);
    input.verify()?;
    merge_pads(&mut graph);
    graph.prune_dead();
    let views = views(&graph);
    for (i, view) in views.into_iter().enumerate() {
        let read = graph.nodes[i].inputs.first().map_or(0, |&id| graph.shape(id).c);
        let node = &mut graph.nodes[i];
        match &node.op {
            Op::Affine(affine) if !view => node.op = Op::Conv(scaling(affine, [0; 4])),
            Op::Pad(pad) if pad.value == 0.0 => node.op = Op::Conv(scaling(&identity(read), pad.pad)),
            _ => {}
        }
    }
    let graph = give_readers_a_tensor(graph)?;
    graph.verify()?;
    let moves = moving_flattens(&graph);
    Ok(Prepared { graph, moves, input })
}

/// Whether the node holds whole pixel values, as the raw input does.
pub(super) fn is_adapted(graph: &Graph, id: NodeId) -> bool {
    matches!(graph.node(id).op, Op::Adapt(_))
}

/// Which nodes are views of the input: affines on it, or on pixels adapted from it, whose readers can all fold them.
fn views(graph: &Graph) -> Vec<bool> {
    let consumers = graph.consumers();
    let is_view = |id: NodeId| {
        let node = graph.node(id);
        matches!(node.op, Op::Affine(_))
            && (node.inputs[0] == graph.input() || is_adapted(graph, node.inputs[0]))
            && id != graph.output
            && consumers[id.index()].iter().all(|&reader| folds(graph, &consumers, reader))
    };
    graph.ids().map(is_view).collect()
}

/// Whether the node, which reads the raw input or a view of it, takes an input map into its weights; what is left of
/// affines and borders does, since it becomes a convolution.
fn folds(graph: &Graph, consumers: &[Vec<NodeId>], id: NodeId) -> bool {
    match &graph.node(id).op {
        Op::Conv(_) | Op::Dense(_) | Op::Affine(_) | Op::Adapt(_) => true,
        // Borders of another value become layers of their own.
        Op::Pad(pad) => pad.value == 0.0,
        Op::Flatten => {
            id != graph.output && consumers[id.index()].iter().all(|&c| matches!(graph.node(c).op, Op::Dense(_)))
        }
        _ => false,
    }
}

/// Flattens of maps whose values lie in channel-major order in device memory too, because something else than a dense
/// layer reads them, be it through activations.
fn moving_flattens(graph: &Graph) -> Vec<bool> {
    let consumers = graph.consumers();
    // Whether every reader takes values in any order, from the last node to the first.
    let mut any_order = vec![false; graph.nodes.len()];
    for id in graph.ids().rev() {
        let readers = &consumers[id.index()];
        any_order[id.index()] = id != graph.output
            && readers.iter().all(|&reader| match &graph.node(reader).op {
                Op::Dense(_) => true,
                op if *op == Op::Flatten || function(op).is_some() => any_order[reader.index()],
                _ => false,
            });
    }
    let is_map = |id: NodeId| graph.shape(graph.node(id).inputs[0]).plane() > 1;
    graph.ids().map(|id| graph.node(id).op == Op::Flatten && is_map(id) && !any_order[id.index()]).collect()
}

/// Moves affines that alone read the input into the input map.
fn absorb_input_affines(graph: &mut Graph, mut input: InputMap) -> InputMap {
    loop {
        let readers = graph.consumers().swap_remove(0);
        let [reader] = readers.as_slice() else { return input };
        if *reader == graph.output {
            return input;
        }
        let Op::Affine(affine) = &graph.node(*reader).op else { return input };
        input = input.then(affine);
        redirect(graph, *reader, NodeId(0));
        graph.prune_dead();
    }
}

/// Makes every reader of `from` read `to`.
fn redirect(graph: &mut Graph, from: NodeId, to: NodeId) {
    for node in &mut graph.nodes {
        for input in &mut node.inputs {
            if *input == from {
                *input = to;
            }
        }
    }
}

/// Moves zero borders into the windows that read them.
fn merge_pads(graph: &mut Graph) {
    for i in 0..graph.nodes.len() {
        let Some(&source) = graph.nodes[i].inputs.first() else { continue };
        let Op::Pad(border) = graph.node(source).op else { continue };
        if border.value != 0.0 {
            continue;
        }
        let below = graph.node(source).inputs[0];
        let not_negative = never_negative(graph, below);
        let node = &mut graph.nodes[i];
        if merge_pad(&mut node.op, border, not_negative) {
            node.inputs[0] = below;
        }
    }
}

/// Adds `border` to the window of `op`, if that leaves the result as it is.
fn merge_pad(op: &mut Op, border: Pad, not_negative: bool) -> bool {
    let widened = |window: &Window| {
        let mut window = *window;
        for (side, more) in window.pad.iter_mut().zip(border.pad) {
            *side += more;
        }
        window
    };
    match op {
        Op::Conv(conv) => {
            conv.window = widened(&conv.window);
            true
        }
        Op::AvgPool(pool) if pool.count_include_pad || pool.window.pad == [0; 4] => {
            let merged = crate::ir::op::AvgPool { window: widened(&pool.window), count_include_pad: true };
            let fits = Op::AvgPool(merged).verify().is_ok();
            if fits {
                *pool = merged;
            }
            fits
        }
        // A window that touches the input has its maximum there when nothing is below the border's 0.
        Op::MaxPool(pool) if not_negative => {
            let merged = crate::ir::op::MaxPool { window: widened(&pool.window) };
            let fits = Op::MaxPool(merged).verify().is_ok();
            if fits {
                *pool = merged;
            }
            fits
        }
        _ => false,
    }
}

fn never_negative(graph: &Graph, id: NodeId) -> bool {
    match &graph.node(id).op {
        Op::Relu | Op::Sigmoid | Op::HardSigmoid(_) => true,
        Op::Clip(clip) => clip.lo >= 0.0,
        Op::MaxPool(_) => never_negative(graph, graph.node(id).inputs[0]),
        _ => false,
    }
}

fn identity(channels: usize) -> Affine {
    Affine { scale: vec![1.0; channels], shift: vec![0.0; channels] }
}

/// A per-channel affine as a depthwise 1×1 convolution.
fn scaling(affine: &Affine, pad: [usize; 4]) -> Conv {
    let channels = affine.scale.len();
    Conv {
        out_channels: channels,
        in_channels: channels,
        groups: channels,
        window: Window { pad, ..Window::new([1, 1]) },
        weight: affine.scale.iter().map(|&v| v as f32).collect(),
        bias: affine.shift.iter().map(|&v| v as f32).collect(),
    }
}

/// Puts a depthwise 1×1 convolution between the raw input and readers that cannot fold the input map.
fn give_readers_a_tensor(graph: Graph) -> Result<Graph> {
    let consumers = graph.consumers();
    let needy: Vec<NodeId> = consumers[0].iter().copied().filter(|&id| !folds(&graph, &consumers, id)).collect();
    if needy.is_empty() {
        return Ok(graph);
    }
    let input = &graph.nodes[0];
    let mut name = format!("{}_quantized", input.name);
    while graph.nodes.iter().any(|n| n.name == name) {
        name.push('_');
    }
    let mut out = Graph::new(&input.name, input.shape);
    let tensor = out.push(name, Op::Conv(scaling(&identity(input.shape.c), [0; 4])), &[NodeId(0)])?;
    for (i, node) in graph.nodes.iter().enumerate().skip(1) {
        let inputs: Vec<NodeId> = node
            .inputs
            .iter()
            .map(|&id| match id.index() {
                0 if needy.contains(&NodeId(i as u32)) => tensor,
                0 => NodeId(0),
                _ => NodeId(id.0 + 1),
            })
            .collect();
        out.nodes.push(Node { inputs, ..node.clone() });
    }
    out.output = NodeId(graph.output.0 + 1);
    Ok(out)
}
