//! Draws floor markers, trains the demo's network on them and writes `markers.onnx` beside this file.
//!
//!     cargo run --release --example floor_markers_train
//!
//! Every epoch is drawn anew; the held-out drawings have seeds of their own.

#![allow(clippy::print_stdout, reason = "this is a program that tells how training goes")]

use std::path::Path;

use fratc::data::Samples;
use fratc::demo;
use fratc::diag::Result;
use fratc::exec::CHUNK;
use fratc::finetune::{self, Options};
use fratc::ir::onnx::to_onnx;
use fratc::ir::op::{Conv, Dense, MaxPool, Op, Window};
use fratc::ir::{Graph, NodeId, Shape};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Drawings of each class per epoch.
const PER_CLASS: usize = 400;
/// Held-out drawings of each class.
const HELD_OUT: usize = 250;
/// Seed of the held-out drawings: neither the demo's nor the trainer's.
const HELD_OUT_SEED: u64 = 999;

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let contract = demo::contract();
    let start = network(&mut ChaCha8Rng::seed_from_u64(7))?;
    println!("{} parameters, {} multiply-accumulates; chunks of {CHUNK}", start.params(), start.macs());
    let options = Options { epochs: 8, rate: 0.06, smoothing: 0.05, ..Options::default() };
    let drawn = |epoch| demo::samples(PER_CLASS, demo::TRAIN_SEED + epoch as u64);
    let graph = finetune::train(&start, &contract, drawn, &options, |epoch| {
        println!("epoch {:2}: loss {:.4}, accuracy {:.4}", epoch.number, epoch.loss, epoch.accuracy);
    })?;
    let held_out = demo::samples(HELD_OUT, HELD_OUT_SEED);
    println!("held-out: {:.4} of {} drawings", finetune::accuracy(&graph, &contract, &held_out)?, held_out.len());
    for (class, name) in demo::CLASSES.iter().enumerate() {
        let of_class = held_out.select(&held_out.of_class(class));
        println!("  {name:9} {:.3}", finetune::accuracy(&graph, &contract, &of_class)?);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/floor_markers");
    std::fs::write(folder.join("markers.onnx"), to_onnx(&graph, env!("CARGO_PKG_VERSION")))?;
    sheet(&demo::samples(8, HELD_OUT_SEED)).save(folder.join("markers.png"))?;
    Ok(())
}

/// The untrained network: a stem that halves the picture, two convolutions, a residual one, a dense head.
fn network(rng: &mut ChaCha8Rng) -> Result<Graph> {
    let mut graph = Graph::new("image", Shape::new(1, demo::SIZE, demo::SIZE));
    let stem = conv_relu(&mut graph, rng, "stem", NodeId(0), 8, 2)?;
    let edges = conv_relu(&mut graph, rng, "edges", stem, 16, 1)?;
    let small = pool(&mut graph, "pool1", edges)?;
    let parts = conv_relu(&mut graph, rng, "parts", small, 32, 1)?;
    let more = conv(&mut graph, rng, "more", parts, 32, 1)?;
    let sum = graph.push("sum", Op::Add, &[parts, more])?;
    let sum = graph.push("sum_relu", Op::Relu, &[sum])?;
    let small = pool(&mut graph, "pool2", sum)?;
    let flat = graph.push("flat", Op::Flatten, &[small])?;
    let (inputs, outputs) = (graph.shape(flat).c, demo::CLASSES.len());
    let weight = random(rng, inputs * outputs, inputs);
    let dense = Dense { in_features: inputs, out_features: outputs, weight, bias: vec![0.0; outputs] };
    graph.push("scores", Op::Dense(dense), &[flat])?;
    graph.verify()?;
    Ok(graph)
}

fn conv_relu(
    graph: &mut Graph,
    rng: &mut ChaCha8Rng,
    name: &str,
    input: NodeId,
    channels: usize,
    stride: usize,
) -> Result<NodeId> {
    let conv = conv(graph, rng, name, input, channels, stride)?;
    graph.push(format!("{name}_relu"), Op::Relu, &[conv])
}

fn conv(
    graph: &mut Graph,
    rng: &mut ChaCha8Rng,
    name: &str,
    input: NodeId,
    out_channels: usize,
    stride: usize,
) -> Result<NodeId> {
    let in_channels = graph.shape(input).c;
    let window = Window { stride: [stride; 2], pad: [1; 4], ..Window::new([3, 3]) };
    let weight = random(rng, out_channels * in_channels * 9, in_channels * 9);
    let bias = vec![0.0; out_channels];
    graph.push(name, Op::Conv(Conv { out_channels, in_channels, groups: 1, window, weight, bias }), &[input])
}

fn pool(graph: &mut Graph, name: &str, input: NodeId) -> Result<NodeId> {
    let window = Window { stride: [2; 2], ..Window::new([2, 2]) };
    graph.push(name, Op::MaxPool(MaxPool { window }), &[input])
}

/// `n` weights, evenly distributed with the variance `2/fan_in` that keeps such networks alive (He et al. 2015).
fn random(rng: &mut ChaCha8Rng, n: usize, fan_in: usize) -> Vec<f32> {
    let reach = (6.0 / fan_in as f64).sqrt();
    (0..n).map(|_| ((f64::from(rng.next_u32()) / f64::from(u32::MAX) * 2.0 - 1.0) * reach) as f32).collect()
}

/// The drawings side by side, one column a class.
fn sheet(samples: &Samples) -> image::GrayImage {
    let (size, columns) = (demo::SIZE, demo::CLASSES.len());
    let (width, height) = (columns * size, samples.len() / columns * size);
    image::GrayImage::from_fn(width as u32, height as u32, |x, y| {
        let (x, y) = (x as usize, y as usize);
        image::Luma([samples.sample(y / size * columns + x / size)[y % size * size + x % size]])
    })
}
