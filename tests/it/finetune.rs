//! Gradient descent: it learns, and the same for any number of threads.

use fratc::data::{InputContract, InputKind, Samples};
use fratc::device::Place;
use fratc::finetune::{Epoch, Options, accuracy, train};
use fratc::ir::op::{Conv, Dense, Op, Window};
use fratc::ir::{Graph, NodeId, Shape};

/// 6×6 pictures with a bright row (class 0) or a bright column (class 1) somewhere.
fn lines(n: usize) -> (InputContract, Samples) {
    let contract = InputContract::new(InputKind::U8, [6, 6, 1], 1.0 / 255.0);
    let mut samples = Samples::empty(&contract);
    for i in 0..n {
        let (class, at) = (i % 2, i / 2 % 6);
        let dark = |p: usize| ((p * 37 + i * 11) % 60) as u8;
        samples.raw.extend((0..36).map(|p| if [p / 6, p % 6][class] == at { 200 } else { dark(p) }));
        samples.labels.push(class as u32);
    }
    (contract, samples)
}

fn network() -> Graph {
    let values = |n: usize| (0..n).map(|i| ((i * 7919 % 101) as f32 / 50.0 - 1.0) * 0.4).collect::<Vec<f32>>();
    let mut graph = Graph::new("image", Shape::new(1, 6, 6));
    let window = Window { pad: [1; 4], ..Window::new([3, 3]) };
    let conv = Conv { out_channels: 4, in_channels: 1, groups: 1, window, weight: values(36), bias: vec![0.0; 4] };
    let x = graph.push("conv", Op::Conv(conv), &[NodeId(0)]).expect("fits");
    let x = graph.push("relu", Op::Relu, &[x]).expect("fits");
    let x = graph.push("pool", Op::GlobalAvgPool, &[x]).expect("fits");
    let dense = Dense { in_features: 4, out_features: 2, weight: values(8), bias: vec![0.0; 2] };
    graph.push("scores", Op::Dense(dense), &[x]).expect("fits");
    graph
}

#[test]
fn training_learns_and_tells_of_it() {
    let (contract, samples) = lines(120);
    let options = Options { epochs: 30, batch: 24, rate: 0.2, ..Options::default() };
    let mut epochs: Vec<Epoch> = Vec::new();
    let trained =
        train(&network(), &contract, |_| samples.clone(), &options, |e| epochs.push(e)).expect("plain training");
    assert_eq!(epochs.len(), 30);
    assert!(epochs[29].loss < 0.5 * epochs[0].loss, "{epochs:?}");
    assert!(accuracy(&trained, &contract, &samples).expect("scores") > 0.95);
}

#[test]
fn weights_do_not_depend_on_the_number_of_threads() {
    let (contract, samples) = lines(70);
    let options = Options { epochs: 2, batch: 50, ..Options::default() };
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| train(&network(), &contract, |_| samples.clone(), &options, |_| {})).expect("plain training")
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn training_on_a_device_is_that_of_the_host() {
    let (contract, samples) = lines(70);
    let run = |device, threads| {
        let options = Options { epochs: 3, batch: 50, device, ..Options::default() };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| train(&network(), &contract, |_| samples.clone(), &options, |_| {})).expect("plain training")
    };
    let there = run(Place::Candle, 1);
    assert_eq!(there, run(Place::Candle, 3));
    assert_ne!(there, network());
    for other in [run(Place::Host, 1), run(Place::Scarce(7), 1)] {
        for (a, b) in there.nodes.iter().zip(&other.nodes) {
            let (a, b) = match (&a.op, &b.op) {
                (Op::Conv(a), Op::Conv(b)) => (&a.weight, &b.weight),
                (Op::Dense(a), Op::Dense(b)) => (&a.weight, &b.weight),
                _ => continue,
            };
            assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5), "{a:?} {b:?}");
        }
    }
}

#[test]
fn what_cannot_be_trained_is_said() {
    let (contract, samples) = lines(20);
    let none = Samples::empty(&contract);
    let wrong = Samples { labels: vec![2; 20], ..samples.clone() };
    let after = |epochs, samples: Samples, rate| {
        let options = Options { epochs, rate, ..Options::default() };
        train(&network(), &contract, |_| samples.clone(), &options, |_| {}).expect_err("bad training").to_string()
    };
    let text = |samples, rate| after(40, samples, rate);
    // What one step of all samples leaves has no loss yet.
    assert_eq!(after(1, samples.clone(), 1e39), text(samples.clone(), 1e30));
    insta::assert_snapshot!(text(none, 0.1), @"there are no samples to train or score on [finetune/no-samples]");
    insta::assert_snapshot!(text(wrong, 0.1), @"a label is no output of the network: expected below 2, found 2 [finetune/label]");
    insta::assert_snapshot!(text(samples, 1e30), @"training has diverged: the loss is not finite; use a smaller learning rate [finetune/diverged]");
}
