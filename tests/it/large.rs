//! Networks of the size of VGG-16 with random weights: written, loaded, grouped, attributed, sliced.

#[path = "../../examples/large_networks/shapes.rs"]
pub mod shapes;

use std::time::Instant;

use fratc::attribute::{Options, Source, attribute};
use fratc::data::{InputContract, InputKind, Samples};
use fratc::ir::groups::channel_groups;
use fratc::ir::{onnx, pass};

use crate::assemble::difference;
use crate::random_graph::{Random, random_masks};
use crate::shared::tell;

/// The process's largest resident set so far, where the kernel tells.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or_else(|| "memory unknown".into(), |line| format!("{} at most", line.trim()))
}

/// The whole way for one network: `classes` outputs, of which three are attributed on two images each.
fn through(name: &str, classes: usize, side: usize) {
    let start = Instant::now();
    let graph = shapes::network(name, classes, side).expect("a known name").expect("a sound network");
    let bytes = onnx::to_onnx(&graph, "test");
    let graph = pass::simplify(fratc::load::load_bytes(&bytes, name).expect("loads").graph).expect("simplifies");
    let groups = channel_groups(&graph);
    let mut random = Random::new(3);
    let raw = (0..6 * side * side * 3).map(|_| random.bits() as u8).collect();
    let samples = Samples { shape: [side, side, 3], kind: InputKind::U8, raw, labels: vec![0, 1, 2, 0, 1, 2] };
    let input = InputContract::new(InputKind::U8, [side, side, 3], 1.0 / 255.0);
    let names: Vec<String> = (0..classes).map(|c| format!("class{c}")).collect();
    let source = Source { model: name, model_sha256: "00", classes: &names, input: &input, samples: &samples };
    let options = Options { classes: Some(vec![0, 1, 2]), ..Options::default() };
    let table = attribute(&graph, &groups, &source, &options).expect("attributes");
    table.verify().expect("consistent");
    let scored = table.groups.iter().filter(|g| g.scores[0].iter().any(|&s| s > 0.0)).count();
    let masks = random_masks(&groups, &mut random);
    let far = difference(&graph, masks, &[2, 0, 1], &mut random, 1);
    let links: usize = table.links.iter().map(|l| l.from.len() * l.to.len()).sum();
    tell(&format!(
        "{name}: {} nodes, {:.1} M parameters, {:.2} G multiply-accumulates, {:.1} M links, {scored} of {} groups scored, \
         sliced against masked {far:.1e}; {:.0} s, {}",
        graph.nodes.len(),
        graph.params() as f64 / 1e6,
        graph.macs() as f64 / 1e9,
        links as f64 / 1e6,
        groups.groups.len(),
        start.elapsed().as_secs_f64(),
        peak(),
    ));
    assert!(far < 1e-5, "{name}: the sliced network is {far:.1e} from the masked one");
    assert!(scored > groups.groups.len() / 2, "{name}: only {scored} groups have scores");
}

#[test]
fn shapes_of_well_known_networks_go_through_at_a_small_size() {
    for name in ["mobilenetv2", "googlenet", "resnet20"] {
        through(name, 10, 32);
    }
}

/// `cargo test --release --test it -- --ignored --nocapture large::full_size`, or with `large::full_size::vgg16` one alone.
mod full_size {
    use super::{shapes, through};

    fn whole(name: &str) {
        let (classes, side) = shapes::size(name);
        through(name, classes, side);
    }

    #[test]
    #[ignore = "takes minutes and gigabytes; its command is in its documentation"]
    fn vgg16() {
        whole("vgg16");
    }

    #[test]
    #[ignore = "takes minutes; its command is in its documentation"]
    fn resnet50() {
        whole("resnet50");
    }

    #[test]
    #[ignore = "takes minutes; its command is in its documentation"]
    fn mobilenetv2() {
        whole("mobilenetv2");
    }

    #[test]
    #[ignore = "takes minutes; its command is in its documentation"]
    fn googlenet() {
        whole("googlenet");
    }

    #[test]
    #[ignore = "takes minutes; its command is in its documentation"]
    fn densenet121() {
        whole("densenet121");
    }
}
