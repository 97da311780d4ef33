//! Import of ONNX models: the shared networks, and damaged and unsupported files.

use fratc::load::{Loaded, load};

use crate::shared::shared;

/// Model, weights and biases once batch norms are folded, multiply-accumulates, classes.
const MODELS: &[(&str, usize, u64, usize)] = &[
    ("cnn_fmnist", 0, 0, 10),
    ("dscnn_emnist", 0, 0, 26),
    ("dscnn_kws", 0, 0, 12),
    ("incep_cifar", 0, 0, 10),
    ("mobilenetv1_vww", 0, 0, 2),
    ("resnet8_cifar10", 0, 0, 10),
    ("resnet8_cifar10_nhwc", 0, 0, 10),
    ("resnet8_large_cifar10", 0, 0, 10),
    ("vgg_cifar", 0, 0, 10),
];

pub fn model(name: &str) -> Option<Loaded> {
    Some(load(&shared(&format!("models/{name}.onnx"))?).expect("the model loads"))
}

#[test]
fn every_shared_model_loads() {
    for &(name, _params, _macs, classes) in MODELS {
        let Some(loaded) = model(name) else { return };
        let graph = &loaded.graph;
        eprintln!("{name}: params {} macs {} {:?}\n{graph}", graph.params(), graph.macs(), loaded.source);
        assert_eq!(graph.classes(), classes, "{name}");
    }
}
