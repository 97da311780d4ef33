//! Merges a border of zeros into the windows that read it.
//!
//! Exact for convolutions; for an average whose own padding counts or is empty (the merged padding then counts);
//! and for a maximum of values that are never negative, where the zeros cannot win.

use crate::ir::op::{AvgPool, MaxPool, Op, Window};
use crate::ir::pass::{non_negative, readers, redirect};
use crate::ir::{Graph, NodeId};

pub(super) fn run(graph: &mut Graph) {
    let non_negative = non_negative(graph);
    // From the back, so that of two borders in a row both can merge.
    for id in graph.ids().rev() {
        let Op::Pad(border) = graph.node(id).op else { continue };
        let input = graph.node(id).inputs[0];
        if border.value != 0.0 {
            continue;
        }
        let merged: Option<Vec<(NodeId, Op)>> = readers(graph, id)
            .into_iter()
            .map(|reader| Some((reader, merge(&graph.node(reader).op, border.pad, non_negative[input.index()])?)))
            .collect();
        if let Some(merged) = merged {
            for (reader, op) in merged {
                graph.nodes[reader.index()].op = op;
            }
            redirect(graph, id, input);
        }
    }
}

fn merge(op: &Op, border: [usize; 4], non_negative: bool) -> Option<Op> {
    let wider = |window: &Window| {
        let mut pad = window.pad;
        for (pad, extra) in pad.iter_mut().zip(border) {
            *pad += extra;
        }
        Window { pad, ..*window }
    };
    let merged = match op {
        Op::Conv(conv) => {
            let mut conv = conv.clone();
            conv.window = wider(&conv.window);
            Op::Conv(conv)
        }
        Op::AvgPool(pool) if pool.count_include_pad || pool.window.pad == [0; 4] => {
            Op::AvgPool(AvgPool { window: wider(&pool.window), count_include_pad: true })
        }
        Op::MaxPool(pool) if non_negative => Op::MaxPool(MaxPool { window: wider(&pool.window) }),
        _ => return None,
    };
    // A pool's padding must stay below its window.
    merged.verify().is_ok().then_some(merged)
}
