//! What is written in each format is what is read.

use std::path::Path;

use fratc::data::{
    Case, DataSource, FolderPart, InputContract, InputKind, Layout, Part, Record, SampleSet, Samples, Stream,
};
use image::ImageFormat;
use tempfile::tempdir;

use super::make;

/// All samples of `source`, which must be the same when fetched by index.
fn read(source: &DataSource, contract: &InputContract) -> Samples {
    let whole = source.read(contract, &make::names()).expect("good data");
    let stream = Stream::open(source, contract, &make::names()).expect("good data");
    assert_eq!(stream.labels(), whole.labels);
    assert_eq!(stream.sha256().expect("readable"), Samples::sha256(&whole));
    let backwards: Vec<usize> = (0..whole.len()).rev().step_by(2).collect();
    assert_eq!(stream.fetch(&backwards).expect("readable"), whole.select(&backwards));
    whole
}

#[test]
fn records_in_both_layouts_and_types() {
    let dir = tempdir().expect("temporary folder");
    for kind in [InputKind::U8, InputKind::I8] {
        for (layout, gzip) in [(Layout::Hwc, false), (Layout::Chw, true)] {
            let (contract, want) = make::samples(kind, [3, 4, 2], 7);
            let path = dir.path().join("data.bin");
            make::write(&path, &make::records(&want, layout == Layout::Chw), gzip);
            let shape = if layout == Layout::Chw { [2, 3, 4] } else { [3, 4, 2] };
            let source = DataSource::Records {
                path,
                record: Record { label_bytes: 1, label_byte: 0, dtype: kind, shape, layout },
            };
            assert_eq!(read(&source, &contract), want);
        }
    }
}

#[test]
fn records_with_a_coarse_and_a_fine_label() {
    let dir = tempdir().expect("temporary folder");
    let path = dir.path().join("data.bin");
    make::write(&path, &[1, 2, 40, 41, 0, 1, 50, 51], false);
    let contract = InputContract::new(InputKind::U8, [1, 2, 1], 1.0);
    for (label_byte, labels) in [(0, [1, 0]), (1, [2, 1])] {
        let source = DataSource::Records {
            path: path.clone(),
            record: Record { label_bytes: 2, label_byte, dtype: InputKind::U8, shape: [1, 2, 1], layout: Layout::Hwc },
        };
        let samples = read(&source, &contract);
        assert_eq!((samples.raw, samples.labels), (vec![40, 41, 50, 51], labels.to_vec()));
    }
}

#[test]
fn idx_with_and_without_channels() {
    let dir = tempdir().expect("temporary folder");
    for (shape, gzip) in [([4, 3, 1], true), ([2, 3, 3], false)] {
        let (contract, want) = make::samples(InputKind::U8, shape, 5);
        let mut dims = vec![5, shape[0], shape[1]];
        if shape[2] > 1 {
            dims.push(shape[2]);
        }
        let (images, labels) = (dir.path().join("images"), dir.path().join("labels"));
        make::write(&images, &make::idx(&dims, &want.raw), gzip);
        let label_bytes: Vec<u8> = want.labels.iter().map(|&l| l as u8).collect();
        make::write(&labels, &make::idx(&[5], &label_bytes), gzip);
        assert_eq!(read(&DataSource::Idx { images, labels }, &contract), want);
    }
}

#[test]
fn numpy_files_and_archives() {
    let dir = tempdir().expect("temporary folder");
    for gzip in [false, true] {
        let (contract, want) = make::samples(InputKind::U8, [2, 3, 4], 6);
        let chw: Vec<u8> = (0..6).flat_map(|i| make::stored(&want, i, true)).collect();
        let labels_i64: Vec<i64> = want.labels.iter().map(|&l| i64::from(l)).collect();
        let labels_u16: Vec<u16> = want.labels.iter().map(|&l| l as u16).collect();
        let (x, y) = (dir.path().join("x.npy"), dir.path().join("y.npy"));
        make::write(&x, &make::npy(&[6, 4, 2, 3], &chw), gzip);
        make::write(&y, &make::npy(&[6], &labels_i64), gzip);
        assert_eq!(read(&DataSource::Npy { images: x, labels: y, layout: Layout::Chw }, &contract), want);

        for (keys, arrays) in [
            (("x", "y"), None),
            (("images", "labels"), None),
            (("x_test", "y_test"), Some(("x_test".to_owned(), "y_test".to_owned()))),
        ] {
            let path = dir.path().join("a.npz");
            let bytes =
                make::npz(&[(keys.0, make::npy(&[6, 2, 3, 4], &want.raw)), (keys.1, make::npy(&[6, 1], &labels_u16))]);
            make::write(&path, &bytes, gzip);
            assert_eq!(read(&DataSource::Npz { path, arrays, layout: Layout::Hwc }, &contract), want);
        }
    }
}

#[test]
fn signed_numpy_features_without_a_channel_axis() {
    let dir = tempdir().expect("temporary folder");
    let (contract, want) = make::samples(InputKind::I8, [5, 3, 1], 4);
    let values: Vec<i8> = want.raw.iter().map(|&b| b as i8).collect();
    let (images, labels) = (dir.path().join("x.npy"), dir.path().join("y.npy"));
    make::write(&images, &make::npy(&[4, 5, 3], &values), false);
    make::write(&labels, &make::npy(&[4], &[0u8, 1, 2, 0]), false);
    assert_eq!(read(&DataSource::Npy { images, labels, layout: Layout::Hwc }, &contract), want);
}

/// A tree of `per_class` images for each class, all different; class folders in `names` order.
fn tree(root: &Path, contract: &InputContract, per_class: usize, format: ImageFormat, end: &str) -> Samples {
    let (_, all) = make::samples(InputKind::U8, contract.shape, 3 * per_class);
    let mut samples = all.clone();
    for (class, name) in make::names().iter().enumerate() {
        let folder = root.join(name);
        std::fs::create_dir_all(&folder).expect("temporary folder");
        for i in 0..per_class {
            let n = class * per_class + i;
            samples.labels[n] = class as u32;
            let bytes = make::image(contract.shape, all.sample(n), format);
            make::write(&folder.join(format!("{i:04}.{end}")), &bytes, end.ends_with("gz"));
        }
    }
    samples
}

#[test]
fn image_folders_grey_and_rgb() {
    for (shape, format, end) in [
        ([4, 5, 1], ImageFormat::Png, "png"),
        ([4, 5, 3], ImageFormat::Png, "PNG"),
        ([4, 5, 3], ImageFormat::Bmp, "bmp"),
        ([4, 5, 3], ImageFormat::Bmp, "bmp.gz"),
    ] {
        let dir = tempdir().expect("temporary folder");
        let contract = InputContract::new(InputKind::U8, shape, 1.0);
        let want = tree(dir.path(), &contract, 3, format, end);
        std::fs::write(dir.path().join("ant/notes.txt"), "not an image").expect("writable");
        std::fs::write(dir.path().join("README.md"), "not a class").expect("writable");
        assert_eq!(read(&DataSource::Folder { path: dir.path().into(), part: None }, &contract), want);
    }
}

#[test]
fn jpeg_is_read_within_its_loss() {
    let dir = tempdir().expect("temporary folder");
    let contract = InputContract::new(InputKind::U8, [16, 16, 1], 1.0);
    let flat = Samples { raw: vec![200; 256], labels: vec![1], ..Samples::empty(&contract) };
    std::fs::create_dir(dir.path().join("bee")).expect("writable");
    make::write(&dir.path().join("bee/a.jpg"), &make::image([16, 16, 1], &flat.raw, ImageFormat::Jpeg), false);
    let got = read(&DataSource::Folder { path: dir.path().into(), part: None }, &contract);
    assert_eq!(got.labels, [1]);
    assert!(got.raw.iter().all(|p| p.abs_diff(200) <= 2), "{:?}", got.raw);
}

#[test]
fn one_tree_is_split_four_to_one_by_the_seed() {
    let dir = tempdir().expect("temporary folder");
    let contract = InputContract::new(InputKind::U8, [2, 2, 1], 1.0);
    tree(dir.path(), &contract, 10, ImageFormat::Png, "png");
    let part = |part, seed| {
        let part = Some(FolderPart { part, seed });
        read(&DataSource::Folder { path: dir.path().into(), part }, &contract)
    };
    let (calib, test) = (part(Part::Calibration, 1), part(Part::Test, 1));
    assert_eq!((calib.per_class(3), test.per_class(3)), (vec![8; 3], vec![2; 3]));
    let mut all: Vec<&[u8]> = (0..24).map(|i| calib.sample(i)).chain((0..6).map(|i| test.sample(i))).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 30, "no image on both sides");
    assert_eq!(part(Part::Test, 1), test);
    assert_ne!(part(Part::Test, 2), test);
}

#[test]
fn the_short_form_finds_calib_and_test() {
    let dir = tempdir().expect("temporary folder");
    let contract = InputContract::new(InputKind::U8, [2, 2, 1], 1.0);
    tree(&dir.path().join("calib"), &contract, 2, ImageFormat::Png, "png");
    tree(&dir.path().join("test"), &contract, 1, ImageFormat::Png, "png");
    let case = Case::from_folder(Path::new("net.onnx"), dir.path(), contract.clone(), 0).expect("two folders");
    assert_eq!(case.label_names, make::names());
    assert_eq!(case.calibration().expect("calib").per_class(3), [2; 3]);
    assert_eq!(case.test().expect("test").per_class(3), [1; 3]);

    let case = Case::from_folder(Path::new("net.onnx"), &dir.path().join("calib"), contract, 0).expect("one tree");
    assert_eq!(case.calibration().expect("calib").len() + case.test().map_or(0, |s| s.len()), 6);
}

#[test]
fn a_case_file_reads_every_key() {
    let dir = tempdir().expect("temporary folder");
    std::fs::write(dir.path().join("net.onnx"), "model").expect("writable");
    let text = r#"
        classes = ["bee", 0]
        [model]
        path = "net.onnx"
        sha256 = "9372C470EEADD5ECD9C3C74C2B3CB633F8E2F2FAD799250A0F70D652B6B825E4"
        [input]
        kind = "features"
        shape = [1, 2, 2]
        scale = 0.5
        zero_point = -3
        mean = [1, 2]
        std = [4.0, 8.0]
        [data]
        label_names = ["ant", "bee"]
        calibration = { format = "npz", path = "sub/a.npz" }
        test = { format = "npy", images = "x.npy", labels = "y.npy", layout = "chw" }
        train = { format = "folder", path = "train" }
        [build]
        target = "qemu-m4"
        keep = 0.5
        refit = false
    "#;
    let path = dir.path().join("fratc.toml");
    std::fs::write(&path, text).expect("writable");
    let case = Case::load(&path).expect("good case");
    assert_eq!(case.class_set(None).expect("known"), [1, 0]);
    assert_eq!(
        (case.target.as_deref(), case.options.keep, case.options.refit),
        (Some("qemu-m4"), Some(0.5), Some(false))
    );
    assert!((case.input.value(5u8.wrapping_neg(), 1) - ((-5.0 + 3.0) * 0.5 - 2.0) / 8.0).abs() < 1e-15);
    let npz = DataSource::Npz { path: dir.path().join("sub/a.npz"), arrays: None, layout: Layout::Hwc };
    assert_eq!(case.calibration, Some(npz));
    assert_eq!(case.model_bytes().expect("hash is right").0, b"model");
}

#[test]
fn normalized_is_channel_major() {
    let mut contract = InputContract::new(InputKind::U8, [1, 2, 2], 2.0);
    contract.mean = vec![1.0, 10.0];
    contract.std = vec![1.0, 2.0];
    let samples = Samples { raw: vec![1, 2, 3, 4, 5, 6, 7, 8], labels: vec![0, 1], ..Samples::empty(&contract) };
    let x = contract.normalized(&samples, [1, 0], |v| v as f32);
    assert_eq!(x, [9.0, 13.0, 1.0, 5.0, 1.0, 3.0, -3.0, -1.0]);
}

#[test]
fn hashes_tell_data_apart() {
    let (contract, a) = make::samples(InputKind::U8, [2, 2, 1], 3);
    let mut b = a.clone();
    b.labels[2] = 1;
    assert_ne!(a.sha256(), b.sha256());
    assert_eq!(a.sha256(), a.select(&[0, 1, 2]).sha256());
    assert_eq!(a.sha256().len(), 64);
    assert_eq!(Samples::random(&contract, 4, 7), Samples::random(&contract, 4, 7));
    assert_ne!(Samples::random(&contract, 4, 7).raw, Samples::random(&contract, 4, 8).raw);
}
