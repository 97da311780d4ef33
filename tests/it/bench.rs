//! Measurements that are run by hand.
//!
//! `cargo test --release --test it bench -- --ignored --nocapture`, then the command it prints.

use fratc::attribute::{Frat, Target, point_sums, route_points};
use fratc::data::Case;
use fratc::exec::Network;
use fratc::ir::groups::channel_groups;
use fratc::ir::op::Op;

use crate::shared::shared;

/// Samples per class whose gradients are timed.
const SAMPLES: usize = 64;

/// Processor time of this thread so far, as Linux counts it.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("a Linux kernel's scheduler statistics");
    let nanoseconds = text.split_whitespace().next().and_then(|n| n.parse::<f64>().ok()).expect("a number");
    nanoseconds * 1e-9
}

/// FRAT over 640 images of `vgg_cifar` on one thread, beside `tests/bench/attribution/torch_gradients.py`.
#[test]
#[ignore = "a measurement, not a check"]
fn attribution_beside_pytorch() {
    let Some(case) = shared("cases/vgg_cifar.toml") else { return };
    let case = Case::load(&case).expect("case file");
    let graph = fratc::load::load(&case.model).expect("model loads").graph;
    let samples = case.calibration().expect("calibration split");
    let network = Network::<f32>::new(&graph).expect("runs");
    let mut points: Vec<_> = route_points(&graph, &channel_groups(&graph)).into_iter().flatten().collect();
    points.sort_unstable();
    assert_eq!(points.len(), graph.nodes.iter().filter(|n| n.op == Op::Relu).count());
    let frat = Frat { target: Target::Margin, weighted: true, within: None };

    let (mut inputs, mut classes) = (Vec::new(), Vec::new());
    let chosen: Vec<Vec<usize>> = (0..10).map(|c| samples.of_class(c).into_iter().take(SAMPLES).collect()).collect();
    for (class, chosen) in chosen.iter().enumerate() {
        for &i in chosen {
            inputs.extend(case.input.normalized(&samples, [i], |v| v as f32).into_iter().flat_map(f32::to_le_bytes));
            classes.extend((class as i32).to_le_bytes());
        }
    }
    let path = std::env::temp_dir().join("fratc-attribution-inputs.f32");
    std::fs::write(&path, inputs).expect("writes inputs");
    std::fs::write(path.with_extension("f32.classes"), classes).expect("writes classes");

    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("pool");
    for round in ["cold", "warm"] {
        let (seconds, total): (f64, f64) = pool.install(|| {
            let start = cpu_seconds();
            let sums = |(class, chosen): (usize, &Vec<usize>)| {
                point_sums(&network, &case.input, &samples, chosen, class, &points, &frat).expect("runs")
            };
            let total = chosen.iter().enumerate().flat_map(sums).flatten().sum();
            (cpu_seconds() - start, total)
        });
        eprintln!("fratc, {round}: {} samples, {seconds:.3} CPU seconds, checksum {total:.6e}", 10 * SAMPLES);
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/attribution/torch_gradients.py");
    eprintln!("compare: python {script} {} {}", case.model.display(), path.display());
}
