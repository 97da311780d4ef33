//! The closed-form fit: what it must reach on random networks and on real ones.

use std::time::Instant;

use fratc::assemble::{Assembled, assemble, may_vanish, settle};
use fratc::data::{Case, Samples};
use fratc::exec::{Batch, CHUNK, Network, Want, for_chunks};
use fratc::ir::groups::{GroupKind, Groups, channel_groups};
use fratc::ir::op::{Conv, Dense, Op, Window};
use fratc::ir::{Graph, NodeId, Shape};
use fratc::library::{GroupScores, Relevance};
use fratc::refit::{RefitOptions, Refitted, Views, refit};
use fratc::route::{Route, RouteOptions, by_ratio};

use crate::random_graph::{Random, random_graph, random_masks};
use crate::shared::shared;

fn single(batch: &Batch<f64>) -> Batch<f32> {
    Batch { shape: batch.shape, n: batch.n, data: batch.data.iter().map(|&v| v as f32).collect() }
}

/// Chunk `range` of random inputs: the same whoever asks.
fn random_inputs(shape: Shape, range: std::ops::Range<usize>) -> Batch<f32> {
    single(&Random::new(77 + range.start as u64).batch(shape, range.len()))
}

fn refit_random(graph: &Graph, small: &Assembled, samples: usize) -> Refitted {
    refit_random_by(graph, small, samples, false)
}

fn refit_random_by(graph: &Graph, small: &Assembled, samples: usize, together: bool) -> Refitted {
    let shape = graph.shape(graph.input());
    let views = Views { mirror: true, shift: true };
    let options = RefitOptions { together, views, ..RefitOptions::default() };
    refit(graph, small, samples, &|range| Ok(random_inputs(shape, range)), &options).expect("fits")
}

/// Mean square of the difference to the source's logits of `classes`, on fresh inputs.
fn logit_error(graph: &Graph, small: &Graph, classes: &[usize]) -> f64 {
    let input = random_inputs(graph.shape(graph.input()), 100_000..100_000 + 256);
    let whole = Network::<f32>::new(graph).expect("runs").forward(&input).expect("runs");
    let cut = Network::<f32>::new(small).expect("runs").forward(&input).expect("runs");
    let mut sum = 0.0;
    for (i, &class) in classes.iter().enumerate() {
        let (a, b) = (whole.get(graph.logits()).channel(class), cut.get(small.logits()).channel(i));
        sum += a.iter().zip(b).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>();
    }
    sum / (256 * classes.len()) as f64
}

#[test]
fn refit_reduces_the_error_of_random_networks_of_every_op() {
    let (mut better, mut cut, mut before, mut after) = (0, 0, 0.0, 0.0);
    for seed in 0..60 {
        let graph = random_graph(seed);
        let groups = channel_groups(&graph);
        let masks = random_masks(&groups, &mut Random::new(seed));
        let route = Route::from_masks(&groups, masks).unwrap();
        let classes = [2, 0];
        let small = assemble(&graph, &groups, &route, &classes).unwrap();
        let fitted = refit_random(&graph, &small, 160);
        assert_eq!(fitted.graph.nodes.len(), small.graph.nodes.len());
        let (sliced, error) =
            (logit_error(&graph, &small.graph, &classes), logit_error(&graph, &fitted.graph, &classes));
        if fitted.layers.is_empty() {
            assert!(sliced < 1e-9, "seed {seed}: nothing to fit although slicing changed the output");
            continue;
        }
        assert!(error <= sliced * 1.2 + 1e-9, "seed {seed}: {sliced} became {error}\n{}", small.graph);
        cut += 1;
        better += usize::from(error < sliced * 0.7);
        before += sliced;
        after += error;
    }
    assert!(cut >= 40 && better * 10 >= cut * 8, "{better} of {cut} clearly better");
    assert!(after < 0.3 * before, "{before} to {after}");
}

#[test]
fn what_is_left_of_a_vanished_block_is_fitted_to_the_whole() {
    let (mut cut, mut before, mut after) = (0, 0.0, 0.0);
    for seed in 0..80 {
        let graph = random_graph(seed);
        let groups = channel_groups(&graph);
        let mut random = Random::new(300 + seed);
        let mut masks = random_masks(&groups, &mut random);
        let may = may_vanish(&graph, &groups);
        masks.iter_mut().zip(may).filter(|(_, may)| *may && random.chance(50)).for_each(|(mask, _)| mask.fill(false));
        if settle(&graph, &groups, &mut masks).is_err() || masks.iter().all(|mask| mask.contains(&true)) {
            continue;
        }
        let route = Route::from_masks(&groups, masks).unwrap();
        let Ok(small) = assemble(&graph, &groups, &route, &[2, 0]) else { continue };
        let fitted = refit_random(&graph, &small, 160);
        let (sliced, error) = (logit_error(&graph, &small.graph, &[2, 0]), logit_error(&graph, &fitted.graph, &[2, 0]));
        assert!(error <= sliced * 1.3 + 1e-9, "seed {seed}: {sliced} became {error}\n{}", small.graph);
        cut += 1;
        before += sliced;
        after += error;
    }
    assert!(cut >= 15, "{cut} networks");
    assert!(after < 0.5 * before, "{before} to {after}");

    // Behind a shortcut that is a layer, the layer carries the sum; behind a plain one, a scale and a shift do.
    let graph = crate::assemble::blocks();
    let groups = channel_groups(&graph);
    for (inside, carrier) in [("inner1", "shortcut"), ("inner2", "sum2")] {
        let mut masks = Route::whole(&groups).keep;
        masks[groups.groups.iter().position(|g| g.name == inside).expect("a group")].fill(false);
        let small = assemble(&graph, &groups, &Route::from_masks(&groups, masks).unwrap(), &[0, 1, 2]).unwrap();
        let fitted = refit_random(&graph, &small, 320);
        assert_eq!(fitted.layers[0].name, carrier);
        assert!(fitted.layers[0].error < 0.95 * fitted.layers[0].error_sliced, "{:?}", fitted.layers);
        let [before, after] = [&small.graph, &fitted.graph].map(|graph_| logit_error(&graph, graph_, &[0, 1, 2]));
        assert!(after < 0.5 * before, "{inside}: {before} to {after}");
    }
}

/// A network in which every second channel of each hidden layer repeats the one before it.
fn redundant() -> Graph {
    let mut random = Random::new(5);
    let mut graph = Graph::new("x", Shape::new(2, 6, 6));
    let mut conv = |graph: &mut Graph, from: NodeId, out: usize, groups: usize| {
        let input = graph.shape(from).c;
        let fan_in = input / groups * 9;
        let mut weight = Vec::new();
        let mut bias = Vec::new();
        for _ in 0..out / 2 {
            let filter = random.values(fan_in, 0.3);
            weight.extend([filter.as_slice(), &filter].concat());
            bias.extend([random.unit() * 0.1; 2]);
        }
        let window = Window { pad: [1; 4], ..Window::new([3, 3]) };
        let name = format!("conv{}", graph.nodes.len());
        let op = Op::Conv(Conv { out_channels: out, in_channels: input, groups, window, weight, bias });
        let id = graph.push(name, op, &[from]).expect("the shapes fit");
        graph.push(format!("relu{}", id.0), Op::Relu, &[id]).expect("the shapes fit")
    };
    let a = conv(&mut graph, NodeId(0), 8, 1);
    let b = conv(&mut graph, a, 8, 1);
    let c = conv(&mut graph, b, 8, 8);
    let d = conv(&mut graph, c, 8, 1);
    let sum = graph.push("sum", Op::Add, &[d, b]).expect("the shapes fit");
    let flat = graph.push("flat", Op::Flatten, &[sum]).expect("the shapes fit");
    let weight = Random::new(9).values(3 * 288, 0.1);
    graph
        .push("fc", Op::Dense(Dense { out_features: 3, in_features: 288, weight, bias: vec![0.1; 3] }), &[flat])
        .expect("the shapes fit");
    graph
}

#[test]
fn dropping_duplicates_costs_nothing_after_refit() {
    let graph = redundant();
    let groups = channel_groups(&graph);
    let every_second = |kind, n: usize| (0..n).map(|c| kind != GroupKind::Hidden || c % 2 == 0).collect();
    let masks = groups.groups.iter().map(|g| every_second(g.kind, g.channels)).collect();
    let small = assemble(&graph, &groups, &Route::from_masks(&groups, masks).unwrap(), &[0, 1, 2]).unwrap();
    assert!(logit_error(&graph, &small.graph, &[0, 1, 2]).sqrt() > 0.05, "slicing alone must hurt");
    let fitted = refit_random(&graph, &small, 640);
    let error = logit_error(&graph, &fitted.graph, &[0, 1, 2]).sqrt();
    assert!(error < 1e-4, "{error} {:?}", fitted.layers);
}

#[test]
fn refit_does_not_depend_on_the_thread_count() {
    let graph = random_graph(11);
    let groups = channel_groups(&graph);
    let route = Route::from_masks(&groups, random_masks(&groups, &mut Random::new(3))).unwrap();
    let small = assemble(&graph, &groups, &route, &[0, 1]).unwrap();
    for together in [false, true] {
        let fit = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| refit_random_by(&graph, &small, 100, together))
        };
        let one = fit(1);
        assert!(!one.layers.is_empty());
        assert!(one == fit(2) && one == fit(3), "results differ");
    }
}

/// Mean square of the difference to the source's logits of two classes, less each other, on fresh inputs.
fn contrast_error(graph: &Graph, small: &Graph, [a, b]: [usize; 2]) -> f64 {
    let input = random_inputs(graph.shape(graph.input()), 100_000..100_000 + 256);
    let whole = Network::<f32>::new(graph).expect("runs").forward(&input).expect("runs");
    let cut = Network::<f32>::new(small).expect("runs").forward(&input).expect("runs");
    let (z, y) = (whole.get(graph.logits()), cut.get(small.logits()));
    let error = |n: usize| {
        let source = z.plane(a, n)[0] - z.plane(b, n)[0];
        f64::from(source - (y.plane(0, n)[0] - y.plane(1, n)[0])).powi(2)
    };
    (0..256).map(error).sum::<f64>() / 256.0
}

#[test]
fn all_layers_together_bring_the_scores_nearer_than_one_after_the_other() {
    let (mut cut, mut nearer, mut before, mut after) = (0, 0, 0.0, 0.0);
    for seed in 0..24 {
        let graph = random_graph(seed);
        let groups = channel_groups(&graph);
        let masks = random_masks(&groups, &mut Random::new(seed));
        let route = Route::from_masks(&groups, masks).unwrap();
        let small = assemble(&graph, &groups, &route, &[2, 0]).unwrap();
        let layers = refit_random_by(&graph, &small, 160, false);
        let together = refit_random_by(&graph, &small, 160, true);
        if layers.layers.is_empty() {
            assert!(layers.graph == together.graph, "seed {seed}: nothing was cut");
            continue;
        }
        let [was, is] = [&layers.graph, &together.graph].map(|g| contrast_error(&graph, g, [2, 0]));
        assert!(is <= 1.2 * was + 1e-9, "seed {seed}: {was} became {is}");
        cut += 1;
        nearer += usize::from(is < 0.9 * was);
        before += was;
        after += is;
    }
    assert!(cut >= 15 && nearer * 2 >= cut, "{nearer} of {cut} clearly nearer");
    assert!(after < 0.8 * before, "{before} to {after}");
}

#[test]
fn refit_without_samples_is_refused() {
    let graph = redundant();
    let groups = channel_groups(&graph);
    let small = assemble(&graph, &groups, &Route::whole(&groups), &[0, 1]).unwrap();
    let error = refit(&graph, &small, 0, &|_| unreachable!(), &RefitOptions::default()).unwrap_err();
    assert_eq!(error.code, "refit/no-samples");
}

/// One shared model with its data, cut to a class set.
struct Study {
    case: Case,
    graph: Graph,
    groups: Groups,
    classes: Vec<usize>,
    calibration: Samples,
    test: Samples,
}

impl Study {
    /// At most `per_class` calibration samples of every wanted class.
    fn load(name: &str, tokens: &[&str], per_class: usize) -> Option<Self> {
        let case = Case::load(&shared(&format!("cases/{name}.toml"))?).expect("case");
        let graph = fratc::load::load(&case.model).expect("loads").graph;
        let tokens: Vec<String> = tokens.iter().map(ToString::to_string).collect();
        let classes = case.class_set(Some(&tokens)).expect("known classes");
        let pick = |samples: Samples, most: usize| {
            let mut wanted: Vec<usize> =
                classes.iter().flat_map(|&c| samples.of_class(c).into_iter().take(most)).collect();
            wanted.sort_unstable();
            samples.select(&wanted)
        };
        let calibration = pick(case.calibration().expect("calibration data"), per_class);
        let test = pick(case.test().expect("test data"), usize::MAX);
        let groups = channel_groups(&graph);
        Some(Self { case, graph, groups, classes, calibration, test })
    }

    fn batch(&self, samples: &Samples, range: std::ops::Range<usize>) -> Batch<f32> {
        let n = range.len();
        let data = self.case.input.normalized(samples, range, |v| v as f32);
        Batch::new(self.graph.shape(self.graph.input()), n, data).expect("the sizes agree")
    }

    /// Place in the class set of sample `i`'s label.
    fn place(&self, samples: &Samples, i: usize) -> usize {
        self.classes.iter().position(|&c| c == samples.labels[i] as usize).expect("of a wanted class")
    }

    /// Test accuracy of `graph`, whose outputs `outputs` are the wanted classes.
    fn accuracy(&self, graph: &Graph, outputs: &[usize]) -> f64 {
        let network = Network::<f32>::new(graph).expect("runs");
        let right = for_chunks(self.test.len(), |range| {
            let scores = network.scores(&self.batch(&self.test, range.clone()))?;
            let best = |s: usize| {
                (0..outputs.len()).fold(0, |best, k| {
                    let score = |k: usize| scores.plane(outputs[k], s)[0];
                    if score(k) > score(best) { k } else { best }
                })
            };
            Ok(range.clone().filter(|&i| best(i - range.start) == self.place(&self.test, i)).count())
        });
        right.expect("runs").iter().sum::<usize>() as f64 / self.test.len() as f64
    }

    /// Gradient × activation of the loss restricted to the wanted classes, at what layers read.
    fn taylor(&self) -> Relevance {
        let network = Network::<f32>::new(&self.graph).expect("runs");
        let logits = self.graph.logits();
        let read: Vec<NodeId> = self
            .graph
            .ids()
            .filter(|&id| {
                self.graph.nodes.iter().any(|n| matches!(n.op, Op::Conv(_) | Op::Dense(_)) && n.inputs.contains(&id))
            })
            .collect();
        let zeros = || -> Vec<Vec<Vec<f64>>> {
            self.groups.groups.iter().map(|g| vec![vec![0.0; g.channels]; self.graph.classes()]).collect()
        };
        let parts = for_chunks(self.calibration.len(), |range| {
            let acts = network.forward(&self.batch(&self.calibration, range.clone()))?;
            let mut seed = Batch::zeros(self.graph.shape(logits), range.len());
            for i in range.clone() {
                let s = i - range.start;
                let scores: Vec<f64> =
                    self.classes.iter().map(|&c| f64::from(acts.get(logits).plane(c, s)[0])).collect();
                let top = scores.iter().copied().fold(f64::MIN, f64::max);
                let total: f64 = scores.iter().map(|v| (v - top).exp()).sum();
                for (k, &c) in self.classes.iter().enumerate() {
                    let hit = f64::from(u8::from(k == self.place(&self.calibration, i)));
                    seed.data[c * range.len() + s] = (hit - (scores[k] - top).exp() / total) as f32;
                }
            }
            let want = Want { activations: true, ..Want::default() };
            let grads = network.backward(&acts, &[(logits, seed)], want)?;
            let mut scores = zeros();
            for &id in &read {
                let Some(grad) = grads.node(id) else { continue };
                for (c, r) in self.groups.of(id).iter().enumerate() {
                    for i in range.clone() {
                        let s = i - range.start;
                        let product = grad.plane(c, s).iter().zip(acts.get(id).plane(c, s));
                        let sum: f64 = product.map(|(g, a)| f64::from(g * a)).sum();
                        let class = self.calibration.labels[i] as usize;
                        scores[r.group.index()][class][r.index as usize] += sum.abs();
                    }
                }
            }
            Ok(scores)
        });
        let mut sum = zeros();
        for part in parts.expect("runs") {
            for (a, b) in sum.iter_mut().flatten().flatten().zip(part.iter().flatten().flatten()) {
                *a += b;
            }
        }
        let table = |(g, scores): (&fratc::ir::groups::Group, Vec<Vec<f64>>)| GroupScores {
            name: g.name.clone(),
            channels: g.channels as u32,
            scores,
            ..GroupScores::default()
        };
        Relevance {
            method: "taylor".into(),
            classes: self.case.label_names.clone(),
            groups: self.groups.groups.iter().zip(sum).map(table).collect(),
            ..Relevance::default()
        }
    }

    fn cut(&self, ratio: f64) -> Assembled {
        let route =
            by_ratio(&self.taylor(), &self.groups, &self.classes, ratio, &RouteOptions::default()).expect("routes");
        assemble(&self.graph, &self.groups, &route, &self.classes).expect("assembles")
    }

    fn refit(&self, small: &Assembled, options: &RefitOptions) -> Refitted {
        let inputs = |range: std::ops::Range<usize>| Ok(self.batch(&self.calibration, range));
        refit(&self.graph, small, self.calibration.len(), &inputs, options).expect("fits")
    }
}

#[test]
fn half_of_the_fashion_network_still_tells_three_classes_apart() {
    let Some(study) = Study::load("cnn_fmnist", &["0", "1", "2"], 100) else { return };
    let small = study.cut(0.5);
    assert!(small.graph.macs() * 3 < study.graph.macs());
    let fitted = study.refit(&small, &RefitOptions::default());
    let all = [0, 1, 2];
    let (sliced, refitted) = (study.accuracy(&small.graph, &all), study.accuracy(&fitted.graph, &all));
    assert!(refitted >= 0.965 && refitted > sliced, "sliced {sliced}, refitted {refitted}");
}

#[test]
#[ignore = "prints figures for the docs; run it with -- --ignored --nocapture refit_figures"]
fn refit_figures() {
    let sets: [(&str, &[&str]); 6] = [
        ("cnn_fmnist", &["0", "1", "2"]),
        ("vgg_cifar", &["0", "1", "2"]),
        ("dscnn_emnist", &["A", "B", "C"]),
        ("dscnn_kws", &["Yes", "No"]),
        ("incep_cifar", &["cat", "dog"]),
        ("resnet8_cifar10_lossless", &["cat", "dog", "horse"]),
    ];
    for (name, tokens) in sets {
        let Some(study) = Study::load(name, tokens, 200) else { return };
        let places: Vec<usize> = (0..study.classes.len()).collect();
        let masked = study.accuracy(&study.graph, &study.classes);
        for ratio in [0.5, 0.25] {
            let small = study.cut(ratio);
            let sliced = study.accuracy(&small.graph, &places);
            let share = small.graph.macs() as f64 / study.graph.macs() as f64;
            let start = Instant::now();
            let fitted = study.refit(&small, &RefitOptions::default());
            let seconds = start.elapsed().as_secs_f64();
            let accuracy = study.accuracy(&fitted.graph, &places);
            eprintln!(
                "{name} {tokens:?} keep {ratio} ({share:.3} of MACs): masked {masked:.4} sliced {sliced:.4} refit {accuracy:.4} in {seconds:.1} s"
            );
            for layer in &fitted.layers {
                eprintln!(
                    "    {:40} λ {:7.0e} rows {:6} error {:.4} -> {:.4}",
                    layer.name, layer.ridge, layer.rows, layer.error_sliced, layer.error
                );
            }
        }
    }
    assert_eq!(CHUNK, 16);
}
