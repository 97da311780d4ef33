//! The mean of a network's weights over the steps of training.
//!
//! Steps on a few samples at a time end where the last ones have thrown the weights; the mean over many steps lies nearer to
//! what all samples ask for (Polyak and Juditsky 1992).

use crate::ir::Graph;
use crate::ir::op::Op;

/// A running mean.
#[derive(Debug, Clone, Default)]
pub(super) struct Average {
    /// Of each node's weights, then biases.
    means: Vec<Vec<f64>>,
    steps: usize,
}

impl Average {
    /// Takes the weights of `graph` in, the same one every time.
    pub(super) fn add(&mut self, graph: &Graph) {
        self.steps += 1;
        if self.means.is_empty() {
            self.means = graph.nodes.iter().map(|node| weights(&node.op)).collect();
            return;
        }
        for (means, node) in self.means.iter_mut().zip(&graph.nodes) {
            for (mean, weight) in means.iter_mut().zip(weights(&node.op)) {
                // As it stands, weights that never move stay exactly what they are.
                *mean += (weight - *mean) / self.steps as f64;
            }
        }
    }

    /// `graph` with the mean weights; as it is if none were added.
    pub(super) fn of(&self, graph: &Graph) -> Graph {
        let mut graph = graph.clone();
        for (means, node) in self.means.iter().zip(&mut graph.nodes) {
            let narrow = |to: &mut [f32], from: &[f64]| to.iter_mut().zip(from).for_each(|(t, &f)| *t = f as f32);
            match &mut node.op {
                Op::Conv(conv) => {
                    narrow(&mut conv.weight, means);
                    narrow(&mut conv.bias, &means[conv.weight.len()..]);
                }
                Op::Dense(dense) => {
                    narrow(&mut dense.weight, means);
                    narrow(&mut dense.bias, &means[dense.weight.len()..]);
                }
                Op::Affine(affine) => {
                    let (scale, shift) = means.split_at(affine.scale.len());
                    affine.scale.copy_from_slice(scale);
                    affine.shift.copy_from_slice(shift);
                }
                _ => {}
            }
        }
        graph
    }
}

/// What training moves: weights, then biases.
fn weights(op: &Op) -> Vec<f64> {
    let wide = |weight: &[f32], bias: &[f32]| weight.iter().chain(bias).map(|&v| f64::from(v)).collect();
    match op {
        Op::Conv(conv) => wide(&conv.weight, &conv.bias),
        Op::Dense(dense) => wide(&dense.weight, &dense.bias),
        Op::Affine(affine) => affine.scale.iter().chain(&affine.shift).copied().collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::Average;
    use crate::ir::op::{Affine, Dense, Op};
    use crate::ir::{Graph, Shape};

    #[test]
    fn weights_that_move_are_averaged_and_others_are_exact() {
        let mut graph = Graph::new("x", Shape::vector(1));
        let affine = Op::Affine(Affine { scale: vec![0.1], shift: vec![0.7] });
        let affine = graph.push("affine", affine, &[graph.input()]).unwrap();
        let dense = Dense { in_features: 1, out_features: 2, weight: vec![1.0, 0.3], bias: vec![5.0, 0.1] };
        let dense = graph.push("dense", Op::Dense(dense), &[affine]).unwrap();
        let untouched = graph.clone();
        let mut average = Average::default();
        assert_eq!(average.of(&graph), graph);
        for (weight, bias) in [(1.0, 5.0), (2.0, 6.0), (6.0, 1.0)] {
            let Op::Dense(dense) = &mut graph.nodes[dense.index()].op else { unreachable!() };
            (dense.weight[0], dense.bias[0]) = (weight, bias);
            average.add(&graph);
        }
        let mut expected = untouched;
        let Op::Dense(dense) = &mut expected.nodes[dense.index()].op else { unreachable!() };
        (dense.weight[0], dense.bias[0]) = (3.0, 4.0);
        assert_eq!(average.of(&graph), expected);
    }
}
