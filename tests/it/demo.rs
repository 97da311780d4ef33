//! The built-in example: its drawings, and the committed network on drawings it has never seen.

use fratc::{data, demo, finetune, load};

#[test]
fn the_committed_network_knows_97_percent_of_unseen_drawings() {
    let graph = load::load_bytes(demo::model_bytes(), "markers.onnx").expect("committed network").graph;
    let case = demo::case();
    assert_eq!((graph.classes(), case.label_names.len()), (16, 16));
    for samples in [&case.test, &demo::samples(30, 77)] {
        let accuracy = finetune::accuracy(&graph, &case.input, samples).expect("scores");
        assert!(accuracy >= 0.97, "{accuracy}");
    }
}

#[test]
fn the_case_has_every_class_in_both_splits() {
    let case = demo::case();
    case.input.verify().expect("a good contract");
    assert_eq!(case.calibration.per_class(16), [150; 16]);
    assert_eq!(case.test.per_class(16), [60; 16]);
    let classes = data::resolve_classes(&case.label_names, &demo::default_classes()).expect("classes of the demo");
    assert_eq!(classes.len(), 3);
    assert_eq!(case, demo::case());
}
