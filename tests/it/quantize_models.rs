//! Quantization of the shared networks, by accuracy.

use fratc::data::{Case, InputContract, Samples};
use fratc::exec::{Batch, Network, for_chunks};
use fratc::ir::Graph;
use fratc::qir::{Op, Program, Provenance};
use fratc::quantize::{Options, quantize};
use fratc::sim;

use crate::shared::shared;

/// Correct answers of the float network and of the int8 program.
struct Score {
    float: usize,
    int8: usize,
    /// Samples that one of them has right and the other wrong.
    changed: usize,
    samples: usize,
}

fn load(name: &str) -> Option<(Graph, Case)> {
    let case = Case::load(&shared(&format!("cases/{name}.toml"))?).expect("a case file");
    let graph = fratc::load::load(&case.model).expect("a model").graph;
    Some((fratc::ir::pass::simplify(graph).expect("simplifies"), case))
}

fn program(graph: &Graph, case: &Case, calibration: &Samples, options: &Options) -> Program {
    let provenance = Provenance::default();
    quantize(graph, &case.input, calibration, "real", &case.label_names, provenance, options).expect("quantizes")
}

fn score(graph: &Graph, program: &Program, contract: &InputContract, samples: &Samples, limit: usize) -> Score {
    let n = samples.len().min(limit);
    let chosen: Vec<usize> = (0..n).map(|i| i * samples.len() / n).collect();
    let network = Network::<f32>::new(graph).expect("valid");
    let counts = for_chunks(n, |range| {
        let chosen = &chosen[range];
        let input = contract.normalized(samples, chosen.iter().copied(), |x| x as f32);
        let scores = network.scores(&Batch::new(graph.shape(graph.input()), chosen.len(), input)?)?;
        let mut counts = [0; 3];
        for (k, &i) in chosen.iter().enumerate() {
            let float = scores.argmax(k) == samples.labels[i] as usize;
            let int8 = sim::predict(program, samples.sample(i)) == samples.labels[i] as usize;
            counts[0] += usize::from(float);
            counts[1] += usize::from(int8);
            counts[2] += usize::from(float != int8);
        }
        Ok(counts)
    })
    .expect("runs");
    let [float, int8, changed] = [0, 1, 2].map(|k| counts.iter().map(|c| c[k]).sum());
    Score { float, int8, changed, samples: n }
}

/// Quantizes a shared model and holds int8 to within a point of float on up to `limit` test samples; where that is
/// not the whole split, two standard deviations of the samples that changed sides are allowed beside.
#[expect(clippy::print_stderr, reason = "the figures, for a reader of `--nocapture`")]
fn check_accuracy(name: &str, limit: usize) {
    let Some((graph, case)) = load(name) else { return };
    let calibration = case.calibration().expect("calibration data");
    let program = program(&graph, &case, &calibration, &Options::default());
    let test = case.test().expect("test data");
    let Score { float, int8, changed, samples } = score(&graph, &program, &case.input, &test, limit);
    let points = |n: usize| 100.0 * n as f64 / samples as f64;
    eprintln!(
        "{name}: {samples} samples, float {:.2} %, int8 {:.2} % ({:+.2})",
        points(float),
        points(int8),
        points(int8) - points(float)
    );
    let chance = if samples < test.len() { 2.0 * (changed as f64).sqrt() } else { 0.0 };
    let lost = float as f64 - int8 as f64;
    assert!(lost <= 0.01 * samples as f64 + chance, "{name}: int8 loses more than a point");
}

macro_rules! accuracy {
    ($($name:ident: $limit:expr),+ $(,)?) => {
        mod within_a_point {
            $(#[test]
            fn $name() {
                super::check_accuracy(stringify!($name), $limit);
            })+
        }

        mod within_a_point_on_the_whole_test_split {
            $(#[test]
            #[ignore = "minutes of CPU: the whole test split"]
            fn $name() {
                super::check_accuracy(stringify!($name), usize::MAX);
            })+
        }
    };
}

accuracy! {
    resnet8_cifar10: 1000,
    resnet8_cifar10_lossless: 200,
    resnet8_large_cifar10: 600,
    resnet8_large_cifar10_lossless: 200,
    vgg_cifar: 1000,
    incep_cifar: 1000,
    cnn_fmnist: 1000,
    dscnn_emnist: 1000,
    dscnn_kws: 700,
}

#[test]
fn layout_of_the_source_does_not_matter() {
    let (Some((a, case)), Some((b, _))) = (load("resnet8_cifar10"), load("resnet8_cifar10_nhwc")) else { return };
    let calibration = case.calibration().expect("calibration data");
    let options = Options { range_samples: 64, correction_samples: 16 };
    let [a, b] = [a, b].map(|graph| program(&graph, &case, &calibration, &options));
    let ops = |program: &Program| program.layers.iter().map(|l| l.op.clone()).collect::<Vec<_>>();
    assert_eq!(ops(&a), ops(&b));
}

#[test]
fn a_network_with_dead_filters_quantizes_on_random_inputs() {
    let Some((graph, case)) = load("mobilenetv1_vww") else { return };
    let program = program(&graph, &case, &Samples::random(&case.input, 32, 1), &Options::default());
    let dead = program.layers.iter().map(|layer| match &layer.op {
        Op::Conv(conv) => {
            let filter = conv.weights.len() / program.tensor(layer.output).shape.c;
            conv.weights.chunks_exact(filter).filter(|f| f.iter().all(|w| *w == 0)).count()
        }
        _ => 0,
    });
    assert!(dead.sum::<usize>() > 900, "the model's dead filters are not zero");
}
