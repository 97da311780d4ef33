//! Sources of different input shapes behind one input.
//!
//! The common input is as large as the largest, side by side and channel by channel. On the device a branch with a
//! smaller one begins with [`Adapt`], in exact integers: it takes the middle, the mean over blocks of pixels, and grey
//! from red, green and blue. The common input is never the smaller one, so nothing is padded there. Samples of a smaller source are enlarged the other way (pixels
//! repeated, a black border, equal channels), so that its branch sees them exactly as its network did.

use crate::data::{InputContract, InputKind};
use crate::diag::{Diag, Result};
use crate::ir::op::{Adapt, LARGEST_BLOCK, Op};

/// How one source's input lies in the common one. Shapes are `[H, W, C]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fit {
    common: [usize; 3],
    own: [usize; 3],
    /// Pixels of the common input, per side, for one of its own.
    block: usize,
    /// Rows above and columns to the left of the part that counts.
    first: [usize; 2],
}

/// The largest of all `contracts`, which must be of one kind.
pub(super) fn common(contracts: &[(&str, &InputContract)]) -> Result<InputContract> {
    let (first, rest) = (contracts[0], &contracts[1..]);
    let mut shape = first.1.shape;
    for (name, contract) in rest {
        let features = contract.kind == InputKind::I8 && contract.shape != first.1.shape;
        if contract.kind != first.1.kind || features {
            return Diag::new("joint/input", "the sources do not take the same kind of input")
                .at(*name)
                .expected(
                    format!("{} {:?}, as {}", first.1.kind.name(), first.1.shape, first.0),
                    format!("{} {:?}", contract.kind.name(), contract.shape),
                )
                .help("join image networks, or networks of the same features")
                .err();
        }
        shape.iter_mut().zip(contract.shape).for_each(|(side, other)| *side = (*side).max(other));
    }
    Ok(InputContract::new(first.1.kind, shape, 1.0))
}

impl Fit {
    /// Where an input of shape `own` lies in a `common` one.
    pub(super) fn new(name: &str, common: [usize; 3], own: [usize; 3]) -> Result<Self> {
        if own[2] != common[2] && (own[2], common[2]) != (1, 3) {
            return Diag::new("joint/channels", "there is no way from the common input to this source's channels")
                .at(name)
                .expected(format!("{} channels, or 1 of 3", common[2]), own[2])
                .err();
        }
        let block = (common[0] / own[0]).min(common[1] / own[1]).clamp(1, LARGEST_BLOCK);
        let first = [(common[0] - block * own[0]) / 2, (common[1] - block * own[1]) / 2];
        Ok(Self { common, own, block, first })
    }

    /// The common input's shape.
    pub(super) fn common(&self) -> [usize; 3] {
        self.common
    }

    /// The own input's shape.
    pub(super) fn own(&self) -> [usize; 3] {
        self.own
    }

    /// What makes pixels of its own input of those of the common one; `None` where they are the same.
    pub(super) fn op(&self) -> Option<Op> {
        let Self { common, own, block, first } = *self;
        let adapt = Adapt { block, first, size: [own[0], own[1]], grey: own[2] != common[2] };
        (common != own).then_some(Op::Adapt(adapt))
    }

    /// A sample of the source, `[H, W, C]`, as a sample of the common input.
    pub(super) fn enlarge(&self, sample: &[u8]) -> Vec<u8> {
        let Self { common, own, block, first } = *self;
        if common == own {
            return sample.to_vec();
        }
        let mut out = vec![0; common.iter().product()];
        for y in 0..block * own[0] {
            for x in 0..block * own[1] {
                let from = ((y / block) * own[1] + x / block) * own[2];
                let to = ((first[0] + y) * common[1] + first[1] + x) * common[2];
                for c in 0..common[2] {
                    out[to + c] = sample[from + c.min(own[2] - 1)];
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::{Batch, Network};
    use crate::ir::{Graph, NodeId, Shape};

    /// What a branch sees of a sample of its own source: its very pixels.
    fn seen(own: [usize; 3], common: [usize; 3]) {
        let sample: Vec<u8> = (0..own.iter().product::<usize>()).map(|i| (i * 37 % 256) as u8).collect();
        let fit = Fit::new("a", common, own).expect("fits");
        let large = fit.enlarge(&sample);
        let mut graph = Graph::new("x", Shape::new(common[2], common[0], common[1]));
        if let Some(op) = fit.op() {
            graph.push("pixels", op, &[NodeId(0)]).expect("fits");
        }
        let seen = graph.output;
        graph.push("mean", Op::GlobalAvgPool, &[seen]).expect("a vector ends it");
        let network_input: Vec<f32> = (0..common[2])
            .flat_map(|c| large.iter().skip(c).step_by(common[2]).map(|&p| f32::from(p)).collect::<Vec<f32>>())
            .collect();
        let input = Batch::new(graph.shape(NodeId(0)), 1, network_input).expect("fits");
        let acts = Network::<f32>::new(&graph).expect("runs").forward(&input).expect("runs");
        let got = &acts.get(seen).data;
        for (i, &p) in sample.iter().enumerate() {
            let (position, c) = (i / own[2], i % own[2]);
            assert!((got[c * own[0] * own[1] + position] - f32::from(p)).abs() <= 0.0, "{own:?} in {common:?}");
        }
    }

    #[test]
    fn a_branch_sees_its_own_images_as_its_network_did() {
        seen([28, 28, 1], [32, 32, 3]);
        seen([28, 28, 1], [28, 28, 1]);
        seen([5, 7, 3], [16, 21, 3]);
        seen([6, 4, 1], [13, 8, 1]);
        seen([10, 10, 1], [31, 30, 3]);
    }

    #[test]
    fn features_and_odd_channels_are_refused() {
        assert_eq!(Fit::new("a", [8, 8, 4], [8, 8, 3]).expect_err("channels").code, "joint/channels");
        let image = InputContract::new(InputKind::U8, [8, 8, 1], 1.0);
        let features = InputContract::new(InputKind::I8, [8, 8, 1], 1.0);
        let large = InputContract::new(InputKind::I8, [9, 8, 1], 1.0);
        assert_eq!(common(&[("a", &image), ("b", &features)]).expect_err("kinds").code, "joint/input");
        assert_eq!(common(&[("a", &features), ("b", &large)]).expect_err("shapes").code, "joint/input");
    }
}
