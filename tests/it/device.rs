//! The engine on candle tensors against the host's own: every operator, and attribution of the real networks.

use fratc::assemble::assemble;
use fratc::attribute::{Method, Options, Source, attribute_at};
use fratc::data::{Case, SampleSet};
use fratc::device::{Network, Place};
use fratc::exec::{self, Want};
use fratc::ir::Graph;
use fratc::ir::groups::{GroupKind, channel_groups};
use fratc::ir::op::Op;
use fratc::library::Relevance;
use fratc::pipeline::{self, FinetuneOptions, RouteOptions, Silent};
use fratc::refit::{RefitOptions, refit};
use fratc::route::Route;

use crate::random_graph::{Random, random_graph, random_masks};
use crate::shared::{shared, tell};

/// The host's engine, and the code for devices on the processor.
const BOTH: [Place; 2] = [Place::Host, Place::Candle];

/// The largest difference between two tensors, of the largest value of the second.
fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let difference = a.iter().zip(b).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    if largest == 0.0 { difference } else { difference / largest }
}

#[test]
fn tensors_and_gradients_of_random_networks_are_those_of_the_host() {
    let (mut checked, mut trained) = (0, 0);
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
        let want = Want { activations: true, params: true, ..Want::default() };
        let gradients = host.backward(&acts, &[(logits, seeds.clone())], want).expect("runs");

        let device = Network::open(&graph, Place::Candle).expect("opens").expect("candle's device");
        let there = device.forward(input).expect("runs");
        let back = device.backward(&there, seeds.clone()).expect("runs");
        let params = device.param_gradients(&there, seeds).expect("runs");
        for id in graph.ids().skip(1).take(logits.index()) {
            let node = graph.node(id);
            let place = format!("seed {seed}, node {} {}", node.name, node.op.name());
            let (got, wanted) = (there.host(id).expect("downloads"), acts.get(id));
            assert_eq!((got.shape, got.n), (wanted.shape, wanted.n), "{place}");
            assert!(apart(&got.data, &wanted.data) < 1e-5, "{place}: {}", apart(&got.data, &wanted.data));
            match (&params[id.index()], gradients.params(id)) {
                (Some(got), Some(wanted)) => {
                    for (got, wanted) in [(&got.weight, &wanted.weight), (&got.bias, &wanted.bias)] {
                        assert!(apart(got, wanted) < 1e-4, "{place}: parameters {}", apart(got, wanted));
                    }
                    trained += 1;
                }
                (None, None) => {}
                _ => panic!("{place}: the gradient of the parameters is there on one side only"),
            }
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
    assert!(trained > 100, "only {trained} layers' parameter gradients were compared");
}

/// The tables of several places.
fn tables<const N: usize>(case: &Case, name: &str, options: &Options, places: [Place; N]) -> [Relevance; N] {
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
    let tables = places.map(|place| attribute_at(place, &graph, &groups, &source, options).expect("attributes"));
    for table in &tables {
        assert_eq!(table.selected, tables[0].selected, "{name}: other samples");
    }
    tables
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
        let [host, there] = tables(&case, name, &options, BOTH);
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
        let [host, there] = tables(&case, "dscnn_kws", &options, BOTH);
        for (a, b) in host.groups.iter().zip(&there.groups) {
            let largest = a.scores[3].iter().copied().fold(0.0, f64::max);
            let close = a.scores[3].iter().zip(&b.scores[3]).all(|(a, b)| (a - b).abs() <= 1e-3 * largest);
            assert!(close, "{}: {}", method.name(), a.name);
        }
    }
}

/// A device whose memory runs out goes on with half the batch, down to single samples, and comes to the same sums.
#[test]
fn running_out_of_memory_halves_the_batch_and_changes_nothing() {
    let Some(path) = shared("cases/dscnn_kws.toml") else { return };
    let case = Case::load(&path).expect("case file");
    let options = Options { samples_per_class: 20, classes: Some(vec![1, 2]), ..Options::default() };
    let places = [Place::Candle, Place::Scarce(23), Place::Scarce(5), Place::Scarce(1)];
    let [plenty, others @ ..] = tables(&case, "dscnn_kws", &options, places);
    for scarce in others {
        for (a, b) in plenty.groups.iter().zip(&scarce.groups) {
            for (a, b) in a.scores.iter().flatten().zip(b.scores.iter().flatten()) {
                assert!((a - b).abs() <= 1e-6 * a.abs(), "{a} and {b}");
            }
        }
        for (a, b) in plenty.links.iter().zip(&scarce.links) {
            let pairs = a.shares.iter().flatten().zip(b.shares.iter().flatten());
            assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-6));
        }
    }

    let graph = random_graph(3);
    let network = Network::open(&graph, Place::Scarce(0)).expect("opens").expect("candle's device");
    let shape = graph.shape(graph.input());
    let error = network.rows(4, true, |r| Ok(exec::Batch::zeros(shape, r.len()))).expect_err("nothing fits");
    assert_eq!((error.code, network.batch()), ("device/out-of-memory", 1));
    let network = Network::open(&graph, Place::Scarce(3)).expect("opens").expect("candle's device");
    assert_eq!(network.batch(), 32, "the default of the processor");
    assert_eq!(network.rows(40, true, |r| Ok(exec::Batch::zeros(shape, r.len()))).expect("runs").len(), 40);
    assert_eq!(network.batch(), 2, "32, 16, 8, 4, 2: the next batches stay small");
}

/// Refitted weights on candle's tensors, of random networks of every operator.
#[test]
fn a_fit_on_a_device_is_that_of_the_host() {
    let (mut layers, mut other_ridges, mut worst) = (0, 0, 0.0f32);
    for seed in 0..15 {
        let graph = random_graph(seed);
        let groups = channel_groups(&graph);
        let masks = random_masks(&groups, &mut Random::new(seed));
        let route = Route::from_masks(&groups, masks).expect("masks of the right size");
        let small = assemble(&graph, &groups, &route, &[2, 0]).expect("assembles");
        let shape = graph.shape(graph.input());
        let input = |range: std::ops::Range<usize>| {
            let wide = Random::new(77 + range.start as u64).batch(shape, range.len());
            Ok(exec::Batch { shape, n: wide.n, data: wide.data.iter().map(|&v| v as f32).collect() })
        };
        let fit = |device| {
            let options = RefitOptions { device, ..RefitOptions::default() };
            refit(&graph, &small, 96, &input, &options).expect("fits")
        };
        let (host, there) = (fit(Place::Host), fit(Place::Candle));
        assert_eq!(host.layers.len(), there.layers.len());
        for (a, b) in host.layers.iter().zip(&there.layers) {
            assert_eq!((&a.name, a.rows), (&b.name, b.rows));
            // Where two ridges do equally well, either may win, and a nearly singular system shows every rounding.
            for (a, b) in [(a.error, b.error), (a.error_sliced, b.error_sliced)] {
                assert!((a - b).abs() < 1e-2 * (a + 1e-3), "seed {seed}, {}: {a} and {b}", host.layers[0].name);
            }
            layers += 1;
        }
        let same_ridges = host.layers.iter().zip(&there.layers).all(|(a, b)| a.ridge.total_cmp(&b.ridge).is_eq());
        let far = logits_apart(&host.graph, &there.graph, &input(0..32).expect("random"));
        if same_ridges {
            worst = worst.max(far);
        } else {
            other_ridges += 1;
        }
        if seed % 3 == 0 {
            let scarce = fit(Place::Scarce(3));
            assert!(logits_apart(&there.graph, &scarce.graph, &input(0..32).expect("random")) < 1e-3, "seed {seed}");
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("threads");
            assert_eq!(pool.install(|| fit(Place::Candle)), there, "seed {seed}: another number of threads");
        }
    }
    tell(&format!(
        "{layers} layers fitted on candle's tensors and on the host: logits {worst:.1e} apart; {other_ridges} networks with \
         another ridge"
    ));
    assert!(layers > 30 && worst < 1e-3 && other_ridges < 3, "{layers} layers, {worst:.1e}, {other_ridges}");
}

/// How far two networks' logits are apart, of the largest.
fn logits_apart(a: &Graph, b: &Graph, input: &exec::Batch<f32>) -> f32 {
    let of = |graph: &Graph| {
        let acts = exec::Network::<f32>::new(graph).expect("runs").forward(input).expect("runs");
        acts.get(graph.logits()).data.clone()
    };
    apart(&of(a), &of(b))
}

/// A quarter of a real network, its layers fitted in order.
#[test]
fn layers_of_a_real_network_are_fitted_alike() {
    let Some(path) = shared("cases/cnn_fmnist.toml") else { return };
    let source = pipeline::Source::open(&path).expect("opens");
    let (graph, groups) = (&source.graph, &source.groups);
    let mut masks = Route::whole(groups).keep;
    for (mask, group) in masks.iter_mut().zip(&groups.groups).filter(|(_, group)| group.kind == GroupKind::Hidden) {
        mask.iter_mut().enumerate().for_each(|(c, keep)| *keep = c < group.channels.div_ceil(4));
    }
    let route = Route::from_masks(groups, masks).expect("masks of the right size");
    let small = assemble(graph, groups, &route, &[0, 1, 2]).expect("assembles");
    let samples = source.calibration().expect("read");
    let input = |range: std::ops::Range<usize>| {
        let n = range.len();
        exec::Batch::new(graph.shape(graph.input()), n, source.case.input.normalized(samples, range, |v| v as f32))
    };
    let fit = |device| refit(graph, &small, 300, &input, &RefitOptions { device, ..RefitOptions::default() });
    let [host, there] = BOTH.map(|device| fit(device).expect("fits").graph);
    let mut worst = 0.0f32;
    for (a, b) in host.nodes.iter().zip(&there.nodes) {
        if let (Op::Conv(a), Op::Conv(b)) = (&a.op, &b.op) {
            worst = worst.max(apart(&b.weight, &a.weight));
        }
    }
    tell(&format!("cnn_fmnist: weights fitted in order {worst:.1e} apart"));
    assert!(host != small.graph && worst < 1e-4, "{worst:.1e}");
}

/// The whole way of `assemble` on a real network: the same channels, and much the same weights.
#[test]
fn a_real_network_is_cut_fitted_and_trained_alike() {
    let Some(path) = shared("cases/cnn_fmnist.toml") else { return };
    let open = |device| {
        let mut source = pipeline::Source { device, ..pipeline::Source::open(&path).expect("opens") };
        // The calibration samples do for a few steps.
        source.case.train = None;
        let finetune = FinetuneOptions { epochs: Some(1), ..FinetuneOptions::default() };
        let options = RouteOptions { keep: Some(0.25), finetune, ..RouteOptions::default() };
        let wanted = options.resolve(&source).expect("resolves");
        (source, wanted)
    };
    let cut = |device| {
        let (source, wanted) = open(device);
        pipeline::cut(&source, &[0, 1, 2], &wanted, &Silent).expect("cuts")
    };
    let (host_cut, there_cut) = (cut(Place::Host), cut(Place::Candle));
    let (host, there) = (&host_cut.graph, &there_cut.graph);
    // Both train the same network: what the fits differ by would grow with every step.
    let trained = |device| {
        let ((source, wanted), mut cut) = (open(device), host_cut.clone());
        let tuned = pipeline::finetune(&source, &[0, 1, 2], &mut cut, &wanted.finetune, &Silent).expect("trains");
        tuned.expect("was asked for")
    };
    let (host_tuned, there_tuned) = (trained(Place::Host), trained(Place::Candle));
    let origins = |graph: &Graph| graph.nodes.iter().map(|n| (n.name.clone(), n.shape)).collect::<Vec<_>>();
    assert_eq!(origins(host), origins(there));
    let mut worst = 0.0f32;
    for (a, b) in host.nodes.iter().zip(&there.nodes) {
        if let (Op::Conv(a), Op::Conv(b)) = (&a.op, &b.op) {
            worst = worst.max(apart(&b.weight, &a.weight));
        }
    }
    // Another channel anywhere would be another filter. Closer than that the weights need not be: from where the layers are
    // fitted in order (the test above) the fit of all layers, which the host does in both, takes up to twelve steps of
    // chosen ridges, and each multiplies what lies between the two.
    assert!(worst < 0.1, "fitted weights are {worst:.1e} apart");
    assert_eq!(host_cut.route.ties, there_cut.route.ties, "ties decided");
    assert_eq!(host_tuned.kept, there_tuned.kept);
    let (a, b) = (host_tuned.held_out_after.expect("judged"), there_tuned.held_out_after.expect("judged"));
    assert!((a.cross_entropy - b.cross_entropy).abs() < 1e-3 * a.cross_entropy, "{worst:.1e} {a:?} {b:?}");
    // One answer at most.
    assert!((a.accuracy - b.accuracy).abs() < 1.5 / a.samples as f64, "{a:?} {b:?}");
    tell(&format!(
        "cnn_fmnist: fitted weights {worst:.1e} apart, {} ties, held-out loss after an epoch {:.5} and {:.5}",
        host_cut.route.ties, a.cross_entropy, b.cross_entropy
    ));
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
