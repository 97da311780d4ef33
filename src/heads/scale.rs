//! Scale and offset of one component's scores.

use crate::diag::{Diag, Result};
use crate::ir::op::{Affine, Op};
use crate::ir::{Graph, NodeId};

/// `score ← scale · score + offset`.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Scale {
    /// Above 0.
    pub scale: f64,
    /// In units of the new scores.
    pub offset: f64,
}

impl Scale {
    /// Leaves scores as they are.
    pub const ONE: Self = Self { scale: 1.0, offset: 0.0 };
}

/// Takes the scales of `heads` (nodes that make scores, each once) into their weights.
///
/// Errors: `heads/head` where a head is no layer with weights.
pub fn apply(graph: &mut Graph, heads: &[(NodeId, Scale)]) -> Result<()> {
    for &(head, Scale { scale, offset }) in heads {
        let map = |values: &mut Vec<f32>, shift: f64| {
            for v in values {
                *v = (f64::from(*v) * scale + shift) as f32;
            }
        };
        let node = &mut graph.nodes[head.index()];
        match &mut node.op {
            Op::Conv(conv) => {
                map(&mut conv.weight, 0.0);
                map(&mut conv.bias, offset);
            }
            Op::Dense(dense) => {
                map(&mut dense.weight, 0.0);
                map(&mut dense.bias, offset);
            }
            Op::Affine(Affine { scale: own, shift }) => {
                for v in own {
                    *v *= scale;
                }
                for v in shift {
                    *v = *v * scale + offset;
                }
            }
            other => {
                return Diag::new("heads/head", "a component's scores come from a layer without weights")
                    .at(&node.name)
                    .expected("a dense layer, convolution or affine map", other.name())
                    .help("end the network with a dense layer")
                    .err();
            }
        }
    }
    graph.verify()
}

/// Takes the mean of all scores away from each, where a dense layer makes them. Softmax does not see such a shift, so
/// training leaves it to chance; another network's scores do see it.
pub fn centre(graph: &mut Graph) {
    let logits = graph.logits();
    let Op::Dense(dense) = &mut graph.nodes[logits.index()].op else { return };
    let (rows, width) = (dense.out_features, dense.in_features);
    for i in 0..width {
        let mean = (0..rows).map(|o| f64::from(dense.weight[o * width + i])).sum::<f64>() / rows as f64;
        (0..rows).for_each(|o| dense.weight[o * width + i] = (f64::from(dense.weight[o * width + i]) - mean) as f32);
    }
    let mean = dense.bias.iter().map(|&b| f64::from(b)).sum::<f64>() / rows as f64;
    dense.bias.iter_mut().for_each(|b| *b = (f64::from(*b) - mean) as f32);
}
