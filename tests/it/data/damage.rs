//! Damaged bytes give an error or other samples, never a panic or a request for absurd memory.

use std::path::{Path, PathBuf};

use fratc::data::{Case, DataSource, InputContract, InputKind, Layout, Record, SampleSet, Stream};
use image::ImageFormat;
use proptest::prelude::*;
use tempfile::tempdir;

use super::make;

/// Reads a 5-sample source of 4×3 grey samples and throws the answer away.
fn read(source: &DataSource) {
    let contract = InputContract::new(InputKind::U8, [4, 3, 1], 1.0);
    if let Ok(samples) = source.read(&contract, &make::names()) {
        assert_eq!(samples.raw.len(), samples.len() * 12);
        assert!(samples.labels.iter().all(|&l| l < 3));
    }
    if let Ok(stream) = Stream::open(source, &contract, &make::names()) {
        assert!(stream.labels().iter().all(|&l| l < 3));
        let all: Vec<usize> = (0..stream.labels().len()).collect();
        assert!(stream.fetch(&all).is_err() || stream.sha256().is_ok());
    }
}

/// Cuts `bytes` at `cut` (of 1000) and changes the bytes at the places of `flips` (of 1000).
fn damaged(bytes: &[u8], cut: usize, flips: &[(usize, u8)]) -> Vec<u8> {
    let mut out = bytes[..(bytes.len() * cut).div_ceil(1000)].to_vec();
    for &(place, bits) in flips {
        let at = out.len() * place / 1000;
        if let Some(byte) = out.get_mut(at) {
            *byte ^= bits;
        }
    }
    out
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    make::write(&dir.join(name), bytes, false);
    dir.join(name)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_reader_panics(
        cut in prop_oneof![Just(1000usize), 0usize..1000],
        flips in prop::collection::vec((0usize..1000, any::<u8>()), 0..4),
        gzip in any::<bool>(),
    ) {
        let dir = tempdir().expect("temporary folder");
        let (_, samples) = make::samples(InputKind::U8, [4, 3, 1], 5);
        let labels: Vec<u8> = samples.labels.iter().map(|&l| l as u8).collect();
        let damage = |bytes: &[u8]| {
            let bytes = if gzip { make::gz(bytes) } else { bytes.to_vec() };
            damaged(&bytes, cut, &flips)
        };

        let path = write(dir.path(), "r", &damage(&make::records(&samples, false)));
        let (shape, layout) = ([4, 3, 1], Layout::Hwc);
        let record = Record { label_bytes: 1, label_byte: 0, dtype: InputKind::U8, shape, layout };
        read(&DataSource::Records { path, record });

        let idx = (make::idx(&[5, 4, 3], &samples.raw), make::idx(&[5], &labels));
        let (bad, good) = (write(dir.path(), "i", &damage(&idx.0)), write(dir.path(), "l", &idx.1));
        read(&DataSource::Idx { images: bad, labels: good });
        let (good, bad) = (write(dir.path(), "i", &idx.0), write(dir.path(), "l", &damage(&idx.1)));
        read(&DataSource::Idx { images: good, labels: bad });

        let npy = (make::npy(&[5, 4, 3], &samples.raw), make::npy(&[5], &labels));
        let (bad, good) = (write(dir.path(), "x", &damage(&npy.0)), write(dir.path(), "y", &npy.1));
        read(&DataSource::Npy { images: bad, labels: good, layout });
        let (good, bad) = (write(dir.path(), "x", &npy.0), write(dir.path(), "y", &damage(&npy.1)));
        read(&DataSource::Npy { images: good, labels: bad, layout });

        let archive = make::npz(&[("x", npy.0), ("y", npy.1)]);
        read(&DataSource::Npz { path: write(dir.path(), "z", &damage(&archive)), arrays: None, layout });

        std::fs::create_dir_all(dir.path().join("tree/bee")).expect("writable");
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp] {
            let color = if format == ImageFormat::Bmp { 3 } else { 1 };
            let pixels = samples.raw[..12 * color].to_vec();
            write(dir.path(), "tree/bee/a.png", &damage(&make::image([4, 3, color], &pixels, format)));
            read(&DataSource::Folder { path: dir.path().join("tree"), part: None });
        }
    }

    #[test]
    fn no_case_file_panics(
        cut in prop_oneof![Just(1000usize), 0usize..1000],
        flips in prop::collection::vec((0usize..1000, any::<u8>()), 0..4),
    ) {
        let dir = tempdir().expect("temporary folder");
        let text = "classes = [\"é\", 0]\n[model]\npath = \"m.onnx\"\n[input]\nkind = \"image\"\nshape = [4, 3, 1]\n\
            scale = 0.5\nmean = [0.5]\n[data]\nlabel_names = [\"é\", \"b\"]\n\
            test = { format = \"idx\", images = \"i\", labels = \"l\" }\n[build]\nkeep = 0.5\n";
        let path = write(dir.path(), "fratc.toml", &damaged(text.as_bytes(), cut, &flips));
        if let Err(error) = Case::load(&path) {
            prop_assert!(error.to_string().contains("fratc.toml") || error.to_string().contains("does not exist"));
        }
    }
}
