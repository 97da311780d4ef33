//! Removes nodes that return their input: unit affine maps, empty pads, pools of one position, flattened vectors.

use crate::ir::Graph;
use crate::ir::op::{Op, Window};
use crate::ir::pass::redirect;

pub(super) fn run(graph: &mut Graph) {
    for id in graph.ids() {
        let node = graph.node(id);
        let [input] = node.inputs[..] else { continue };
        let one = |window: &Window| window.kernel == [1, 1] && window.stride == [1, 1] && window.pad == [0; 4];
        let identity = match &node.op {
            // As f32, so that a factor and its rounded reciprocal cancel.
            Op::Affine(affine) => {
                affine.scale.iter().all(|&s| (s as f32).total_cmp(&1.0).is_eq())
                    && affine.shift.iter().all(|&t| t as f32 == 0.0)
            }
            Op::Clip(clip) => clip.lo == f32::NEG_INFINITY && clip.hi == f32::INFINITY,
            Op::MaxPool(pool) => one(&pool.window),
            Op::AvgPool(pool) => one(&pool.window),
            Op::GlobalAvgPool | Op::Flatten => graph.shape(input).plane() == 1,
            Op::Pad(pad) => pad.pad == [0; 4],
            Op::Concat => true,
            Op::Input
            | Op::Conv(_)
            | Op::Dense(_)
            | Op::Relu
            | Op::LeakyRelu(_)
            | Op::Sigmoid
            | Op::HardSigmoid(_)
            | Op::HardSwish
            | Op::Add
            | Op::Gate
            | Op::Adapt(_)
            | Op::Softmax => false,
        };
        if identity {
            redirect(graph, id, input);
        }
    }
}
