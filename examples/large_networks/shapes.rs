//! Well-known classifiers with random weights: what they look like, not what they know.

use fratc::diag::Result;
use fratc::ir::op::{Affine, AvgPool, Clip, Conv, Dense, MaxPool, Op, Window};
use fratc::ir::{Graph, NodeId, Shape};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Names that [`network`] knows.
pub const NAMES: [&str; 6] = ["vgg16", "resnet50", "mobilenetv2", "googlenet", "densenet121", "resnet20"];

/// Classes, and the side of its square input, that a network is known with.
pub fn size(name: &str) -> (usize, usize) {
    if name == "resnet20" { (10, 32) } else { (1000, 224) }
}

/// The network of that name for `classes` classes and inputs of `side`×`side`, or `None` for an unknown name.
pub fn network(name: &str, classes: usize, side: usize) -> Option<Result<Graph>> {
    let build: fn(&mut Net) -> Result<NodeId> = match name {
        "vgg16" => vgg16,
        "resnet50" => resnet50,
        "mobilenetv2" => mobilenetv2,
        "googlenet" => googlenet,
        "densenet121" => densenet121,
        "resnet20" => resnet20,
        _ => return None,
    };
    let mut net = Net { graph: Graph::new("x", Shape::new(3, side, side)), random: ChaCha8Rng::seed_from_u64(1) };
    Some(build(&mut net).and_then(|features| net.dense(features, classes)).map(|_| net.graph))
}

struct Net {
    graph: Graph,
    random: ChaCha8Rng,
}

impl Net {
    fn push(&mut self, op: Op, inputs: &[NodeId]) -> Result<NodeId> {
        let name = format!("{}{}", op.name().to_lowercase(), self.graph.nodes.len());
        self.graph.push(name, op, inputs)
    }

    /// Even numbers whose deviation keeps a signal's size through `fan_in` products and a ReLU, times `gain`.
    fn weights(&mut self, count: usize, fan_in: usize, gain: f32) -> Vec<f32> {
        let most = gain * (6.0 / fan_in as f32).sqrt();
        (0..count).map(|_| ((self.random.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0) * most).collect()
    }

    /// A convolution with "same" padding, `groups` of them, and no activation.
    fn conv(
        &mut self,
        x: NodeId,
        out: usize,
        kernel: usize,
        stride: usize,
        groups: usize,
        gain: f32,
    ) -> Result<NodeId> {
        let inputs = self.graph.shape(x).c;
        let fan_in = inputs / groups * kernel * kernel;
        let window = Window { stride: [stride; 2], pad: [kernel / 2; 4], ..Window::new([kernel; 2]) };
        let weight = self.weights(out * fan_in, fan_in, gain);
        let bias = vec![0.01; out];
        self.push(Op::Conv(Conv { out_channels: out, in_channels: inputs, groups, window, weight, bias }), &[x])
    }

    fn relu(&mut self, x: NodeId, out: usize, kernel: usize, stride: usize) -> Result<NodeId> {
        let x = self.conv(x, out, kernel, stride, 1, 1.0)?;
        self.push(Op::Relu, &[x])
    }

    /// A max pool of `kernel`×`kernel`; `pad` before and as much after as rounding the size up needs.
    fn pool(&mut self, x: NodeId, kernel: usize, stride: usize, pad: usize) -> Result<NodeId> {
        let size = self.graph.shape(x).h + 2 * pad - kernel;
        let after = pad + (stride - size % stride) % stride;
        let window = Window { stride: [stride; 2], pad: [pad, pad, after, after], ..Window::new([kernel; 2]) };
        self.push(Op::MaxPool(MaxPool { window }), &[x])
    }

    fn dense(&mut self, x: NodeId, out: usize) -> Result<NodeId> {
        let x = if self.graph.shape(x).plane() > 1 { self.push(Op::Flatten, &[x])? } else { x };
        let inputs = self.graph.shape(x).c;
        let weight = self.weights(out * inputs, inputs, 1.0);
        self.push(Op::Dense(Dense { out_features: out, in_features: inputs, weight, bias: vec![0.0; out] }), &[x])
    }

    /// Batch norm that cannot be folded, and ReLU.
    fn norm(&mut self, x: NodeId) -> Result<NodeId> {
        let channels = self.graph.shape(x).c;
        let scale = self.weights(channels, 6, 0.2).into_iter().map(|w| f64::from(w) + 0.9).collect();
        let x = self.push(Op::Affine(Affine { scale, shift: vec![0.05; channels] }), &[x])?;
        self.push(Op::Relu, &[x])
    }
}

fn vgg16(net: &mut Net) -> Result<NodeId> {
    let mut x = net.graph.input();
    for (channels, layers) in [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)] {
        for _ in 0..layers {
            x = net.relu(x, channels, 3, 1)?;
        }
        x = net.pool(x, 2, 2, 0)?;
    }
    for _ in 0..2 {
        x = net.dense(x, 4096)?;
        x = net.push(Op::Relu, &[x])?;
    }
    Ok(x)
}

fn resnet50(net: &mut Net) -> Result<NodeId> {
    let x = net.graph.input();
    let x = net.relu(x, 64, 7, 2)?;
    let mut x = net.pool(x, 3, 2, 1)?;
    for (stage, (width, blocks)) in [(64, 3), (128, 4), (256, 6), (512, 3)].into_iter().enumerate() {
        for block in 0..blocks {
            let stride = if block == 0 && stage > 0 { 2 } else { 1 };
            let y = net.relu(x, width, 1, 1)?;
            let y = net.relu(y, width, 3, stride)?;
            let y = net.conv(y, 4 * width, 1, 1, 1, 0.3)?;
            let skip = if block == 0 { net.conv(x, 4 * width, 1, stride, 1, 0.7)? } else { x };
            let sum = net.push(Op::Add, &[y, skip])?;
            x = net.push(Op::Relu, &[sum])?;
        }
    }
    net.push(Op::GlobalAvgPool, &[x])
}

fn resnet20(net: &mut Net) -> Result<NodeId> {
    let x = net.graph.input();
    let mut x = net.relu(x, 16, 3, 1)?;
    for (stage, width) in [16, 32, 64].into_iter().enumerate() {
        for block in 0..3 {
            let stride = if block == 0 && stage > 0 { 2 } else { 1 };
            let y = net.relu(x, width, 3, stride)?;
            let y = net.conv(y, width, 3, 1, 1, 0.5)?;
            let skip = if stride == 2 { net.conv(x, width, 1, 2, 1, 0.7)? } else { x };
            let sum = net.push(Op::Add, &[y, skip])?;
            x = net.push(Op::Relu, &[sum])?;
        }
    }
    net.push(Op::GlobalAvgPool, &[x])
}

fn mobilenetv2(net: &mut Net) -> Result<NodeId> {
    let clip = || Op::Clip(Clip { lo: 0.0, hi: 6.0 });
    let x = net.graph.input();
    let x = net.conv(x, 32, 3, 2, 1, 1.0)?;
    let mut x = net.push(clip(), &[x])?;
    let stages =
        [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)];
    for (expansion, channels, blocks, stride) in stages {
        for block in 0..blocks {
            let stride = if block == 0 { stride } else { 1 };
            let before = x;
            let width = net.graph.shape(x).c * expansion;
            if expansion > 1 {
                x = net.conv(x, width, 1, 1, 1, 1.0)?;
                x = net.push(clip(), &[x])?;
            }
            x = net.conv(x, width, 3, stride, width, 1.0)?;
            x = net.push(clip(), &[x])?;
            x = net.conv(x, channels, 1, 1, 1, 0.7)?;
            if net.graph.shape(x) == net.graph.shape(before) {
                x = net.push(Op::Add, &[x, before])?;
            }
        }
    }
    let x = net.conv(x, 1280, 1, 1, 1, 1.0)?;
    let x = net.push(clip(), &[x])?;
    net.push(Op::GlobalAvgPool, &[x])
}

fn googlenet(net: &mut Net) -> Result<NodeId> {
    let x = net.graph.input();
    let x = net.relu(x, 64, 7, 2)?;
    let x = net.pool(x, 3, 2, 0)?;
    let x = net.relu(x, 64, 1, 1)?;
    let x = net.relu(x, 192, 3, 1)?;
    let mut x = net.pool(x, 3, 2, 0)?;
    // Of each module: 1×1; 3×3 and what leads to it; 5×5 (3×3 in the usual implementation) and what leads to it; pooled.
    let modules = [
        [64, 96, 128, 16, 32, 32],
        [128, 128, 192, 32, 96, 64],
        [192, 96, 208, 16, 48, 64],
        [160, 112, 224, 24, 64, 64],
        [128, 128, 256, 24, 64, 64],
        [112, 144, 288, 32, 64, 64],
        [256, 160, 320, 32, 128, 128],
        [256, 160, 320, 32, 128, 128],
        [384, 192, 384, 48, 128, 128],
    ];
    for (i, [one, to_three, three, to_five, five, pooled]) in modules.into_iter().enumerate() {
        if i == 2 || i == 7 {
            x = net.pool(x, 3, 2, 0)?;
        }
        let a = net.relu(x, one, 1, 1)?;
        let b = net.relu(x, to_three, 1, 1)?;
        let b = net.relu(b, three, 3, 1)?;
        let c = net.relu(x, to_five, 1, 1)?;
        let c = net.relu(c, five, 3, 1)?;
        let d = net.pool(x, 3, 1, 1)?;
        let d = net.relu(d, pooled, 1, 1)?;
        x = net.push(Op::Concat, &[a, b, c, d])?;
    }
    net.push(Op::GlobalAvgPool, &[x])
}

fn densenet121(net: &mut Net) -> Result<NodeId> {
    let x = net.graph.input();
    let x = net.relu(x, 64, 7, 2)?;
    let mut x = net.pool(x, 3, 2, 1)?;
    for (stage, layers) in [6, 12, 24, 16].into_iter().enumerate() {
        if stage > 0 {
            let y = net.norm(x)?;
            let y = net.conv(y, net.graph.shape(y).c / 2, 1, 1, 1, 0.7)?;
            let window = Window { stride: [2; 2], ..Window::new([2; 2]) };
            x = net.push(Op::AvgPool(AvgPool { window, count_include_pad: false }), &[y])?;
        }
        for _ in 0..layers {
            let y = net.norm(x)?;
            let y = net.conv(y, 128, 1, 1, 1, 1.0)?;
            let y = net.norm(y)?;
            let y = net.conv(y, 32, 3, 1, 1, 1.0)?;
            x = net.push(Op::Concat, &[x, y])?;
        }
    }
    let x = net.norm(x)?;
    net.push(Op::GlobalAvgPool, &[x])
}
