//! The engine on candle tensors against the host's own: every operator, and attribution of the real networks.

use fratc::attribute::{Attribution, Method, Options, Source, attribute};
use fratc::data::{Case, SampleSet};
use fratc::device::{Network, Place};
use fratc::exec::{self, Want};
use fratc::ir::groups::channel_groups;
use fratc::library::Relevance;

use crate::random_graph::{Random, random_graph};
use crate::shared::{shared, tell};

/// The largest difference between two tensors, of the largest value of the second.
fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let difference = a.iter().zip(b).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    if largest == 0.0 { difference } else { difference / largest }
}

#[test]
fn tensors_and_gradients_of_random_networks_are_those_of_the_host() {
    let mut checked = 0;
    for seed in 0..60 {
        let graph = random_graph(seed);
        let mut random = Random::new(seed + 77);
        let wide = random.batch(graph.shape(graph.input()), 3);
        let input = exec::Batch { shape: wide.shape, n: 3, data: wide.data.iter().map(|&v| v as f32).collect() };
        let logits = graph.logits();
        let wide = random.batch(graph.shape(logits), 3);
        let seeds = exec::Batch { shape: wide.shape, n: 3, data: wide.data.iter().map(|&v| v as f32).collect() };

        let host = exec::Network::<f32>::new(&graph).expect("runs");
        let acts = host.forward(&input).expect("runs");
        let want = Want { activations: true, ..Want::default() };
        let gradients = host.backward(&acts, &[(logits, seeds.clone())], want).expect("runs");

        let device = Network::open(&graph, Place::Candle).expect("opens").expect("candle's device");
        let there = device.forward(input).expect("runs");
        let back = device.backward(&there, seeds).expect("runs");
        for id in graph.ids().skip(1).take(logits.index()) {
            let node = graph.node(id);
            let place = format!("seed {seed}, node {} {}", node.name, node.op.name());
            let (got, wanted) = (there.host(id).expect("downloads"), acts.get(id));
            assert_eq!((got.shape, got.n), (wanted.shape, wanted.n), "{place}");
            assert!(apart(&got.data, &wanted.data) < 1e-5, "{place}: {}", apart(&got.data, &wanted.data));
            match (back.host(id).expect("downloads"), gradients.node(id)) {
                (Some(got), Some(wanted)) => {
                    // A rounding apart, a window's largest value or the sign before a ReLU may be another.
                    assert!(
                        apart(&got.data, &wanted.data) < 1e-4,
                        "{place}: gradient {}",
                        apart(&got.data, &wanted.data)
                    );
                    checked += 1;
                }
                (None, None) => {}
                (got, wanted) => {
                    panic!("{place}: gradient is there on one side only: {} {}", got.is_some(), wanted.is_some())
                }
            }
        }
    }
    assert!(checked > 300, "only {checked} gradients were compared");
}

/// Both tables, on the host and on candle's tensors.
fn tables(case: &Case, name: &str, options: &Options) -> (Relevance, Relevance) {
    let graph = fratc::load::load(&case.model).expect("loads").graph;
    let graph = fratc::ir::pass::simplify(graph).expect("simplifies");
    let groups = channel_groups(&graph);
    let samples = case.calibration().expect("split");
    let source = Source {
        model: name,
        model_sha256: "00",
        classes: &case.label_names,
        input: &case.input,
        samples: &samples as &dyn SampleSet,
    };
    let host = attribute(&graph, &groups, &source, options).expect("attributes");
    let there = Attribution::new(&graph, &groups, &source, Place::Candle).expect("opens");
    let manifest = there.select(options).expect("selects");
    assert_eq!(manifest.selected, host.selected, "{name}: other samples");
    let chunks = manifest.chunks();
    let mut totals = there.totals(&manifest);
    let numbers: Vec<usize> = (0..chunks.len()).collect();
    there
        .run(&manifest, &numbers, &mut |number, part| {
            there.add(&mut totals, &manifest, &chunks[number], part);
            Ok(())
        })
        .expect("runs");
    (host, there.finish(&manifest, totals).expect("finishes"))
}

/// Channels in order of their score, the better first; equal ones by their number.
fn ranked(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    order
}

#[test]
fn real_networks_get_the_same_scores_and_keep_the_same_channels() {
    for name in ["dscnn_kws", "incep_cifar", "resnet8_cifar10"] {
        let Some(path) = shared(&format!("cases/{name}.toml")) else { return };
        let case = Case::load(&path).expect("case file");
        let options = Options { samples_per_class: 16, classes: Some(vec![0, 1]), ..Options::default() };
        let (host, there) = tables(&case, name, &options);
        let (mut worst, mut swapped) = (0.0f64, 0);
        for (a, b) in host.groups.iter().zip(&there.groups) {
            for class in [0, 1] {
                let (a, b) = (&a.scores[class], &b.scores[class]);
                let largest = a.iter().copied().fold(0.0, f64::max);
                for (a, b) in a.iter().zip(b) {
                    worst = worst.max((a - b).abs() / largest.max(f64::MIN_POSITIVE));
                }
                for (x, y) in ranked(a).into_iter().zip(ranked(b)) {
                    swapped += usize::from(x != y);
                    assert!((a[x] - a[y]).abs() <= 1e-3 * largest, "{name}: {x} and {y} are no tie");
                }
            }
        }
        assert!(worst < 1e-3, "{name}: {worst:.1e} of a group's largest score");
        let mut links = 0.0f32;
        for (a, b) in host.links.iter().zip(&there.links) {
            for (a, b) in a.shares.iter().flatten().zip(b.shares.iter().flatten()) {
                links = links.max((a - b).abs());
            }
        }
        assert!(links < 1e-3, "{name}: links {links:.1e} apart");
        tell(&format!("{name}: scores {worst:.1e} and shares {links:.1e} apart, {swapped} places in rankings swapped"));
    }
}

#[test]
fn every_method_runs_on_a_device() {
    let Some(path) = shared("cases/dscnn_kws.toml") else { return };
    let case = Case::load(&path).expect("case file");
    for method in [Method::Taylor, Method::Activation, Method::Contribution, Method::L1] {
        let options = Options { method, samples_per_class: 10, classes: Some(vec![3]), ..Options::default() };
        let (host, there) = tables(&case, "dscnn_kws", &options);
        for (a, b) in host.groups.iter().zip(&there.groups) {
            let largest = a.scores[3].iter().copied().fold(0.0, f64::max);
            let close = a.scores[3].iter().zip(&b.scores[3]).all(|(a, b)| (a - b).abs() <= 1e-3 * largest);
            assert!(close, "{}: {}", method.name(), a.name);
        }
    }
}

#[test]
fn a_build_without_cuda_says_so_in_one_sentence() {
    if cfg!(feature = "cuda") {
        return;
    }
    let error = Network::open(&random_graph(1), Place::Cuda(0)).expect_err("no CUDA in it");
    assert_eq!((error.code, error.what.as_str()), ("device/no-cuda", "this fratc was built without CUDA"));
    assert!("tpu".parse::<Place>().is_err() && "cuda:x".parse::<Place>().is_err());
    assert_eq!("cuda".parse::<Place>().expect("the first").to_string(), "cuda:0");
}
