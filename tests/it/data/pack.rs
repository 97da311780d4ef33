//! The real data of the pack.

use fratc::data::{Case, InputKind};

use crate::shared::shared;

/// Case file, classes, calibration, test and training samples; 0 where the case has none.
const CASES: [(&str, usize, usize, usize, usize); 11] = [
    ("cnn_fmnist", 10, 2000, 10000, 30000),
    ("dscnn_emnist", 26, 2600, 5200, 20800),
    ("dscnn_kws", 12, 300, 700, 0),
    ("incep_cifar", 10, 2000, 4000, 0),
    ("mobilenetv1_vww", 2, 0, 0, 0),
    ("resnet8_cifar10", 10, 2000, 4000, 0),
    ("resnet8_cifar10_lossless", 10, 2000, 200, 0),
    ("resnet8_cifar10_nhwc", 10, 2000, 4000, 0),
    ("resnet8_large_cifar10", 10, 2000, 4000, 0),
    ("resnet8_large_cifar10_lossless", 10, 2000, 200, 0),
    ("vgg_cifar", 10, 2000, 4000, 0),
];

#[test]
fn every_case_of_the_pack_loads_with_the_counts_of_its_readme() {
    for (name, classes, calibration, test, train) in CASES {
        let Some(path) = shared(&format!("cases/{name}.toml")) else { return };
        let case = Case::load(&path).expect(name);
        assert_eq!(case.label_names.len(), classes, "{name}");
        assert!(case.model.exists(), "{name}");
        let sources = [(&case.calibration, calibration), (&case.test, test), (&case.train, train)];
        for (source, count) in sources {
            assert_eq!(source.is_some(), count > 0, "{name}");
            if let Some(source) = source {
                let samples = source.read(&case.input, &case.label_names).expect(name);
                assert_eq!(samples.len(), count, "{name}");
                assert_eq!(samples.raw.len(), count * case.input.len(), "{name}");
            }
        }
    }
}

#[test]
fn cifar_records_are_turned_to_channels_last() {
    let Some(path) = shared("cases/resnet8_cifar10.toml") else { return };
    let case = Case::load(&path).expect("case");
    assert_eq!((case.input.kind, case.input.shape, case.input.scale), (InputKind::U8, [32, 32, 3], 1.0));
    let samples = case.calibration().expect("calibration");
    assert_eq!(samples.per_class(10), [200; 10]);
    let file = std::fs::File::open(shared("data/cifar10/lossless_calib_2000.bin.gz").expect("pack")).expect("opens");
    let mut record = [0; 3073];
    std::io::Read::read_exact(&mut flate2::read::GzDecoder::new(file), &mut record).expect("one record");
    assert_eq!(samples.labels[0], u32::from(record[0]));
    let (red, green, blue) = (&record[1..1025], &record[1025..2049], &record[2049..]);
    for p in 0..1024 {
        assert_eq!(samples.sample(0)[3 * p..3 * p + 3], [red[p], green[p], blue[p]]);
    }
}

#[test]
fn the_fashion_test_set_is_the_official_one() {
    let Some(path) = shared("cases/cnn_fmnist.toml") else { return };
    let samples = Case::load(&path).and_then(|case| case.test()).expect("test");
    assert_eq!(samples.labels[..10], [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]);
    assert_eq!(samples.per_class(10), [1000; 10]);
    assert_eq!(samples.sample(0)[..28], [0; 28], "the first row of the ankle boot is background");
}

#[test]
fn keyword_features_are_signed_and_scaled() {
    let Some(path) = shared("cases/dscnn_kws.toml") else { return };
    let case = Case::load(&path).expect("case");
    let samples = case.calibration().expect("calibration");
    assert_eq!(samples.per_class(12), [25; 12]);
    let x = case.input.normalized(&samples, 0..2, |v| v);
    let q = samples.sample(1)[3] as i8;
    assert!((x[490 + 3] - (f64::from(q) - 83.0) * 0.584_702_908_992_767_3).abs() < 1e-12);
}

#[test]
fn class_tokens_of_the_pack_resolve() {
    let Some(path) = shared("cases/dscnn_kws.toml") else { return };
    let case = Case::load(&path).expect("case");
    let tokens = ["Up", "down", "Stop"].map(String::from);
    let classes = case.class_set(Some(&tokens)).expect("known classes");
    let names: Vec<&str> = classes.iter().map(|&c| case.label_names[c].as_str()).collect();
    assert_eq!(
        names,
        ["Up", "Down", "Stop"].map(|n| case
            .label_names
            .iter()
            .find(|l| l.eq_ignore_ascii_case(n))
            .expect("there")
            .as_str())
    );
}
