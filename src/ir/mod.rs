//! The float graph: what fratc edits.
//!
//! A [`Graph`] is a list of nodes in topological order. Each node has one output tensor per sample of shape
//! [`Shape`] (`[C, H, W]`; vectors are `[C, 1, 1]`), so a [`NodeId`] names both the node and its tensor.
//! Layout is channel-first everywhere in this IR: `load` removes NHWC. Weights are `[O, I/g, KH, KW]` for
//! convolutions and `[O, I]` for dense layers; [`op::Op::Flatten`] goes from `[C, H, W]` to `[C·H·W, 1, 1]` in
//! channel-major order. Inference only: batch norm is a per-channel affine, dropout is gone.
//!
//! [`Graph::verify`] checks every invariant; all later passes may rely on it:
//! 1. node 0 is the only [`op::Op::Input`]; inputs of node `i` have ids below `i`;
//! 2. every node's shape is what [`op::Op::infer_shape`] says of its inputs' shapes;
//! 3. every weight is finite and as long as its dimensions say;
//! 4. the output is a vector (`h = w = 1`), and [`op::Op::Softmax`] occurs only as the output;
//! 5. node names are unique and not empty.

pub mod groups;
pub mod onnx;
pub mod op;
pub mod pass;

mod graph;
mod origin;
mod text;

pub use graph::{Graph, Node, NodeId, Shape};
pub use origin::Origin;
