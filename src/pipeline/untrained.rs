//! A network's architecture from random weights, as the base that what was learned before is measured against.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use crate::data::{InputContract, Samples};
use crate::diag::Result;
use crate::finetune::{Options, train};
use crate::ir::Graph;
use crate::ir::op::Op;

/// Largest learning rates to try.
pub(super) const RATES: [f64; 3] = [0.1, 0.03, 0.01];

/// Samples per step: few, as there are few samples.
const BATCH: usize = 16;

/// `graph` with weights drawn evenly around 0, of variance 2 / fan-in (He), and biases of 0. Affine maps become
/// identities, but for those on the input, which say what its bytes mean.
pub(super) fn random_weights(graph: &Graph, seed: u64) -> Graph {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut graph = graph.clone();
    let input = graph.input();
    for node in &mut graph.nodes {
        let mut draw = |weights: &mut Vec<f32>, fan_in: usize| {
            let reach = (6.0 / fan_in.max(1) as f64).sqrt();
            for weight in weights {
                let unit = (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
                *weight = ((2.0 * unit - 1.0) * reach) as f32;
            }
        };
        match &mut node.op {
            Op::Conv(conv) => {
                let fan_in = conv.fan_in();
                draw(&mut conv.weight, fan_in);
                conv.bias.fill(0.0);
            }
            Op::Dense(dense) => {
                let fan_in = dense.in_features;
                draw(&mut dense.weight, fan_in);
                dense.bias.fill(0.0);
            }
            Op::Affine(affine) if node.inputs != [input] => {
                affine.scale.fill(1.0);
                affine.shift.fill(0.0);
            }
            _ => {}
        }
    }
    graph
}

/// `graph` trained on `samples` for `epochs`, the rate falling from `rate` along half a cosine.
pub(super) fn train_on(
    graph: &Graph,
    contract: &InputContract,
    samples: &Samples,
    epochs: usize,
    rate: f64,
    seed: u64,
) -> Result<Graph> {
    let options = Options { epochs, batch: BATCH, rate, seed, ..Options::default() };
    train(graph, contract, |_| samples.clone(), &options, |_| {})
}
