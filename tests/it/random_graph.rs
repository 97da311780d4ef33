//! Small random networks that use every operation, and random masks over their channel groups.

use fratc::exec::Batch;
use fratc::ir::groups::{GroupKind, Groups};
use fratc::ir::op::{Affine, AvgPool, Clip, Conv, Dense, HardSigmoid, LeakyRelu, MaxPool, Op, Pad, Window};
use fratc::ir::{Graph, NodeId, Shape};

/// A small deterministic generator (splitmix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x1234_5678_9ABC_DEF1)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// `lo..=hi`.
    pub fn range(&mut self, lo: usize, hi: usize) -> usize {
        lo + self.below(hi - lo + 1)
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// Uniform in -1..1.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub fn values(&mut self, n: usize, scale: f32) -> Vec<f32> {
        (0..n).map(|_| self.unit() * scale).collect()
    }

    pub fn batch(&mut self, shape: Shape, n: usize) -> Batch<f64> {
        Batch { shape, n, data: (0..shape.len() * n).map(|_| f64::from(self.unit())).collect() }
    }
}

struct Builder {
    graph: Graph,
    random: Random,
    /// Maps to go on from.
    maps: Vec<NodeId>,
    names: usize,
}

impl Builder {
    fn push(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
        self.names += 1;
        let name = format!("{}{}", op.name().to_lowercase(), self.names);
        self.graph.push(name, op, inputs).expect("the builder only makes nodes that fit")
    }

    fn shape(&self, id: NodeId) -> Shape {
        self.graph.shape(id)
    }

    fn window(&mut self, shape: Shape, same_size: bool) -> Window {
        let r = &mut self.random;
        if same_size {
            let k = [1, 3][r.below(2)];
            return Window { pad: [k / 2; 4], ..Window::new([k, k]) };
        }
        let mut window = Window::new([r.range(1, 3.min(shape.h)), r.range(1, 3.min(shape.w))]);
        window.pad = [r.below(2), r.below(2), r.below(2), r.below(2)];
        window.stride = [r.range(1, 2), r.range(1, 2)];
        window.dilation = [r.range(1, 2), r.range(1, 2)];
        let [eh, ew] = window.extent();
        if eh > shape.h || ew > shape.w {
            window.dilation = [1, 1];
        }
        window
    }

    fn conv(&mut self, from: NodeId, out: usize, groups: usize, same_size: bool) -> NodeId {
        let shape = self.shape(from);
        let window = self.window(shape, same_size);
        let fan_in = shape.c / groups * window.kernel[0] * window.kernel[1];
        let weight = self.random.values(out * fan_in, (2.0 / fan_in as f32).sqrt());
        let bias = self.random.values(out, 0.3);
        self.push(Op::Conv(Conv { out_channels: out, in_channels: shape.c, groups, window, weight, bias }), &[from])
    }

    fn dense(&mut self, from: NodeId, out: usize) -> NodeId {
        let input = self.shape(from).c;
        let weight = self.random.values(out * input, (2.0 / input as f32).sqrt());
        let bias = self.random.values(out, 0.3);
        self.push(Op::Dense(Dense { out_features: out, in_features: input, weight, bias }), &[from])
    }

    fn activation(&mut self, from: NodeId) -> NodeId {
        let op = match self.random.below(6) {
            0 => Op::Relu,
            1 => Op::Clip(Clip { lo: -0.5, hi: 6.0 }),
            2 => Op::LeakyRelu(LeakyRelu { alpha: 0.1 }),
            3 => Op::Sigmoid,
            4 => Op::HardSigmoid(HardSigmoid { alpha: 0.2, beta: 0.5 }),
            _ => Op::HardSwish,
        };
        self.push(op, &[from])
    }

    fn affine(&mut self, from: NodeId) -> NodeId {
        let c = self.shape(from).c;
        let scale = self.random.values(c, 1.5);
        let shift = self.random.values(c, 0.5);
        let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect();
        self.push(Op::Affine(Affine { scale: wide(scale), shift: wide(shift) }), &[from])
    }

    fn pool_window(&mut self, shape: Shape) -> Window {
        let r = &mut self.random;
        let mut window = Window::new([r.range(1, 3.min(shape.h)), r.range(1, 3.min(shape.w))]);
        window.stride = [r.range(1, 2), r.range(1, 2)];
        let pad = |r: &mut Random, k: usize| r.below(2).min(k - 1);
        window.pad =
            [pad(r, window.kernel[0]), pad(r, window.kernel[1]), pad(r, window.kernel[0]), pad(r, window.kernel[1])];
        window
    }

    /// One random step from a random map.
    fn step(&mut self) {
        let from = self.maps[self.random.below(self.maps.len())];
        let shape = self.shape(from);
        let made = match self.random.below(12) {
            0 | 1 => {
                let out = self.random.range(1, 6);
                let conv = self.conv(from, out, 1, false);
                self.activation(conv)
            }
            2 => {
                let multiplier = self.random.range(1, 2);
                self.conv(from, shape.c * multiplier, shape.c, false)
            }
            3 => {
                let groups = (1..=shape.c).rev().find(|g| shape.c.is_multiple_of(*g) && *g < shape.c).unwrap_or(1);
                let out = groups * self.random.range(1, 3);
                self.conv(from, out, groups, false)
            }
            4 => self.affine(from),
            5 | 6 => {
                // Residual: a branch of the same shape, added on either side.
                let branch = self.conv(from, shape.c, 1, true);
                let branch = if self.random.chance(50) { self.affine(branch) } else { self.activation(branch) };
                let operands = if self.random.chance(50) { [from, branch] } else { [branch, from] };
                self.push(Op::Add, &operands)
            }
            7 => {
                // Squeeze-excite.
                let pooled = self.push(Op::GlobalAvgPool, &[from]);
                let hidden = self.random.range(1, 3);
                let squeezed = self.dense(pooled, hidden);
                let squeezed = self.activation(squeezed);
                let gate = self.dense(squeezed, shape.c);
                let gate = self.push(Op::Sigmoid, &[gate]);
                self.push(Op::Gate, &[from, gate])
            }
            8 => {
                // Concat of everything of this size, possibly with a fresh branch, possibly twice the same.
                let mut parts: Vec<NodeId> = self
                    .maps
                    .iter()
                    .copied()
                    .filter(|&m| (self.shape(m).h, self.shape(m).w) == (shape.h, shape.w))
                    .collect();
                parts.truncate(3);
                let fresh = self.conv(from, 2, 1, true);
                parts.push(fresh);
                self.push(Op::Concat, &parts)
            }
            9 => {
                let window = self.pool_window(shape);
                self.push(Op::MaxPool(MaxPool { window }), &[from])
            }
            10 => {
                let window = self.pool_window(shape);
                let count_include_pad = self.random.chance(50);
                self.push(Op::AvgPool(AvgPool { window, count_include_pad }), &[from])
            }
            _ => {
                let pad = [self.random.below(2), self.random.below(2), 1, self.random.below(2)];
                let value = self.random.unit();
                self.push(Op::Pad(Pad { pad, value }), &[from])
            }
        };
        if self.shape(made).c <= 24 {
            self.maps.push(made);
        }
    }

    /// From the maps to logits: vectors side by side or added, a hidden layer, the head.
    fn head(&mut self, classes: usize) {
        let count = self.maps.len().min(3);
        let ends = self.maps[self.maps.len() - count..].to_vec();
        let mut vectors = Vec::new();
        for end in ends {
            let flatten = self.random.chance(50) && self.shape(end).len() <= 200;
            vectors.push(self.push(if flatten { Op::Flatten } else { Op::GlobalAvgPool }, &[end]));
        }
        let mut x = if vectors.len() > 1 { self.push(Op::Concat, &vectors) } else { vectors[0] };
        if self.random.chance(60) {
            let hidden = self.random.range(2, 8);
            let dense = self.dense(x, hidden);
            x = self.activation(dense);
        }
        if self.random.chance(30) {
            let (width, same) = (self.shape(x).c, x);
            let dense = self.dense(x, width);
            x = self.push(Op::Add, &[dense, same]);
        }
        let mut logits = self.dense(x, classes);
        match self.random.below(5) {
            // Two heads added, two heads side by side, a layer that reads the logits.
            0 => {
                let other = self.dense(x, classes);
                logits = self.push(Op::Add, &[logits, other]);
                logits = self.affine(logits);
            }
            1 => {
                let other = self.dense(x, 2);
                logits = self.push(Op::Concat, &[other, logits]);
            }
            2 => {
                let other = self.dense(logits, classes);
                logits = self.push(Op::Add, &[logits, other]);
            }
            _ => {}
        }
        if self.random.chance(50) {
            self.push(Op::Softmax, &[logits]);
        }
    }
}

/// A random network with 3 to 7 classes.
pub fn random_graph(seed: u64) -> Graph {
    let mut random = Random::new(seed);
    let shape = Shape::new(random.range(1, 3), random.range(4, 8), random.range(4, 8));
    let mut builder = Builder { graph: Graph::new("x", shape), random, maps: vec![NodeId(0)], names: 0 };
    let first = builder.random.range(2, 6);
    let first = builder.conv(NodeId(0), first, 1, false);
    builder.maps.push(first);
    for _ in 0..builder.random.range(3, 10) {
        builder.step();
    }
    let classes = builder.random.range(3, 5);
    builder.head(classes);
    let mut graph = builder.graph;
    graph.prune_dead();
    graph.verify().expect("random graphs are valid");
    graph
}

/// Masks that keep about half of each hidden group and at least one channel.
pub fn random_masks(groups: &Groups, random: &mut Random) -> Vec<Vec<bool>> {
    let mut masks = Vec::new();
    for group in &groups.groups {
        let hidden = group.kind == GroupKind::Hidden;
        let mut mask: Vec<bool> = (0..group.channels).map(|_| !hidden || random.chance(55)).collect();
        if !mask.contains(&true) {
            mask[random.below(group.channels)] = true;
        }
        masks.push(mask);
    }
    masks
}
