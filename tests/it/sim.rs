//! The simulation: samples of every test program, and agreement of its doors.

use fratc::qir::{InputKind, Op};
use fratc::sim;

use crate::programs::{self, Pattern};

#[test]
fn test_programs_are_valid_and_hold_every_operation() {
    let mut seen = std::collections::BTreeSet::new();
    for program in programs::all() {
        program.verify().unwrap_or_else(|e| panic!("{}: {e}", program.name));
        for layer in &program.layers {
            seen.insert(match layer.op {
                Op::Conv(_) => "conv",
                Op::Depthwise(_) => "depthwise",
                Op::Dense(_) => "dense",
                Op::Add(_) => "add",
                Op::MaxPool(_) => "max pool",
                Op::AvgPool(_) => "avg pool",
                Op::Concat => "concat",
                Op::Lookup(_) => "lookup",
                Op::Grouped(_) => "grouped",
                Op::Gate(_) => "gate",
                Op::Flatten => "flatten",
                Op::Adapt(_) => "adapt",
            });
        }
    }
    assert_eq!(seen.len(), 12, "{seen:?}");
}

/// A test program whose tensors sit at a clamp would hide kernel faults.
#[test]
fn tensors_of_test_programs_are_spread() {
    for program in programs::all() {
        let sample = Pattern::new(7).sample(&program);
        let tensors = sim::trace(&program, &sample);
        assert_eq!(tensors.len(), program.tensors.len());
        for (values, tensor) in tensors.iter().zip(&program.tensors) {
            assert_eq!(values.len(), tensor.shape.len());
            let mut distinct = values.clone();
            distinct.sort_unstable();
            distinct.dedup();
            let enough = (values.len() / 4).clamp(2, 20);
            assert!(distinct.len() >= enough, "{} {}: {} values", program.name, tensor.name, distinct.len());
        }
    }
}

#[test]
fn run_trace_and_run_many_agree() {
    for program in programs::all() {
        let mut pattern = Pattern::new(11);
        let samples: Vec<Vec<u8>> = (0..20).map(|_| pattern.sample(&program)).collect();
        let slices: Vec<&[u8]> = samples.iter().map(Vec::as_slice).collect();
        let many = sim::run_many(&program, &slices);
        let distinct: std::collections::BTreeSet<_> = many.iter().collect();
        assert!(distinct.len() > 10, "{}: scores depend on the sample", program.name);
        for (sample, scores) in samples.iter().zip(&many) {
            assert_eq!(scores, &sim::run(&program, sample));
            assert_eq!(scores, &sim::trace(&program, sample)[program.output.index()]);
            let best = scores.iter().max().expect("classes");
            assert_eq!(sim::predict(&program, sample), scores.iter().position(|s| s == best).expect("best"));
        }
    }
}

/// Raw pixels read in place give what the same program gives on `pixel − 128` features.
#[test]
fn pixels_equal_shifted_features() {
    for program in programs::all().into_iter().filter(|p| p.input_kind == InputKind::U8) {
        let mut features = program.clone();
        features.input_kind = InputKind::I8;
        let sample = Pattern::new(3).sample(&program);
        let shifted: Vec<u8> = sample.iter().map(|p| p.wrapping_sub(128)).collect();
        assert_eq!(sim::trace(&program, &sample), sim::trace(&features, &shifted));
    }
}

#[test]
fn short_samples_do_not_panic() {
    for program in programs::all() {
        let sample = Pattern::new(5).sample(&program);
        for n in [0, 1, sample.len() / 2] {
            assert_eq!(sim::run(&program, &sample[..n]).len(), program.classes.len());
        }
    }
}

/// Prints the speed of the simulation: `cargo test --release -- --ignored --nocapture simulation_speed`.
#[test]
#[ignore = "a measurement"]
fn simulation_speed() {
    let program = programs::resnet8();
    program.verify().expect("a valid program");
    let mut pattern = Pattern::new(1);
    let samples: Vec<Vec<u8>> = (0..400).map(|_| pattern.sample(&program)).collect();
    let slices: Vec<&[u8]> = samples.iter().map(Vec::as_slice).collect();
    let start = std::time::Instant::now();
    let scores = sim::run_many(&program, &slices);
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(scores.len(), samples.len());
    let macs = program.macs() as f64 * samples.len() as f64;
    eprintln!("{} samples, {seconds:.2} s, {:.2} G multiply-accumulates/s", samples.len(), macs / seconds / 1e9);
}
