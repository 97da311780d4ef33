//! Networks of the size of VGG-16 with random weights: written, loaded, grouped, attributed, sliced.

#[path = "../../examples/large_networks/shapes.rs"]
mod shapes;

use fratc::attribute::{Options, Source, attribute};
use fratc::data::{InputContract, InputKind, Samples};
use fratc::ir::groups::channel_groups;
use fratc::ir::{onnx, pass};

use crate::assemble::difference;
use crate::random_graph::{Random, random_masks};
use crate::shared::tell;

/// The whole way for one network: `classes` outputs, of which three are attributed on two images each.
fn through(name: &str, classes: usize, side: usize) {
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
    tell(&format!(
        "{name}: {} nodes, {:.1} M parameters, {:.2} G multiply-accumulates, {scored} of {} groups scored, sliced against \
         masked {far:.1e}",
        graph.nodes.len(),
        graph.params() as f64 / 1e6,
        graph.macs() as f64 / 1e9,
        groups.groups.len(),
    ));
    assert!(far < 1e-5, "{name}: the sliced network is {far:.1e} from the masked one");
    assert!(scored > groups.groups.len() / 2, "{name}: only {scored} groups have scores");
}

#[test]
fn shapes_of_well_known_networks_go_through_at_a_small_size() {
    for name in ["mobilenetv2", "googlenet"] {
        through(name, 10, 32);
    }
}

/// `cargo test --release --test it -- --ignored --nocapture large::`
#[test]
#[ignore = "takes minutes and gigabytes; its command is in its documentation"]
fn shapes_of_well_known_networks_go_through_at_full_size() {
    for name in shapes::NAMES {
        through(name, 1000, 224);
    }
}
